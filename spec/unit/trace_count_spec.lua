-- SPDX-License-Identifier: MIT
-- What the compiler does is counted: as much as another watcher sees, each thing under its own number, and in a runtime
-- that decides events. That a run's summary has the numbers is spec/system/trace_count_spec.lua's.
local ffi = require("ffi")
require("spec.helper")
local compiler = require("cellflow.compiler")
local recording = require("recording_core")
local trace_log = require("trace_log")

local C = ffi.C
local EVENTS = { compiled = C.CF_TRACE_COMPILED, aborted = C.CF_TRACE_ABORTED, flushed = C.CF_TRACE_FLUSHED }

-- A core that counts here, and what it counted, by the words above.
local function counting()
  local counts = { compiled = 0, aborted = 0, flushed = 0 }
  local core = setmetatable({ cf_trace_count = function(event)
    for word, number in pairs(EVENTS) do
      if event == number then counts[word] = counts[word] + 1 end
    end
  end }, { __index = require("spec.helper").core })
  return core, counts
end

-- Loops that are compiled, and one that never can be: it makes closures.
local function work()
  local sum, list = 0, {}
  for i = 1, 1000 do sum = sum + i end
  for i = 1, 1000 do list[i % 7] = function() return sum end end
  assert(#list == 6)
  for i = 1, 1000 do sum = sum + (i % 3 == 0 and 1 or 2) end
end

describe("the counters of the compiler", function()
  -- An attached function is the only one of its state: none is left to the specs that come after.
  local attached
  local function attach(fn)
    attached = fn
    jit.attach(fn, "trace")
  end
  -- Before numbers are looked at: what looks at them is compiled as well.
  local function detach()
    if attached then jit.attach(attached) end
    attached = nil
  end

  before_each(function() jit.flush() end)
  after_each(function()
    jit.on()
    detach()
    jit.flush()
  end)

  it("count what another watcher sees", function()
    local core, counts = counting()
    local count, seen = compiler.counter(core), { stop = 0, abort = 0, flush = 0 }
    attach(function(what, ...)
      count(what, ...)
      if seen[what] then seen[what] = seen[what] + 1 end
    end)
    work()
    jit.flush()
    work()
    detach()
    assert.is_true(seen.stop >= 4, "the loops were not compiled")
    assert.is_true(seen.abort >= 2, "nothing was given up")
    assert.same({ compiled = seen.stop, aborted = seen.abort, flushed = seen.flush }, counts)
    assert.equal(1, counts.flushed)
  end)

  it("count no flush that had nothing to throw away", function()
    local core, counts = counting()
    local count, flushes = compiler.counter(core), 0
    jit.off() -- so that nothing but work() is compiled in between
    attach(function(what, ...)
      if what == "flush" then flushes = flushes + 1 end
      count(what, ...)
    end)
    jit.flush()
    jit.on()
    work()
    jit.off()
    jit.flush()
    jit.flush()
    detach()
    assert.equal(3, flushes)
    assert.equal(1, counts.flushed)
  end)

  it("count for a runtime that was told to", function()
    local own, counts = counting()
    local host, out, batch, core =
      recording.host("function verdict(ev) if ev.dst_port == 22 then return 'deny', 'ssh' end end")
    core.cf_trace_count = own.cf_trace_count
    for i = 0, 255 do recording.fill(batch.events[i], { dst_port = i, seq = i }) end
    for _ = 1, 20 do host.batch(256) end
    assert.same({ compiled = 0, aborted = 0, flushed = 0 }, counts)
    jit.flush()
    host.count_traces()
    for _ = 1, 20 do host.batch(256) end
    trace_log.record(function() end) -- takes the place of the host's watcher, and then goes
    assert.is_true(counts.compiled > 0)
    assert.is_true(counts.flushed <= 1) -- that of record
    assert.equal(40 * 256, #out.endings)
  end)

  it("stay at 0 while nothing is compiled", function()
    local core, counts = counting()
    jit.off()
    work() -- what was being recorded is given up
    attach(compiler.counter(core))
    work()
    detach()
    assert.same({ compiled = 0, aborted = 0, flushed = 0 }, counts)
  end)
end)
