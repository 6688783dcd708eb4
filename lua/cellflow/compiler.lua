-- SPDX-License-Identifier: MIT
-- What LuaJIT's compiler is told, in one place. It begins a trace where a loop or a function has become hot; a trace
-- that fails it tries again a few times, and then leaves to the interpreter until the policy is reloaded. What comes
-- first is a matter of chance (counters are kept by a hash of addresses), so nothing may depend on that.
-- docs/testing.md says how the specs watch that.
local C = require("ffi").C
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

-- The LuaJIT of Debian 12 compiles next() wrongly (its issue 829, mended a fortnight after that snapshot): where
-- registers are short, half of a pointer is lost, and the process with it. So there a loop over pairs is left to the
-- interpreter; versions since then are called 2.1.NUMBER.
local next_is_broken = jit.version:find("2%.1%.0%-beta") ~= nil

--- next, to be used wherever a loop may become hot.
M.next = next_is_broken and M.once(function(what, key) return next(what, key) end) or next
--- The same of pairs, of plain tables.
function M.pairs(what) return M.next, what, nil end

M.FEW = 4 -- rounds; batch_loop spells out what is less

--- Two functions that do the same loop, the second for fewer than M.FEW rounds and never compiled -> a function(rounds,
--- ...) that calls the one or the other. What is recorded in the last round of a loop is given up, and in a loop that
--- goes round once that is every time: a quiet night would cost it its compilation for good, and the busy morning would
--- find it interpreted.
function M.by_rounds(loop, few)
  M.once(few)
  return M.once(function(rounds, ...)
    if rounds < M.FEW then return few(...) end
    return loop(...)
  end)
end

--- The same for load: `text` is a chunk that returns loops when it is called with the other arguments.
function M.loops(text, name, ...)
  local loops, few = { assert(load(text, name))(...) }, { assert(load(text, name))(...) }
  local out = {}
  for i, loop in ipairs(loops) do out[i] = { loop = loop, by_rounds = M.by_rounds(loop, few[i]) } end
  return out
end

--- Rounds of a loop over the first `count` of `list`, which are places in a batch: none, or M.FEW at least, of which
--- those to spare go to `behind`, a place that is no event's. A few of many are not left to the interpreter so, which
--- needs as long for one as the loop does for a hundred.
M.fill_up = M.once(function(list, count, behind)
  if count == 0 or count >= M.FEW then return count end
  for i = count, M.FEW - 1 do list[i] = behind end
  return M.FEW
end)

--- The loop of a batch: one() until state.index is state.count; one moves it on. Returns the loop and its twin for less
--- than M.FEW rounds, which goes round no loop. The twin may be compiled, although nothing begins there: a trace that
--- begins in one(), behind a branch, goes on into what called it, and is given up when that must not be compiled, four
--- times for each branch.
function M.batch_loop(state, one)
  local function loop(...) -- luacheck: ignore 212
    while state.index < state.count do one() end
  end
  local function few(...) -- luacheck: ignore 212
    if state.index < state.count then one() end
    if state.index < state.count then one() end
    if state.index < state.count then one() end
  end
  return loop, few
end

--- What counts in core (cf_trace_count) the events of jit.attach(fn, "trace"). It is called in the middle of the
--- compiler's work, where LuaJIT stands neither compiled code nor an error: it is interpreted, and makes nothing. A
--- flush with nothing to throw away is none. Starts are not counted: each becomes the one or the other.
function M.counter(core)
  local count, compiled = core.cf_trace_count, 0
  local COMPILED, ABORTED, FLUSHED = C.CF_TRACE_COMPILED, C.CF_TRACE_ABORTED, C.CF_TRACE_FLUSHED
  return M.once(function(what)
    if what == "stop" then
      compiled = compiled + 1
      count(COMPILED)
    elseif what == "abort" then
      count(ABORTED)
    elseif what == "flush" and compiled > 0 then
      compiled = 0
      count(FLUSHED)
    end
  end)
end

--- Count from now on. A state has room for one such function: the latest takes the place of any other.
function M.count(core) jit.attach(M.counter(core), "trace") end

-- A function that is a loop, or that calls where traces begin, takes its arguments as `...`, used or not: one of a
-- variable number of arguments has no counter, so that the compiler begins at the loop and not in vain at its head; and
-- it may be returned from where a trace ends ("NYI: return to lower frame" otherwise), so that the end of a batch is
-- compiled as well. Only these: the functions they call are better off with traces of their own, which go on where a
-- hook does what cannot be compiled.

return M
