-- SPDX-License-Identifier: MIT
-- Names what is slow. Core times batches only; after one that took too long the functions of the policy are timed for
-- one batch, and the one that took most of it is named. Slows nothing down otherwise, and changes no answer.
local ffi = require("ffi")
local compiler = require("cellflow.compiler")

local once = compiler.once -- all that is done for a slow batch: seldom enough to be no matter of the compiler's
local M = {}

M.QUIET_S = 60 -- between two lines

-- fn, timed, in that place. One for each function and for good: a starved host has many slow batches, and the compiled
-- loop would have to get to know another one each time.
local timed = once(function(self, place, fn)
  local now, spent, calls, known = self.now, self.spent, self.calls, self.timed
  spent[place], calls[place] = 0, 0
  known[place] = known[place] or {} -- several functions may share a place, and one function have several
  known[place][fn] = known[place][fn] or function(a, b, c)
    local from = now()
    local r, s, t = fn(a, b, c)
    spent[place], calls[place] = spent[place] + (now() - from), calls[place] + 1
    return r, s, t
  end
  return known[place][fn]
end)

-- Put the timed functions in, and remember what was there.
local begin = once(function(self)
  self.restore = {}
  for place in pairs(self.spent) do self.spent[place] = 0 end
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
end)

local finish = once(function(self)
  for _, was in ipairs(self.restore) do
    local where, key, fn, put = was[1], was[2], was[3], was[4]
    if where[key] == put then where[key] = fn end -- else it was quarantined meanwhile
  end
  self.restore = nil
end)

local name_slowest = once(function(self, seconds)
  local worst
  for place, spent in pairs(self.spent) do
    if not worst or spent > self.spent[worst] then worst = place end
  end
  if not worst or self.spent[worst] == 0 then return end
  local line = ("slow: %s took %.0f ms of a batch's %.0f, %.0f us a call"):format(worst, self.spent[worst] * 1e3,
    seconds * 1e3, self.spent[worst] * 1e6 / self.calls[worst])
  self.core.cf_log_text(ffi.C.CF_LOG_WARN, line, #line)
  self.logged = self.now()
end)

--- `setup` as for dispatch.new. Returns function(seconds, limit) to call after each batch that took longer than `limit`
--- and after each for which it returned true before: true while it times.
function M.new(core, setup)
  local self = { core = core, now = core.cf_monotonic_seconds, hooks = setup.hooks, places = setup.places,
    handlers = setup.handlers, logged = -math.huge, restore = nil, spent = {}, calls = {}, timed = {} }
  return once(function(seconds, limit)
    if self.restore then
      finish(self)
      if seconds > limit then name_slowest(self, seconds) end
      return false
    end
    if seconds <= limit or self.now() - self.logged < M.QUIET_S then return false end
    begin(self)
    return true
  end)
end

return M
