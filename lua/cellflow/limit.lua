-- SPDX-License-Identifier: MIT
-- Ends policy code that does not come back, where that is possible: in the interpreter, by a count of instructions and
-- by processor time. Compiled loops cannot be stopped from within; during a run it is the supervisor who ends a stuck
-- worker. One call into C counts as one instruction, however long it takes: that is last_words.lua's.
local sethook, clock = debug.sethook, os.clock
local jit_off, jit_on, jit_flush, jit_status = jit.off, jit.on, jit.flush, jit.status

local M = {}

M.SECONDS = 3 -- of one call: texts that grow take few instructions and a long time

local LOOK = 1e5 -- instructions between two looks

--- From now on the code that runs is ended by an error after about `steps` instructions or `seconds` of processor time,
--- until M.finish. ended() is called first, if it is given.
function M.begin(steps, seconds, ended)
  local left, deadline = steps, clock() + seconds
  local text
  local function stop()
    -- From now on at every instruction: a pcall of the policy's own would swallow an error that comes only once.
    sethook(stop, "", 1)
    error(text .. "; is there a loop without an end?", 0)
  end
  local function look()
    left = left - math.min(steps, LOOK)
    if left <= 0 then
      text = ("still running after %d million instructions"):format(steps / 1e6)
    elseif clock() >= deadline then
      text = ("still running after %d s"):format(seconds)
    else
      return
    end
    if ended then ended() end
    stop()
  end
  sethook(look, "", math.min(steps, LOOK))
end

--- Nothing is counted any more. To be called in the handler of an error as well, and not after xpcall, where the end
--- would meet the runtime itself.
function M.finish() sethook() end

--- xpcall(fn, handler), ended as M.begin says. Returns whether it came back, whether it was ended, and the error's text
--- where Lua did not call the handler. Only for code that is interpreted.
function M.call(fn, handler, steps, seconds)
  local expired = false
  local function handle(err)
    M.finish()
    return handler(err)
  end
  local function timed()
    M.begin(steps, seconds or M.SECONDS, function() expired = true end)
    fn()
    M.finish()
  end
  local ok, err = xpcall(timed, handle)
  M.finish()
  return ok, expired, err
end

--- Run fn() with nothing compiled. The flush matters: code that was compiled before would go on as it is.
function M.interpreted(fn)
  local was_on = jit_status()
  jit_off()
  jit_flush()
  local ok, err = pcall(fn)
  if was_on then jit_on() end
  if not ok then error(err, 0) end
end

return M
