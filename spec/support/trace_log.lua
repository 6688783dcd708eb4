-- SPDX-License-Identifier: MIT
-- What the JIT compiler did while a function ran: what it gave up on and where, and what was left to the interpreter.
local bit = require("bit")
local util = require("jit.util")
local vmdef = require("jit.vmdef")

jit.off(true, true) -- what watches is no part of what is watched

local M = {}

-- The specs' own functions, where traces end that leave the batch loop, are no matter.
local function is_of_spec(place) return place:find("_spec.lua", 1, true) ~= nil end

local function reason_of(code, what)
  if type(code) ~= "number" then return tostring(code) end
  if type(what) == "function" then
    local info = util.funcinfo(what)
    what = info.loc or info.addr or "?"
  end
  return (vmdef.traceerr[code] or "error " .. code):gsub("%%.", tostring(what))
end

--- Runs fn with nothing compiled at first; returns the traces given up meanwhile: { { at =, reason = } }.
function M.record(fn)
  local log = {}
  local function on_trace(what, _, func, pc, other, extra)
    local at = what == "abort" and util.funcinfo(func, pc).loc
    if at and not is_of_spec(at) then log[#log + 1] = { at = at, reason = reason_of(other, extra) } end
  end
  jit.flush()
  -- Counters of loops outlive a flush, and a loop given up on in an earlier spec leaves a large one to whatever loop
  -- shares it (they are kept by a hash of addresses). Setting the parameter anew sets them all.
  jit.opt.start("hotloop=56")
  jit.attach(on_trace, "trace")
  local ok, err = pcall(fn)
  jit.attach(on_trace)
  assert(ok, err)
  return log
end

--- A log to read.
function M.text(log)
  local lines = {}
  for i, abort in ipairs(log) do lines[i] = abort.at .. ": " .. abort.reason end
  return "given up on:\n" .. table.concat(lines, "\n")
end

--- Whether the loop of fn is compiled: its instruction says so.
function M.is_compiled(fn)
  for pc = 1, util.funcinfo(fn).bytecodes - 1 do
    local op = bit.band(util.funcbc(fn, pc), 0xff)
    local name = vmdef.bcnames:sub(6 * op + 1, 6 * op + 6):match("%u+")
    if name == "JLOOP" or name == "JFORL" then return true end
  end
  return false
end

--- The aborts of a log that a batch loop may not meet: what the compiler cannot do ("NYI"), and what it gave up on for
--- good ("blacklisted") that is none of compiler.lua's functions, which are never compiled by intent.
function M.fatal(log)
  local found = {}
  for _, abort in ipairs(log) do
    local given_up = abort.reason:find("blacklisted", 1, true) and not abort.at:find("compiler.lua", 1, true)
    if given_up or abort.reason:find("NYI", 1, true) then
      found[#found + 1] = abort.at .. ": " .. abort.reason
    end
  end
  return found
end

--- Instructions that the interpreter runs in fn(): compiled code calls no hook. Nothing new is compiled meanwhile.
function M.interpreted(fn)
  local count = 0
  debug.sethook(function() count = count + 1 end, "", 1)
  local ok, err = pcall(fn)
  debug.sethook()
  assert(ok, err)
  return count
end

--- Runs fn, for which everything should be compiled already; returns a list of the traces given up, as texts, and
--- "flush" for each time that all were thrown away.
function M.unsteady(fn)
  local seen = {}
  local function on_trace(what, _, func, pc, other, extra)
    local at = what == "abort" and util.funcinfo(func, pc).loc
    if at and not is_of_spec(at) then
      seen[#seen + 1] = at .. ": " .. reason_of(other, extra)
    elseif what == "flush" then
      seen[#seen + 1] = what
    end
  end
  jit.attach(on_trace, "trace")
  local ok, err = pcall(fn)
  jit.attach(on_trace)
  assert(ok, err)
  return seen
end

return M
