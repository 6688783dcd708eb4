-- SPDX-License-Identifier: MIT
-- window(seconds): how much there was of each key within the last seconds. Bounded: of more keys than fit, one that
-- counts little is forgotten. Time is the event's or the timer's. The counting is core/window.c's.
local ffi = require("ffi")
local options = require("cellflow.options")
local place = require("cellflow.place")

local C = ffi.C
local M = {}

M.KEYS_MAX = 50000 -- below a power of two: a full Lua table would be laid out anew for each key that replaces another
M.SECONDS_MAX = 366 * 86400
local SLOTS_FIRST = 64
local slots_type = ffi.typeof("struct cf_window_slot[?]")

--- What is behind a window that the policy has, for whoever asks what holds its memory.
local behind = setmetatable({}, { __mode = "k" })
function M.state_of(object) return behind[object] end

local function check_key(name, key)
  if type(key) ~= "string" and type(key) ~= "number" then
    place.raise(("window:%s takes a key (text or number), got %s"):format(name, options.describe(key)))
  end
end

local function check_amount(n)
  if type(n) ~= "number" or not (n >= 0 and n < math.huge) then
    place.raise("window:add takes a number that is not negative, got " .. options.describe(n))
  end
end

-- Keys and their slots. self: slots (cdata), room, used, of (key -> slot), keys (slot -> key), hand, forgotten.
local function grow(self)
  local room = math.min(self.room * 2, M.KEYS_MAX)
  local slots = slots_type(room)
  ffi.copy(slots, self.slots, self.used * ffi.sizeof("struct cf_window_slot"))
  self.slots, self.room = slots, room
end

local function replace_one(core, self, part)
  local slot = core.cf_window_least(self.slots, self.used, self.hand, part)
  self.hand = (self.hand + C.CF_WINDOW_LOOKS) % self.used
  if self.slots[slot].total > 0 then self.forgotten = self.forgotten + 1 end
  ffi.fill(self.slots[slot], ffi.sizeof("struct cf_window_slot"))
  self.of[self.keys[slot]] = nil
  return slot
end

local function claim(core, self, key, part)
  local slot = self.used
  if slot == M.KEYS_MAX then
    slot = replace_one(core, self, part)
  else
    if slot == self.room then grow(self) end
    self.used = slot + 1
  end
  self.of[key], self.keys[slot] = slot, key
  return slot
end

local function comes_first(a, b)
  if a.count ~= b.count then return a.count > b.count end
  return tostring(a.key) < tostring(b.key) -- the same order each time
end

-- The n largest, by insertion: n is small, the keys are many.
local function largest(core, self, n, part)
  local top = {}
  for slot = 0, self.used - 1 do
    local count = core.cf_window_add(self.slots[slot], part, 0)
    if count > 0 and (#top < n or count >= top[n].count) then
      local entry, at = { key = self.keys[slot], count = count }, #top
      while at > 0 and comes_first(entry, top[at]) do
        top[at + 1], at = top[at], at - 1
      end
      top[at + 1] = entry
      top[n + 1] = nil -- may be the entry itself: one that counts as much as the last, and comes after it
    end
  end
  return top
end

local function members_of(core, phase, clock, self, width)
  local floor, window_add = math.floor, core.cf_window_add -- looked up here: that is not compiled the first time
  local function now()
    if phase.reading then place.raise("a window may only be used in functions, not while the file is read") end
    return (floor(clock.now() / width))
  end
  local members = {}
  function members.add(_, key, n)
    if type(key) ~= "string" and type(key) ~= "number" then check_key("add", key) end
    if n == nil then n = 1 end
    check_amount(n)
    local part = now()
    local slot = self.of[key] or claim(core, self, key, part)
    return (window_add(self.slots[slot], part, n))
  end
  function members.count(_, key)
    check_key("count", key)
    local part, slot = now(), self.of[key]
    if not slot then return 0 end
    return (window_add(self.slots[slot], part, 0))
  end
  function members.top(_, n)
    if n == nil then n = 10 end
    if type(n) ~= "number" or n < 1 or n ~= floor(n) or n > 1000 then
      place.raise("window:top takes a whole number from 1 to 1000, got " .. options.describe(n))
    end
    return (largest(core, self, n, now()))
  end
  function members.forgotten() return self.forgotten end
  return members
end

--- The word. `strict(title, members)` makes an object of functions.
function M.new(core, phase, clock, strict)
  return function(seconds)
    if type(seconds) ~= "number" or not (seconds > 0 and seconds <= M.SECONDS_MAX) then
      place.raise(("window takes a number of seconds above 0, at most %d, got %s"):format(M.SECONDS_MAX,
        options.describe(seconds)))
    end
    local self = { slots = slots_type(SLOTS_FIRST), room = SLOTS_FIRST, used = 0, of = {}, keys = {}, hand = 0,
      forgotten = 0 }
    local object = strict("a window", members_of(core, phase, clock, self, seconds / C.CF_WINDOW_BUCKETS))
    behind[object] = self
    return object
  end
end

return M
