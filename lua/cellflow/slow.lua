-- SPDX-License-Identifier: MIT
-- Names what is slow. Core times batches only; after one that took too long the functions of the policy are timed for
-- one batch, and the one that took most of it is named. Slows nothing down otherwise, and changes no answer.
local ffi = require("ffi")

local M = {}

M.QUIET_S = 60 -- between two lines

local function timed(self, place, fn)
  local now, spent, calls = self.now, self.spent, self.calls
  spent[place], calls[place] = 0, 0
  return function(a, b, c)
    local from = now()
    local r, s, t = fn(a, b, c)
    spent[place], calls[place] = spent[place] + (now() - from), calls[place] + 1
    return r, s, t
  end
end

-- Put the timed functions in, and remember what was there.
local function begin(self)
  self.spent, self.calls, self.restore = {}, {}, {}
  for name, fn in pairs(self.hooks) do
    if fn then
      self.hooks[name] = timed(self, ("%s at %s"):format(name, self.places[name] or "?"), fn)
      self.restore[#self.restore + 1] = { self.hooks, name, fn, self.hooks[name] }
    end
  end
  for _, entry in ipairs(self.handlers.list) do
    local fn = self.handlers.fns[entry.id]
    if fn then
      self.handlers.fns[entry.id] = timed(self, ("%s at %s"):format(entry.title, entry.place), fn)
      self.restore[#self.restore + 1] = { self.handlers.fns, entry.id, fn, self.handlers.fns[entry.id] }
    end
  end
end

local function finish(self)
  for _, was in ipairs(self.restore) do
    local where, key, fn, put = was[1], was[2], was[3], was[4]
    if where[key] == put then where[key] = fn end -- else it was quarantined meanwhile
  end
  self.restore = nil
end

local function name_slowest(self, seconds)
  local worst
  for place, spent in pairs(self.spent) do
    if not worst or spent > self.spent[worst] then worst = place end
  end
  if not worst or self.spent[worst] == 0 then return end
  local line = ("slow: %s took %.0f ms of a batch's %.0f, %.0f us a call"):format(worst, self.spent[worst] * 1e3,
    seconds * 1e3, self.spent[worst] * 1e6 / self.calls[worst])
  self.core.cf_log_text(ffi.C.CF_LOG_WARN, line, #line)
  self.logged = self.now()
end

--- `setup` as for dispatch.new. Returns function(seconds, limit) to call after each batch that took longer than `limit`
--- and after each for which it returned true before: true while it times.
function M.new(core, setup)
  local self = { core = core, now = core.cf_monotonic_seconds, hooks = setup.hooks, places = setup.places,
    handlers = setup.handlers, logged = -math.huge, restore = nil }
  return function(seconds, limit)
    if self.restore then
      finish(self)
      if seconds > limit then name_slowest(self, seconds) end
      return false
    end
    if seconds <= limit or self.now() - self.logged < M.QUIET_S then return false end
    begin(self)
    return true
  end
end

return M
