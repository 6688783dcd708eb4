-- SPDX-License-Identifier: MIT
--
-- Counters that change one batch at a time: what a killed worker leaves behind is the last batch that was committed.
local ffi = require("ffi")
local helper = require("spec.helper")
require("core_headers")("confine", "outcome")

local core = helper.core

describe("outcome", function()
  local shared

  before_each(function()
    shared = ffi.gc(core.cf_shared_new(), core.cf_shared_free)
  end)

  local function committed() return core.cf_outcome_current(shared) end

  local function batch(consumed)
    local copy = core.cf_outcome_begin(shared)
    copy.consumed = copy.consumed + consumed
    return copy
  end

  it("shows nothing of a batch before its commit", function()
    core.cf_outcome_commit(shared, batch(5))
    local unfinished = batch(7)
    assert.equal(5, tonumber(committed().consumed))
    core.cf_outcome_commit(shared, unfinished)
    assert.equal(12, tonumber(committed().consumed))
    assert.equal(2, tonumber(committed().batches))
  end)

  it("starts a batch anew that was begun and never committed", function()
    core.cf_outcome_commit(shared, batch(5))
    batch(1000)
    core.cf_outcome_commit(shared, batch(1))
    assert.equal(6, tonumber(committed().consumed))
  end)

  it("tells an unfinished attempt by its number", function()
    core.cf_outcome_commit(shared, batch(1))
    assert.equal(shared.attempt, committed().attempt)
    batch(1)
    assert.are_not.equal(shared.attempt, committed().attempt)
    core.cf_outcome_commit(shared, batch(1))
    assert.equal(shared.attempt, committed().attempt)
  end)

  it("is copied whole", function()
    local copy = ffi.new("struct cf_outcome")
    core.cf_outcome_commit(shared, batch(3))
    batch(100)
    core.cf_outcome_snapshot(shared, copy)
    assert.equal(3, tonumber(copy.consumed))
  end)

  it("takes no index from what the other process wrote", function()
    shared.current = 0xffffffff
    assert.equal(shared.outcomes + 1, committed())
    assert.equal(shared.outcomes + 0, core.cf_outcome_begin(shared))
  end)

  describe("reason codes", function()
    local function slot(text) return core.cf_reason_slot(shared, text, #text) end

    it("have one slot each", function()
      assert.equal(0, slot("a"))
      assert.equal(1, slot("b"))
      assert.equal(0, slot("a"))
      assert.equal("b", ffi.string(shared.reason_names[1]))
    end)

    it("are counted under their first 63 bytes", function()
      assert.equal(slot(("r"):rep(63)), slot(("r"):rep(500)))
      assert.equal(63, #ffi.string(shared.reason_names[0]))
    end)

    it("share the last slot once there are too many", function()
      for i = 1, 255 do assert.equal(i - 1, slot("r" .. i)) end
      assert.equal(255, slot("one more"))
      assert.equal(255, slot("and another"))
      assert.equal(3, slot("r4"))
      assert.equal("(other)", ffi.string(shared.reason_names[255]))
      assert.equal(256, shared.reason_count)
    end)

    it("stay within their table whatever the count says", function()
      shared.reason_count = 0xffffffff
      assert.equal(255, slot("x"))
    end)
  end)
end)
