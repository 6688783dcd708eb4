-- SPDX-License-Identifier: MIT
-- From the values of a field to classes (see class_sets.lua): bytes and small numbers by a table, texts by a table,
-- other numbers by the boundaries between classes. `holders` is a list of { rule = number from 0, cond = condition of
-- match.lua }; `base` is the class of the rules that do not ask for this field, and of events that lack it: a draft for
-- what makes classes, which are placed when they are returned, and placed for what looks them up.
local bit = require("bit")
local ffi = require("ffi")
local class_sets = require("cellflow.class_sets")
local compiler = require("cellflow.compiler")

local rshift = bit.rshift
local M = {}

local int_array = ffi.typeof("int32_t[?]")

--- A table of 257 classes: by byte, and [256] for a field that is absent.
function M.bytes(sets, base, holders)
  local map = int_array(257)
  for i = 0, 256 do map[i] = base end
  for _, holder in ipairs(holders) do
    for _, byte in ipairs(holder.cond.list) do
      if map[byte] == base then map[byte] = sets.copy(base) end
      sets.put(map[byte], holder.rule, true)
    end
  end
  for i = 0, 256 do map[i] = sets.place(map[i]) end
  return map
end

--- { text = class }; texts that no rule names are not in it.
function M.texts(sets, base, holders)
  local map = {}
  for _, holder in ipairs(holders) do
    for _, text in ipairs(holder.cond.list) do
      map[text] = map[text] or sets.copy(base)
      sets.put(map[text], holder.rule, true)
    end
  end
  for text, class in pairs(map) do map[text] = sets.place(class) end
  return map
end

local function note(changes, at, rule, on)
  local list = changes[at]
  if not list then
    list = {}
    changes[at] = list
  end
  list[#list + 1] = { rule = rule, on = on }
end

--- Two arrays: bounds (doubles, ascending; `count` of them) and classes. classes[n] is for values below bounds[n] and
--- not below bounds[n - 1].
function M.ranges(sets, base, holders)
  local changes, bounds = {}, {}
  for _, holder in ipairs(holders) do
    for _, span in ipairs(holder.cond.list) do
      note(changes, span[1], holder.rule, true)
      note(changes, span[2], holder.rule, false)
    end
  end
  for at in pairs(changes) do bounds[#bounds + 1] = at end
  table.sort(bounds)
  local out = { count = #bounds, bounds = ffi.new("double[?]", #bounds + 1), classes = int_array(#bounds + 1) }
  out.classes[0] = base
  for i, at in ipairs(bounds) do
    local class = sets.copy(out.classes[i - 1])
    for _, change in ipairs(changes[at]) do sets.put(class, change.rule, change.on) end
    out.bounds[i - 1], out.classes[i] = at, class
  end
  for i = 0, #bounds do out.classes[i] = sets.place(out.classes[i]) end
  return out
end

--- Ranges of 16-bit numbers spread out: a table by number, and [65536] for a field that is absent; a class is what is
--- in it, shifted left by the second result. So a class mostly takes 16 bits, and half as much memory is cached twice
--- as well.
function M.shorts(sets, base, holders)
  local ranges = M.ranges(sets, base, holders)
  local absent, largest = sets.place(base), 0
  for i = 0, ranges.count do largest = math.max(largest, ranges.classes[i], absent) end
  local shift = class_sets.UNIT_SHIFT
  local is_small = rshift(largest, shift) < 65536
  if not is_small then shift = 0 end
  local map, n = is_small and ffi.new("uint16_t[65537]") or int_array(65537), 0
  for value = 0, 65535 do
    while n < ranges.count and ranges.bounds[n] <= value do n = n + 1 end
    map[value] = rshift(ranges.classes[n], shift)
  end
  map[65536] = rshift(absent, shift)
  return map, shift
end

--- The class of one number.
function M.class_of(ranges, value)
  local n = 0
  while n < ranges.count and ranges.bounds[n] <= value do n = n + 1 end
  return ranges.classes[n]
end

--- A function (count, handles, count, out) that finds the classes of a batch; `get` gives a handle's number or nil. One
--- loop and none inside it: a search step or the next event, because a loop within a loop is what the compiler is bad
--- at.
function M.search(ranges, base, get)
  local bounds, classes, bounds_count = ranges.bounds, ranges.classes, ranges.count
  return function(...) -- see compiler.lua
    local _, handles, count, out = ...
    local i, from, to, value = -1, 0, 0, 0
    while true do
      if from < to then
        local middle = rshift(from + to, 1)
        if bounds[middle] <= value then from = middle + 1 else to = middle end
      else
        if i >= 0 and to >= 0 then out[i] = classes[from] end
        i = i + 1
        if i >= count then return end
        local number = get(handles[i])
        if number then
          value, from, to = number, 0, bounds_count
        else
          out[i], from, to = base, 0, -1
        end
      end
    end
  end
end

--- A function (count, handles, count, out): classes by a text that `get` makes of a handle, or nil.
function M.shown(map, base, get)
  local function search(...) -- see compiler.lua
    local handles, count, out = ...
    for i = 0, count - 1 do
      local text = get(handles[i])
      out[i] = text and map[text] or base
    end
  end
  local function few(handles, count, out)
    for i = 0, count - 1 do
      local text = get(handles[i])
      out[i] = text and map[text] or base
    end
  end
  return compiler.by_rounds(search, few)
end

--- A function (count, raws, count, out): classes by the log prefix. Texts seen are kept for a while, so that the same
--- prefix again makes no string.
function M.prefixes(map, base)
  local KEPT_MAX = 1024
  local kept, kept_count = {}, 0
  local function keep(text)
    if kept_count >= KEPT_MAX then
      kept, kept_count = {}, 0
    end
    kept[text], kept_count = map[text] or base, kept_count + 1
    return kept[text]
  end
  local function class_of(raw)
    if raw.prefix[0] == 0 then return base end
    local text = ffi.string(raw.prefix)
    return kept[text] or keep(text)
  end
  local function search(...) -- see compiler.lua
    local raws, count, out = ...
    for i = 0, count - 1 do out[i] = class_of(raws[i]) end
  end
  local function few(raws, count, out)
    for i = 0, count - 1 do out[i] = class_of(raws[i]) end
  end
  return compiler.by_rounds(search, few)
end

return M
