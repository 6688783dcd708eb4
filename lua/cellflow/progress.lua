-- SPDX-License-Identifier: MIT
-- Where dispatch is in a batch, in memory of core's that outlives the worker (cf_progress in api.h): by it the
-- supervisor learns over which of the policy's functions a worker hangs, and switches that off for the next one.
-- Costs nothing: it is the state that dispatch needs anyway.
local bit = require("bit")
local ffi = require("ffi")

local C = ffi.C
local M = {}

M.TIMERS = 64 -- timer n has `at` M.TIMERS + n, behind the handlers

--- Number of a place: of a step's hook, of a handler or of a timer.
function M.of_step(step) return step end
function M.of_handler(id) return C.CF_PLACE_HANDLERS + id end
function M.of_timer(index) return C.CF_PLACE_HANDLERS + M.TIMERS + index end

local function is_off(state, place)
  -- Words of 64 bits, read as pairs of 32: numbers, not boxes.
  local words = ffi.cast("const uint32_t *", state.switched_off)
  return bit.band(bit.rshift(words[math.floor(place / 32)], place % 32), 1) ~= 0
end

--- { state = struct cf_progress *, name(place, text), is_off(place) }, at the beginning of a batch that has not begun.
function M.new(core)
  local state = core.cf_progress_get()
  state.index, state.count, state.step, state.at = 0, 0, 0, 0
  ffi.fill(state.failures, ffi.sizeof(state.failures))
  local progress = { state = state }

  --- What people call a place.
  function progress.name(place, text)
    local len = math.min(#text, C.CF_PLACE_NAME_LEN - 1)
    ffi.copy(state.names[place], text, len)
    state.names[place][len] = 0
  end
  function progress.is_off(place) return is_off(state, place) end
  return progress
end

return M
