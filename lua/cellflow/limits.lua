-- SPDX-License-Identifier: MIT
-- limits { ... }: bounds on the policy itself, checked and written into the plan with what is not given at its default
-- (plan.h). Carried out elsewhere: by the worker and its supervisor.
local ffi = require("ffi")
local options = require("cellflow.options")
local place = require("cellflow.place")

local C = ffi.C
local M = {}

local function yes_or_no(value)
  if type(value) == "boolean" then return value end
  return nil, "must be true or false, got " .. options.describe(value)
end

local LIMITS = {
  slow_ms = options.integer(1, C.CF_SLOW_MS_MAX), stuck_s = options.integer(1, C.CF_STUCK_S_MAX),
  memory_mb = options.integer(C.CF_MEMORY_MB_MIN, C.CF_MEMORY_MB_MAX), interpreted = yes_or_no,
}

--- Returns { limits = the word, close() }; close completes the plan.
function M.new(plan, phase)
  local given, declared = {}, nil
  local limits = {}

  function limits.limits(what)
    if not phase.reading then place.raise("limits() may only be used while the file is read") end
    given = options.check("limits", what, LIMITS)
    if declared then place.raise("limits is declared twice; the first is at " .. declared) end
    declared = place.here() or "?"
  end

  function limits.close()
    local to = plan.limits
    to.slow_ms = given.slow_ms or C.CF_SLOW_MS_DEFAULT
    to.stuck_s = given.stuck_s or C.CF_STUCK_S_DEFAULT
    to.memory_mb = given.memory_mb or C.CF_MEMORY_MB_DEFAULT
    to.interpreted = given.interpreted and 1 or 0
  end

  return limits
end

return M
