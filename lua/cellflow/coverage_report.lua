-- SPDX-License-Identifier: MIT
-- What `cellflow test --coverage` says: for each file of a policy how much of it ran, and the parts that never did as
-- they stand in the file. What ran is coverage.lua's to know.
local M = {}

local AROUND = 1 -- lines shown before and behind a part

local function percent(part, whole)
  return whole == 0 and 100 or 100 * part / whole
end

-- "ran", "part" (a function on it was never called) or "never"; nil where there is nothing to run.
local function state_of(parts)
  if not parts then return nil end
  local some, all = false, true
  for _, ran in pairs(parts) do
    some, all = some or ran, all and ran
  end
  return all and "ran" or some and "part" or "never"
end

-- How many lines do something, and how many of them ran.
local function counts(file)
  local all, ran = 0, 0
  for _, parts in pairs(file.lines) do
    all, ran = all + 1, ran + (state_of(parts) == "ran" and 1 or 0)
  end
  return all, ran
end

local function is_wanting(file, line)
  local state = state_of(file.lines[line])
  return state ~= nil and state ~= "ran"
end

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  if lines[#lines] == "" then lines[#lines] = nil end
  return lines
end

local function add_listing(out, file)
  local lines, shown = lines_of(file.text), 0
  for number = 1, #lines do
    local is_near = false
    for near = number - AROUND, number + AROUND do is_near = is_near or is_wanting(file, near) end
    if is_near then
      if shown > 0 and shown < number - 1 then out[#out + 1] = "        ..." end
      local mark = is_wanting(file, number) and state_of(file.lines[number]) or ""
      out[#out + 1] = ("  %5s %5d | %s"):format(mark, number, lines[number])
      shown = number
    end
  end
end

local function share(ran, all)
  return ("%d of %d lines ran (%.1f %%)"):format(ran, all, percent(ran, all))
end

local function add_file(out, file)
  local all, ran = counts(file)
  local matched = 0
  for _, rule in ipairs(file.rules) do matched = matched + (rule.matched > 0 and 1 or 0) end
  local about_rules = #file.rules > 0 and (", %d of %d rules matched"):format(matched, #file.rules) or ""
  out[#out + 1] = ("%s: %s%s"):format(file.name, share(ran, all), about_rules)
  add_listing(out, file)
  for _, rule in ipairs(file.rules) do
    if rule.matched == 0 then
      out[#out + 1] = ('  %s: %s "%s" matched no event'):format(rule.place, rule.decision, rule.name)
    end
  end
  return all, ran
end

--- `files` of coverage.lua. Returns the text, and how many percent of all lines ran.
function M.text(files)
  local out, all, ran = {}, 0, 0
  for _, file in ipairs(files) do
    local its_all, its_ran = add_file(out, file)
    all, ran = all + its_all, ran + its_ran
  end
  if #files == 0 then return "coverage: no policy was loaded\n", 0 end
  if #files > 1 then out[#out + 1] = "all: " .. share(ran, all) end
  return "coverage: " .. table.concat(out, "\n") .. "\n", percent(ran, all)
end

return M
