-- SPDX-License-Identifier: MIT
-- Checking { name = value } tables: every name known, every value of its type, length and range. A checker takes a
-- value and returns it as the plan wants it, or nil and what is wrong. Knows no word of the language.
local bit = require("bit")
local place = require("cellflow.place")
local suggest = require("cellflow.suggest")

local M = {}

--- "a number", "a table", ... and text or numbers as they were written.
function M.describe(value)
  local kind = type(value)
  if kind == "nil" then return "nil" end
  if kind == "string" then return #value <= 80 and ('"%s"'):format(value) or '"' .. value:sub(1, 77) .. '..."' end
  if kind == "number" or kind == "boolean" then return tostring(value) end
  if kind == "cdata" then return M.describe_cdata(value) end
  return "a " .. kind
end

--- Whether a cdata is a number of LuaJIT's own kind (1LL, 1ULL, 1i), for which policies have no use; else it is an
--- event.
function M.is_cdata_number(value) return tostring(value):find("^[%d%-]") ~= nil end

function M.describe_cdata(value)
  if not M.is_cdata_number(value) then return "a flow event" end
  local text = tostring(value)
  local suffix = text:match("U?LL$")
  return text .. (suffix and (" (leave out the %s)"):format(suffix) or " (a complex number)")
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function list(names)
  return '"' .. table.concat(names, '", "') .. '"'
end

--- Text that fits an array of `size` bytes with its NUL.
function M.text(size)
  return function(value)
    if type(value) ~= "string" then return nil, "must be text, got " .. M.describe(value) end
    if value == "" then return nil, "must not be empty" end
    if value:find("%z") then return nil, "must not contain a NUL byte" end
    if #value >= size then return nil, ("is %d bytes long, at most %d fit"):format(#value, size - 1) end
    return value
  end
end

function M.integer(low, high)
  return function(value)
    if type(value) ~= "number" or value ~= math.floor(value) or value < low or value > high then
      return nil, ("must be a whole number from %d to %d, got %s"):format(low, high, M.describe(value))
    end
    return value
  end
end

--- One of the names in `map` (name -> number).
function M.choice(map)
  local names = sorted_keys(map)
  return function(value)
    if type(value) == "string" and map[value] then return map[value] end
    return nil, ("must be one of %s, got %s%s"):format(list(names), M.describe(value), suggest.hint(value, names))
  end
end

--- One of the names in `map`, or a list of some: their numbers or-ed.
function M.flags(map)
  local one = M.choice(map)
  return function(value)
    if type(value) ~= "table" then return one(value) end
    local all = 0
    for i = 1, #value do
      local flag, wrong = one(value[i])
      if not flag then return nil, wrong end
      all = bit.bor(all, flag)
    end
    if all == 0 then return nil, "must not be empty" end
    return all
  end
end

--- The name after a word: `cell "name"`.
function M.check_name(word, name, size, example)
  if type(name) ~= "string" then
    place.raise(("%s takes a name first, got %s: %s"):format(word, M.describe(name), example))
  end
  local _, wrong = M.text(size)(name)
  if wrong then place.raise(("%s: the name %s"):format(word, wrong)) end
end

--- Check the table `given` against `checkers` (name -> checker); returns a table of what the plan wants.
function M.check(title, given, checkers)
  if type(given) ~= "table" then
    place.raise(("%s takes a table of options, got %s"):format(title, M.describe(given)))
  end
  local out = {}
  for _, name in ipairs(sorted_keys(given)) do
    if type(name) ~= "string" then
      place.raise(("%s: options are written name = value, but %s has no name"):format(title, M.describe(given[name])))
    end
    local checker = checkers[name]
    if not checker then
      place.raise(('%s: unknown option "%s"%s'):format(title, name, suggest.hint(name, sorted_keys(checkers))))
    end
    local value, wrong = checker(given[name])
    if wrong then place.raise(("%s: %s %s"):format(title, name, wrong)) end
    out[name] = value
  end
  return out
end

return M
