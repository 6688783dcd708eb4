-- SPDX-License-Identifier: MIT
-- What LuaJIT's compiler is told, in one place. It begins a trace where a loop or a function has become hot; a trace that
-- fails it tries again a few times, and then leaves to the interpreter until the policy is reloaded. What comes first
-- is a matter of chance (counters are kept by a hash of addresses), so nothing may depend on that.
-- docs/testing.md says how the specs watch that.
local opt, off = jit.opt.start, jit.off

local M = {}

-- Debian's defaults flush every trace at 1000 traces or 512 kB of machine code, and leave to the interpreter what
-- exceeds the others: 100 side traces of one loop (a policy with many branches), 500 snapshots, 500 constants and 4000
-- instructions of one trace (many handlers). Larger ones cost memory only when they are needed.
opt("maxtrace=4000", "maxmcode=8192", "sizemcode=128", "maxside=1000", "maxsnap=2000", "maxirconst=4000",
  "maxrecord=16000")

--- fn, which is called once for a batch and only calls loops: never compiled, and so never tried in vain. As a trace it
--- would only run into the loop's own.
function M.once(fn)
  off(fn)
  return fn
end

--- xpcall(fn, handler), with loops compiled as they stand. Otherwise the compiler hoists what does not change out of a loop and keeps
--- it in registers, which serves a loop of a few lines. A loop with a policy in it has nothing worth hoisting, but
--- branches by the hundred, each of which has to cope with the registers taken.
M.straight = M.once(function(fn, handler)
  opt("-loop")
  local ok, err = xpcall(fn, handler)
  opt("+loop")
  return ok, err
end)

-- A function that is a loop takes its arguments as `...`, used or not: one of a variable number of arguments has no
-- counter, so that the compiler begins at the loop and not in vain at the function's head; and it may be returned from
-- where a trace ends ("NYI: return to lower frame" otherwise), so that the end of a batch is compiled as well.

return M
