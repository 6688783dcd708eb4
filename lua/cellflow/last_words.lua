-- SPDX-License-Identifier: MIT
-- What is said when a function of the policy does not come back from one call into C (a text pattern, say), where
-- neither Lua nor limit.lua is asked any more: core says it then (core/guard.h), and the process ends. For verbs that
-- try functions of the policy; a run has its supervisor.
local M = {}

M.SECONDS = 4 -- of processor time, for one call; more than limit.lua's, which knows the line

--- `say(line)`: the whole text to be written, for "file:line: what went wrong"; `code`: the exit code.
--- Returns { begin(place, name), finish() }, to be called around each call of a function `name` defined at `place`.
function M.new(core, fd, code, say)
  local guard_begin, guard_finish = core.cf_guard_begin, core.cf_guard_finish
  return {
    begin = function(place, name)
      local text = say(("%s: %s did not come back from one call within %d s (a text pattern without an end?)"):format(
        place, name, M.SECONDS))
      guard_begin(M.SECONDS, code, fd, text, #text)
    end,
    finish = function() guard_finish() end,
  }
end

--- As core's log has it, for say().
function M.log_line(line) return ("cellflow: error: %s\n"):format((line:gsub("%c", " "))) end

return M
