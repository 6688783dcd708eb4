-- SPDX-License-Identifier: MIT
-- The compiler's counters where they outlive a worker: each under its number, nothing beyond, nowhere when unbound.
local ffi = require("ffi")
local helper = require("spec.helper")
require("core_headers")("confine", "outcome", "trace_count")

local core, C = helper.core, ffi.C

describe("the compiler's counters", function()
  local shared

  before_each(function() shared = ffi.gc(core.cf_shared_new(), core.cf_shared_free) end)
  after_each(function() core.cf_traces_bind(nil) end)

  local function counted()
    local list = {}
    for i = 0, C.CF_TRACE_EVENTS - 1 do list[i + 1] = tonumber(shared.traces[i]) end
    return list
  end

  it("count under the number of each event", function()
    core.cf_traces_bind(shared)
    for _ = 1, 3 do core.cf_trace_count(C.CF_TRACE_COMPILED) end
    for _ = 1, 2 do core.cf_trace_count(C.CF_TRACE_ABORTED) end
    core.cf_trace_count(C.CF_TRACE_FLUSHED)
    assert.same({ 3, 2, 1 }, counted())
  end)

  it("are no part of a batch", function()
    core.cf_traces_bind(shared)
    core.cf_outcome_begin(shared)
    core.cf_trace_count(C.CF_TRACE_COMPILED)
    core.cf_outcome_commit(shared, core.cf_outcome_begin(shared))
    assert.same({ 1, 0, 0 }, counted())
  end)

  it("leave other memory alone, whatever number they are given", function()
    local before = ffi.string(shared, ffi.sizeof("struct cf_shared"))
    core.cf_traces_bind(shared)
    for _, number in ipairs({ C.CF_TRACE_EVENTS, 4096, 2 ^ 32 - 1 }) do core.cf_trace_count(number) end
    assert.equal(before, ffi.string(shared, ffi.sizeof("struct cf_shared")))
  end)

  it("count nothing without a place for it", function()
    core.cf_traces_bind(nil)
    core.cf_trace_count(C.CF_TRACE_COMPILED)
    assert.same({ 0, 0, 0 }, counted())
  end)
end)
