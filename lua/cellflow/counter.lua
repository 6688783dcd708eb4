-- SPDX-License-Identifier: MIT
-- counter(name [, label]): numbers of the policy's own that outlive worker and reload. They lie in core; here is only
-- which slot. Looking one up and adding to it allocates nothing, so it may be done for every event.
local ffi = require("ffi")
local options = require("cellflow.options")
local place = require("cellflow.place")
local suggest = require("cellflow.suggest")

local M = {}

local NAME_LEN = 63 -- CF_COUNTER_LEN - 1
local OBJECTS_MAX = 512 -- as many as core can tell apart
local EXACT = 2 ^ 53

local text_of_name = options.text(NAME_LEN + 1) -- here: a closure made where counters are would not be compiled

local function check_name(name)
  if type(name) ~= "string" then
    place.raise(("counter takes a name, got %s"):format(options.describe(name)))
  end
  local _, wrong = text_of_name(name)
  if wrong then place.raise("counter: the name " .. wrong) end
end

local function check_label(label)
  if type(label) ~= "string" and type(label) ~= "number" then
    place.raise(("counter: the label must be text or a number, got %s"):format(options.describe(label)))
  end
end

local function methods_of(core, phase, type, floor)
  local add, get, slot_of = core.cf_counter_add, core.cf_counter_get, core.cf_counter_slot
  -- Not while the file is read: another worker may still be in charge of the names, and nothing could be counted.
  local function slot_now(self)
    if phase.reading then
      place.raise("a counter may only be used in functions, not while the file is read")
    end
    self._slot = slot_of(self._name, #self._name, self._label, #self._label)
    return self._slot
  end
  local methods = {}
  function methods.add(self, n)
    if n == nil then n = 1 end
    if type(n) ~= "number" or not (n >= 0 and n <= EXACT) or floor(n) ~= n then
      place.raise("counter:add takes a whole number, not negative, got " .. options.describe(n))
    end
    local slot = self._slot
    if slot < 0 then slot = slot_now(self) end
    add(slot, n)
  end
  function methods.get(self)
    local slot = self._slot
    if slot < 0 then slot = slot_now(self) end
    return (get(slot))
  end
  return methods, slot_now
end

--- The word, and a function that gives every counter known so far its place in the summary.
function M.new(core, phase)
  local methods, slot_now = methods_of(core, phase, type, math.floor)
  local meta = { __index = setmetatable(methods, { __index = function(_, name)
    place.raise(('a counter has no member "%s"%s'):format(tostring(name), suggest.hint(name, { "add", "get" })))
  end }), __newindex = function() place.raise("a counter cannot be changed; use :add(n)") end, __metatable = false }
  local by_name, in_order, count = {}, {}, 0
  local function make(name, label)
    return (setmetatable({ _slot = -1, _name = name, _label = label }, meta))
  end
  local other = make("(other)", "")

  local function new(name, label)
    check_name(name)
    if label ~= nil then check_label(label) end
    if count >= OBJECTS_MAX then
      other._slot = ffi.C.CF_COUNTERS_MAX - 1
      return other
    end
    local labels = by_name[name]
    if not labels then
      labels = {}
      by_name[name] = labels
    end
    local counter = make(name, label == nil and "" or tostring(label))
    labels[label == nil and "" or label], count = counter, count + 1
    in_order[count] = counter
    return counter
  end

  local function word(name, label)
    local labels = by_name[name]
    local counter = labels and labels[label == nil and "" or label]
    if counter then return counter end
    return (new(name, label))
  end

  return word, function()
    for i = 1, count do slot_now(in_order[i]) end -- as declared: the summary lists them by slot
  end
end

return M
