-- SPDX-License-Identifier: MIT
-- What the parts found, as bench/results.json, and from that file as tables (bench/RESULTS.md) and plots (bench/*.svg).
-- A part that was not run this time keeps what it found last; each says when and on what it ran. Measures nothing.
local dkjson = require("dkjson")
local plot = require("plot")

local M = { directory = "bench" }

local function write(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
end

local function read(path)
  local file = io.open(path)
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return dkjson.decode(text)
end

local function number(value)
  local size = math.abs(value)
  if size >= 1e6 then return ("%.2f M"):format(value / 1e6) end
  if size >= 100 then return ("%.0f"):format(value) end
  if size >= 10 then return ("%.1f"):format(value) end
  return size >= 0.1 and ("%.2f"):format(value) or ("%.2g"):format(value)
end

--- "median (low to high)" of a statistic; a plain number or text as it is.
function M.text(value)
  if value == nil then return "-" end
  if type(value) == "string" then return value end
  if type(value) == "number" then return number(value) end
  if value.count == 1 or value.low == value.high then return number(value.median) end
  return ("%s (%s to %s)"):format(number(value.median), number(value.low), number(value.high))
end

local function row(cells)
  local texts = {}
  for i = 1, #cells do texts[i] = M.text(cells[i] ~= dkjson.null and cells[i] or nil) end
  return "| " .. table.concat(texts, " | ") .. " |"
end

-- A check: { what =, value = statistic, must =, aim =, more = true where more is better, unit =, cause = }.
local function verdict(check)
  local value = check.value and check.value.median
  if not value then return "not measured" end
  local function reaches(goal) return goal and (check.more and value >= goal or not check.more and value <= goal) end
  if reaches(check.aim) then return "met, and what it aims for" end
  if not check.must then return "" end
  return reaches(check.must) and "met" or "**missed**"
end
M.verdict = verdict

local function limit(check, value)
  return value and ("%s %s%s"):format(check.more and "at least" or "at most", number(value), check.unit or "") or "-"
end

local function checks_text(lines, checks)
  if #checks == 0 then return end
  lines[#lines + 1] = "| what | must reach | aims for | measured | |\n|---|---|---|---|---|"
  for _, check in ipairs(checks) do
    lines[#lines + 1] = row({ check.what, limit(check, check.must), limit(check, check.aim),
      M.text(check.value) .. (check.unit or ""), verdict(check) })
  end
  lines[#lines + 1] = ""
  for _, check in ipairs(checks) do
    if verdict(check) == "**missed**" and check.cause then
      lines[#lines + 1] = ("Missed: %s. %s\n"):format(check.what, check.cause)
    end
  end
end

local function part_text(lines, name, part)
  lines[#lines + 1] = ("## %s\n\n%s\n"):format(part.title, part.about)
  checks_text(lines, part.checks or {})
  for _, t in ipairs(part.tables or {}) do
    lines[#lines + 1] = "| " .. table.concat(t.head, " | ") .. " |\n|" .. ("---|"):rep(#t.head)
    for _, cells in ipairs(t.rows) do lines[#lines + 1] = row(cells) end
    lines[#lines + 1] = ""
  end
  for _, note in ipairs(part.notes or {}) do lines[#lines + 1] = "- " .. note end
  if part.plot then lines[#lines + 1] = ("\n![%s](%s.svg)"):format(part.plot.title, name) end
  local m = part.machine
  lines[#lines + 1] = ("\n<sub>%s; %s, %d CPUs, Linux %s; load before %s, after %s; %d slices thrown away for stolen "
    .. "time, %d kept with it; %.0f s%s</sub>\n"):format(m.date, m.cpu, m.cpus, m.kernel, m.load_before, m.load_after,
    m.discarded, m.kept_stolen, m.seconds, m.quick and ", --quick" or "")
end

-- All names of objects in a value, in one order, so that a file differs only where its values do.
local function key_order(value)
  local seen, list = { title = true, about = true, checks = true }, {}
  local function collect(it)
    if type(it) ~= "table" then return end
    for key, inner in pairs(it) do
      if type(key) == "string" and not seen[key] then
        seen[key] = true
        list[#list + 1] = key
      end
      collect(inner)
    end
  end
  collect(value)
  table.sort(list)
  for i, name in ipairs({ "title", "about", "checks" }) do table.insert(list, i, name) end
  return list
end

--- Add parts (name -> part) to what is there, write everything anew. `order`: all names.
function M.write(parts, order)
  local all = read(M.directory .. "/results.json") or {}
  for name, part in pairs(parts) do all[name] = part end
  write(M.directory .. "/results.json", dkjson.encode(all, { indent = true, keyorder = key_order(all) }))
  all = read(M.directory .. "/results.json")
  local lines = { "# Results\n\nWritten by `scripts/bench`, from `bench/results.json`; every number is a median, in "
    .. "brackets the quartiles. Ratios are of slices of one run that alternated. What each part is for, and where the "
    .. "time goes: [docs/performance.md](../docs/performance.md).\n" }
  for _, name in ipairs(order) do
    if all[name] then
      part_text(lines, name, all[name])
      if all[name].plot then write(("%s/%s.svg"):format(M.directory, name), plot.svg(all[name].plot)) end
    end
  end
  write(M.directory .. "/RESULTS.md", table.concat(lines, "\n"))
end

return M
