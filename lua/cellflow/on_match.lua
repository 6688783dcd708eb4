-- SPDX-License-Identifier: MIT
-- Match tables of handlers: a field's exact value, or a list of values of which one must be it. Made into one function
-- of straight comparisons, so that the compiler sees no loop.
local event = require("cellflow.event")
local options = require("cellflow.options")
local place = require("cellflow.place")
local suggest = require("cellflow.suggest")

local M = {}

local function check_value(title, name, value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    place.raise(("%s: %s must be text, a number, true, false or a list of them, got %s"):format(title, name,
      options.describe(value)))
  end
  return value
end

local function comparison(title, name, wanted, values)
  if not event.get[name] then
    place.raise(('%s: a flow event has no field "%s"%s'):format(title, tostring(name),
      suggest.hint(name, event.fields)))
  end
  local list, tests = type(wanted) == "table" and wanted or { wanted }, {}
  for i = 1, #list do
    values[#values + 1] = check_value(title, name, list[i])
    tests[i] = ("value == values[%d]"):format(#values)
  end
  if #tests == 0 then place.raise(("%s: %s is an empty list"):format(title, name)) end
  return ("value = get.%s(raw)\nif not (%s) then return false end"):format(name, table.concat(tests, " or "))
end

--- function(raw) -> boolean for the match table `given`; raises for one that is wrong. `title` begins its errors.
function M.compile(given, title)
  local names, values, body = {}, {}, {}
  for name in pairs(given) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for i, name in ipairs(names) do body[i] = comparison(title, name, given[name], values) end
  local text = ("local get, values = ...\nreturn function(raw)\nlocal value\n%s\nreturn true\nend"):format(
    table.concat(body, "\n"))
  return assert(load(text, "=match"))(event.get, values)
end

return M
