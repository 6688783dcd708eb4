-- SPDX-License-Identifier: MIT
-- What a policy is called for between batches: start, stop, lost, and timers. Every call is protected by itself: an
-- error costs that call only.
local handlers_module = require("cellflow.handlers")
local memory = require("cellflow.memory")

local M = {}

--- `parts`: handlers (of handlers.lua), timers (of timers.lua), clock (of clock.lua), faults (of fault.lua), progress
--- (of progress.lua), ready (to call before anything of the policy runs). Returns function(kind, now, lost, total) ->
--- time of the next timer or 0, where kind is start, stop, lost or timer, now is in seconds on the boot clock.
function M.new(core, parts)
  local handlers, timers, clock, faults = parts.handlers, parts.timers, parts.clock, parts.faults
  local state = parts.progress.state

  local relieve = memory.new(core)

  local function failed(entry, err)
    relieve(err)
    faults.settle(entry.title, entry.place)
    core.cf_script_error()
  end

  local function tell(kind, argument)
    for _, entry in ipairs(handlers.list) do
      local fn = entry.kind == kind and handlers.fn(entry.id)
      if fn then
        state.at = entry.id
        local ok, err = xpcall(fn, faults.capture, argument and argument())
        if ok then
          handlers.succeeded(entry.id)
        else
          failed(entry, err)
          handlers.failed(entry.id, faults)
        end
      end
    end
  end

  local function call_timer(timer, seconds)
    if not timer.fn then return end
    state.at = timer.id
    local ok, err = xpcall(timer.fn, faults.capture, seconds)
    if ok then
      timer.failures = 0
      return
    end
    failed(timer, err)
    timer.failures = timer.failures + 1
    if timer.failures >= handlers_module.QUARANTINE_AFTER then
      timer.fn = false
      faults.quarantined(timer.title, timer.place, handlers_module.QUARANTINE_AFTER)
    end
  end

  return function(kind, now, lost, total)
    clock.set(now)
    if kind == "start" then
      parts.ready()
      timers.start(now)
      tell(kind)
    elseif kind == "lost" then
      -- A table for each: what one changes the next must not see.
      tell(kind, function() return { count = lost, total = total } end)
    elseif kind == "stop" then
      tell(kind)
    end
    local wall = kind == "timer" and core.cf_wall_seconds(now * 1e9)
    local nearest = timers.run(kind == "timer" and now or -math.huge, function(timer) call_timer(timer, wall) end)
    clock.set(false)
    state.at = 0
    return nearest
  end
end

return M
