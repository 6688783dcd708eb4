-- SPDX-License-Identifier: MIT
-- Golden files: lines that were right once, compared with those of now, line by line.
local M = {}

local NO_LINE = "(no such line)"

local function read_lines(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local lines = {}
  for line in file:lines() do lines[#lines + 1] = line end
  file:close()
  return lines
end

local function write_lines(path, lines)
  local file, wrong = io.open(path, "wb")
  if not file then return "golden: cannot write " .. wrong end
  for _, line in ipairs(lines) do file:write(line, "\n") end
  file:close()
  io.stderr:write(("cellflow test: wrote %s (%d lines)\n"):format(path, #lines))
end

local function first_difference(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then return i end
  end
end

-- A member of a record's JSON text and its comma. Quotes inside of texts have a backslash before them, so the name in
-- quotes is the member's.
local function without(line, name)
  local from, at = line:find(',"' .. name .. '":"', 1, true)
  while at do
    at = line:find('["\\]', at + 1)
    if not at then return line end
    if line:byte(at) == 34 then return line:sub(1, from - 1) .. line:sub(at + 1) end
    at = at + 1
  end
  return line
end

--- The line without the policy's own line numbers, which any comment above would move.
function M.without_places(line) return without(without(line, "decided_at"), "error_at") end

--- nil when the file has just these lines, or when it has them now because of `update`; else what is wrong.
function M.compare(path, lines, update)
  local wanted = read_lines(path)
  local at = not wanted and 1 or first_difference(wanted, lines)
  if not at then return nil end
  if update then return write_lines(path, lines) end
  if not wanted then return ("golden: there is no %s; `cellflow test --update` writes it"):format(path) end
  return ("golden: %s: line %d is not what it was:\n  was: %s\n  now: %s\n%s"):format(path, at,
    wanted[at] or NO_LINE, lines[at] or NO_LINE,
    "`cellflow test --update` writes the file anew, if that is what was meant")
end

return M
