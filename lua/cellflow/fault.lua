-- SPDX-License-Identifier: MIT
-- Script errors: where, how often, and what is said about them. The first of a place is logged with its traceback,
-- later ones are counted. Does not decide what happens to the event.
local ffi = require("ffi")
local answer = require("cellflow.answer")
local place = require("cellflow.place")

local M = {}

local PLACES_MAX = 1024 -- a policy can have more lines, hardly more that fail

local function warn(core, text)
  core.cf_log_text(ffi.C.CF_LOG_WARN, text, #text)
end

--- Accounts of a runtime: { capture=, settle=, quarantined=, report= }.
function M.new(core)
  local counts, known = {}, 0
  local met = { place = nil, text = nil, trace = nil } -- of the error in hand
  local faults = { counts = counts }

  --- The handler for xpcall: runs on the stack of the error, so it only notes. It may itself fail (no stack or memory
  --- left); then nothing is noted and settle falls back to where the hook is defined.
  function faults.capture(err)
    met.place, met.text, met.trace = nil, nil, nil
    if rawequal(err, answer.WRONG) then -- an event, which may be an error as well, cannot be compared
      met.text = answer.wrong_text
      return
    end
    local where, info = place.here()
    met.text = place.text(err, info)
    met.place = where
    if where and not counts[where] then
      met.trace = place.traceback()
    end
  end

  --- Account for the error just captured, which hook `name` defined at `home` met. Returns its place and text. `err` is
  --- what xpcall returned: text where Lua did not call the handler (out of memory) or that failed.
  function faults.settle(name, home, err)
    local where, text, trace = met.place or home, met.text or err or "error that left no text", met.trace
    met.place, met.text, met.trace = nil, nil, nil
    if text:sub(1, #where + 2) == where .. ": " then text = text:sub(#where + 3) end
    if counts[where] then
      counts[where] = counts[where] + 1
    elseif known < PLACES_MAX then
      counts[where], known = 1, known + 1
      warn(core, ("%s: %s [in %s%s]"):format(where, text, name, trace and "; " .. trace or ""))
    end
    return where, text
  end

  function faults.quarantined(name, home, limit)
    warn(core, ("%s: %s failed %d times in a row and is not asked again until the policy is reloaded"):format(home,
      name, limit))
  end

  --- One line for each place that failed more than once. Returns the counts by place.
  function faults.report()
    local places = {}
    for where in pairs(counts) do places[#places + 1] = where end
    table.sort(places)
    for _, where in ipairs(places) do
      if counts[where] > 1 then
        warn(core, ("%s: %d script errors in all"):format(where, counts[where]))
      end
    end
    return counts
  end

  return faults
end

return M
