-- SPDX-License-Identifier: MIT
-- The time that policies live in: that of the event in hand, or of the timer that runs. Never the host's clock, so that
-- a recording is decided the same at any speed.
local M = {}

--- Returns { now=, follow=, set= }. now() is in seconds on the boot clock.
function M.new()
  local clock = { fixed = false, state = false, raws = false }

  --- From here on the event that dispatch is at tells the time.
  function clock.follow(state, raws) clock.state, clock.raws = state, raws end

  --- Between batches: the time, or false for "the event's again".
  function clock.set(seconds) clock.fixed = seconds end

  function clock.now()
    local fixed = clock.fixed
    if fixed then return fixed end
    return tonumber(clock.raws[clock.state.index].last_seen_ns) / 1e9
  end

  return clock
end

return M
