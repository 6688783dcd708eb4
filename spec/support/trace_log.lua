-- SPDX-License-Identifier: MIT
-- What the JIT compiler did while a function ran: traces that ended well, and aborts with the place they began at.
local util = require("jit.util")
local vmdef = require("jit.vmdef")

local M = {}

local function reason_of(code, what)
  if type(code) ~= "number" then return tostring(code) end
  if type(what) == "function" then
    local info = util.funcinfo(what)
    what = info.loc or info.addr or "?"
  end
  return (vmdef.traceerr[code] or "error " .. code):gsub("%%.", tostring(what))
end

--- Runs fn; returns { loops = { [function] = true }, aborts = { { func =, root =, head =, at =, reason = } } }: the
--- functions of which a loop was compiled, and what was not. `root`: not a side trace; `head`: began at a function's
--- head and not in a loop.
function M.record(fn)
  local log, begun = { loops = {}, aborts = {} }, nil
  local function on_trace(what, _, func, pc, other, extra)
    if what == "start" then
      begun = { root = not extra, head = pc == 0, func = func }
    elseif what == "stop" and begun then
      if begun.root and not begun.head then log.loops[begun.func] = true end
    elseif what == "abort" and begun then
      log.aborts[#log.aborts + 1] = { func = begun.func, root = begun.root, head = begun.head,
        at = util.funcinfo(func, pc).loc, reason = reason_of(other, extra) }
    end
  end
  jit.flush()
  jit.attach(on_trace, "trace")
  local ok, err = pcall(fn)
  jit.attach(on_trace)
  assert(ok, err)
  return log
end

--- Run check() up to five times, until it raises nothing. Where the compiler begins a trace depends on counters that it
--- keeps by a hash of addresses, so that now and then it gives up on a loop which it takes the next time. What it can
--- never take fails every time.
function M.at_best(check)
  local ok, err
  for _ = 1, 5 do
    ok, err = pcall(check)
    if ok then return end
  end
  error(err, 0)
end

return M
