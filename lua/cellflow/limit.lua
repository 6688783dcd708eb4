-- SPDX-License-Identifier: MIT
-- Ends policy code that does not come back, where that is possible: in the interpreter, by a count of instructions.
-- Compiled loops cannot be stopped from within; during a run it is the supervisor who ends a stuck worker.
local sethook = debug.sethook
local jit_off, jit_on, jit_flush, jit_status = jit.off, jit.on, jit.flush, jit.status

local M = {}

--- xpcall(fn, handler), ended by an error after about `steps` instructions. Returns whether it came back, whether it
--- was ended, and the error's text where Lua did not call the handler. Only for code that is interpreted.
function M.call(fn, handler, steps)
  local expired = false
  local function stop()
    expired = true
    -- From now on at every instruction: a pcall of the policy's own would swallow an error that comes only once.
    sethook(stop, "", 1)
    error(("still running after %d million instructions; is there a loop without an end?"):format(steps / 1e6), 0)
  end
  local function handle(err)
    sethook() -- here and not after xpcall, where it would end the runtime itself
    return handler(err)
  end
  local function timed()
    sethook(stop, "", steps)
    fn()
    sethook()
  end
  local ok, err = xpcall(timed, handle)
  sethook()
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
