-- SPDX-License-Identifier: MIT
-- Match tables of handlers, one event at a time: what match.lua read, made into one function of straight comparisons,
-- so that the compiler sees no loop. Rules, of which there may be thousands, have rule_index.lua instead.
local cidr = require("cellflow.cidr")
local event = require("cellflow.event")
local match = require("cellflow.match")
local names = require("cellflow.names")

local M = {}

local NUMBERS = { protocol_number = true, icmp_type = true, icmp_code = true } -- bytes that events show as numbers

-- The values that an event shows for the bytes of a condition: { value = true }.
local function shown(by_number, name, bytes)
  local accepted = {}
  for _, byte in ipairs(bytes) do
    if NUMBERS[name] then
      accepted[byte] = true
    elseif event.truths[name] then
      accepted[byte == 1] = true
    elseif by_number[name][byte] ~= nil then
      accepted[by_number[name][byte]] = true
    end
  end
  return accepted
end

local function range_test(list)
  local tests = {}
  for i, span in ipairs(list) do tests[i] = ("value >= %.17g and value < %.17g"):format(span[1], span[2]) end
  return table.concat(tests, " or ")
end

-- Text of the test of `value`, which is not nil; what it needs beside goes into needs[name].
local function test(self, name, cond, wanted, needs)
  if cond.kind == "ranges" then return range_test(cond.list) end
  if cond.kind == "nets" then
    needs[name] = cidr.texts(wanted) and wanted or self.net(wanted)
    return ("needs.%s:has(value)"):format(name)
  end
  needs[name] = cond.kind == "bytes" and shown(self.by_number, name, cond.list) or cond.set
  return ("needs.%s[value]"):format(name)
end

local LINE = [[
value = get.%s(raw)
if value == nil or not (%s) then return false end
]]

--- Returns compile(given, title) -> function(raw) -> boolean, and its conditions as of match.lua, for match tables of
--- handlers. It raises for a table that is wrong, at the policy's line; `title` begins its errors.
function M.new(core)
  local self = { reader = match.new(core), by_number = names.new(core), net = cidr.new(core) }
  return function(given, title)
    local found, needs, lines = self.reader.read(title, given), {}, {}
    for _, name in ipairs(event.fields) do
      if found[name] then lines[#lines + 1] = LINE:format(name, test(self, name, found[name], given[name], needs)) end
    end
    local text = ("local get, needs = ...\nreturn function(raw)\nlocal value\n%sreturn true\nend"):format(
      table.concat(lines))
    return assert(load(text, "=match"))(event.get, needs), found
  end
end

return M
