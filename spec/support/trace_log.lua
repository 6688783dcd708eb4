-- SPDX-License-Identifier: MIT
-- What the JIT compiler did while a function ran: traces that ended well, aborts with their place, and what was left to
-- the interpreter.
local util = require("jit.util")
local vmdef = require("jit.vmdef")

jit.off(true, true) -- what watches is no part of what is watched

local M = {}

local function reason_of(code, what)
  if type(code) ~= "number" then return tostring(code) end
  if type(what) == "function" then
    local info = util.funcinfo(what)
    what = info.loc or info.addr or "?"
  end
  return (vmdef.traceerr[code] or "error " .. code):gsub("%%.", tostring(what))
end

--- Runs fn; returns { loops = { [function] = true }, aborts = { { at =, reason = } } }: the functions of which a loop
--- was compiled, and what was not.
function M.record(fn)
  local log, begun = { loops = {}, aborts = {} }, nil
  local function on_trace(what, _, func, pc, other, extra)
    if what == "start" then
      begun = { root = not extra, head = pc == 0, func = func }
    elseif what == "stop" and begun then
      if begun.root and not begun.head then log.loops[begun.func] = true end
    elseif what == "abort" and begun then
      log.aborts[#log.aborts + 1] = { at = util.funcinfo(func, pc).loc, reason = reason_of(other, extra) }
    end
  end
  jit.flush()
  jit.attach(on_trace, "trace")
  local ok, err = pcall(fn)
  jit.attach(on_trace)
  assert(ok, err)
  return log
end

--- The aborts of a log that a batch loop may not meet: what the compiler cannot do ("NYI"), and what it gave up on for
--- good. The others are its way to begin: it tries again, from a loop's next round.
function M.fatal(log)
  local found = {}
  for _, abort in ipairs(log.aborts) do
    if abort.reason:find("NYI", 1, true) or abort.reason:find("blacklisted", 1, true) then
      found[#found + 1] = abort.at .. ": " .. abort.reason
    end
  end
  return found
end

--- Runs fn, for which everything should be compiled already; returns { aborts =, flushes =, interpreted = }: list of
--- the traces given up, as texts; times that all were thrown away; number of instructions that the interpreter ran, for
--- compiled code calls no hook.
function M.steady(fn)
  local seen, interpreted = { aborts = {}, flushes = 0 }, 0
  local function on_trace(what, _, func, pc, other, extra)
    if what == "abort" then
      seen.aborts[#seen.aborts + 1] = util.funcinfo(func, pc).loc .. ": " .. reason_of(other, extra)
    elseif what == "flush" then
      seen.flushes = seen.flushes + 1
    end
  end
  -- The hook first: setting it ends what is being recorded, if anything is.
  debug.sethook(function() interpreted = interpreted + 1 end, "", 1)
  jit.attach(on_trace, "trace")
  local ok, err = pcall(fn)
  jit.attach(on_trace)
  debug.sethook()
  assert(ok, err)
  seen.interpreted = interpreted
  return seen
end

return M
