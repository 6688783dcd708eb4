-- SPDX-License-Identifier: MIT
-- every(seconds, fn): functions that are called between batches. Knows when; how a call is protected is moments.lua's.
local options = require("cellflow.options")
local place = require("cellflow.place")
local progress_of = require("cellflow.progress")

local M = {}

M.TIMERS_MAX = 64
M.SECONDS_MIN, M.SECONDS_MAX = 0.01, 366 * 86400

local function check(seconds, fn)
  if type(seconds) ~= "number" or not (seconds >= M.SECONDS_MIN and seconds <= M.SECONDS_MAX) then
    place.raise(("every takes a number of seconds from %g to %d, got %s"):format(M.SECONDS_MIN, M.SECONDS_MAX,
      options.describe(seconds)))
  elseif type(fn) ~= "function" then
    place.raise("every takes seconds and a function, got " .. options.describe(fn))
  end
end

--- The timers of one policy: { every = the word, list =, start(now), run(now, call) -> time of the next or 0 }.
--- Times are seconds on the boot clock.
function M.new()
  local list = {}
  local timers = { list = list }

  function timers.every(seconds, fn)
    check(seconds, fn)
    if #list == M.TIMERS_MAX then
      place.raise(("every is used once too often; there can be %d timers"):format(M.TIMERS_MAX))
    end
    list[#list + 1] = { id = progress_of.TIMERS + #list + 1, seconds = seconds, fn = fn, due = 0, failures = 0,
      title = ("every(%g)"):format(seconds), place = place.of_function(fn) or place.here() or "?" }
  end

  --- Tell what the timers are called, and leave out those over which an earlier worker hung.
  function timers.bind(progress)
    for i, timer in ipairs(list) do
      local number = progress_of.of_timer(i)
      progress.name(number, ("%s at %s"):format(timer.title, timer.place))
      if progress.is_off(number) then timer.fn = false end
    end
  end

  function timers.start(now)
    for _, timer in ipairs(list) do timer.due = now + timer.seconds end
  end

  --- Calls what is due, once however late it is, and keeps its beat.
  function timers.run(now, call)
    local nearest = 0
    for _, timer in ipairs(list) do
      if now >= timer.due then
        timer.due = timer.due + timer.seconds * (math.floor((now - timer.due) / timer.seconds) + 1)
        if timer.due <= now then timer.due = now + timer.seconds end -- rounding
        call(timer)
      end
      if nearest == 0 or timer.due < nearest then nearest = timer.due end
    end
    return nearest
  end

  return timers
end

return M
