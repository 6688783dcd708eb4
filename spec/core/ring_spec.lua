-- SPDX-License-Identifier: MIT
--
-- The ring's consumer against a ring made by hand in a memfd: records that are not ready, discarded or of the wrong
-- length, and the seam at the end.
local ffi = require("ffi")
local helper = require("spec.helper")
local made_ring = require("made_ring")
require("core_headers")("error", "ring")

local core = helper.core
local SIZE, LEN, BUSY, DISCARD = made_ring.SIZE, made_ring.LEN, made_ring.BUSY, made_ring.DISCARD

describe("ring", function()
  local ring, made, batch

  before_each(function()
    made = made_ring.new()
    ring = ffi.gc(ffi.new("struct cf_ring"), core.cf_ring_close)
    assert(core.cf_ring_open(ring, made.fd, SIZE, nil) == 0)
    batch = ffi.new("struct cf_batch")
  end)

  after_each(function()
    core.cf_ring_close(ring)
    made:close()
  end)

  local function produce(...) return made:produce(...) end
  local function in_ring(position)
    return tonumber(core.cf_ring_count(ring, position or core.cf_ring_position(ring)))
  end

  -- first_seen_ns of the events taken; further results: passed, refused, length, position
  local function take(from, max)
    local position, refused, len = ffi.new("uint64_t[1]", from or 0), ffi.new("uint32_t[1]"), ffi.new("uint32_t[1]")
    local passed = core.cf_ring_take(ring, position, batch, max or 256, refused, len)
    local marks = {}
    for i = 0, batch.count - 1 do marks[#marks + 1] = tonumber(batch.events[i].first_seen_ns) end
    return marks, passed, refused[0], len[0], tonumber(position[0])
  end

  it("is empty", function()
    local marks, passed = take()
    assert.same({}, marks)
    assert.equal(0, passed)
    assert.equal(0, in_ring())
  end)

  it("gives its records in order, and releases none by itself", function()
    for i = 1, 3 do produce(i) end
    local marks, passed, _, _, position = take()
    assert.same({ 1, 2, 3 }, marks)
    assert.equal(3, passed)
    assert.equal(3 * (8 + LEN), position)
    assert.equal(0, tonumber(core.cf_ring_position(ring)))
    assert.equal(3, in_ring())
    core.cf_ring_release(ring, position)
    assert.equal(3 * (8 + LEN), tonumber(core.cf_ring_position(ring)))
    assert.equal(3 * (8 + LEN), tonumber(made:consumer()[0]))
    assert.equal(0, in_ring())
  end)

  it("stops before a record that its producer has not finished", function()
    produce(1)
    local at = produce(2, LEN, BUSY)
    produce(3)
    local marks, _, _, _, position = take()
    assert.same({ 1 }, marks)
    assert.equal(at, position)
    assert.equal(1, in_ring())
    made:byte(at + 3, 0)
    assert.same({ 2, 3 }, (take(position)))
  end)

  it("passes over discarded records, which count as nothing", function()
    produce(1, LEN, DISCARD)
    produce(2)
    produce(3, 16, DISCARD)
    local marks, passed, refused, _, position = take()
    assert.same({ 2 }, marks)
    assert.equal(1, passed)
    assert.equal(0, refused)
    assert.equal(2 * (8 + LEN) + 24, position)
    assert.equal(1, in_ring())
  end)

  it("refuses other lengths, says which, and goes on", function()
    produce(1, 40)
    produce(2)
    produce(3, LEN + 1)
    produce(4, 0)
    produce(5)
    local marks, passed, refused, len = take()
    assert.same({ 2, 5 }, marks)
    assert.equal(5, passed)
    assert.equal(3, refused)
    assert.equal(0, len)
    assert.equal(5, in_ring())
  end)

  it("takes no more than was asked for", function()
    for i = 1, 10 do produce(i) end
    local marks, _, _, _, position = take(0, 4)
    assert.same({ 1, 2, 3, 4 }, marks)
    assert.same({ 5, 6 }, (take(position, 2)))
  end)

  it("counts refused records towards that limit", function()
    for i = 1, 4 do produce(i, 40) end
    produce(5)
    local marks, passed, _, _, position = take(0, 4)
    assert.same({}, marks)
    assert.equal(4, passed)
    assert.same({ 5 }, (take(position, 4)))
  end)

  it("reads a record across the end in one piece", function()
    local start = SIZE * 7 - 50
    made:producer()[0] = start
    core.cf_ring_release(ring, start)
    produce(77)
    produce(78)
    local marks, _, _, _, position = take(start)
    assert.same({ 77, 78 }, marks)
    assert.equal(start + 2 * (8 + LEN), position)
    assert.equal(2, in_ring())
  end)

  it("is counted from any position, whatever the consumer's page says", function()
    for i = 1, 3 do produce(i) end
    for _, page in ipairs({ 0, 2 * (8 + LEN), 2 ^ 40 }) do
      core.cf_ring_release(ring, page)
      assert.equal(3, in_ring(0))
      assert.equal(2, in_ring(8 + LEN))
      assert.equal(0, in_ring(3 * (8 + LEN)))
    end
  end)

  it("has nothing from a position that cannot be", function()
    for i = 1, 3 do produce(i) end
    assert.equal(0, in_ring(3 * (8 + LEN) + 1))
    made:producer()[0] = 2 ^ 50
    assert.equal(0, in_ring(0)) -- would take hours
    assert.equal(0, in_ring(2 ^ 50 - SIZE - 8))
  end)

  it("gives no prefix that an earlier batch had", function()
    ffi.fill(batch.events, ffi.sizeof(batch.events), 0x41)
    produce(1)
    take()
    assert.equal("", ffi.string(batch.events[0].prefix))
  end)

  it("does not open what is no ring", function()
    local err, other = ffi.new("struct cf_error"), ffi.new("struct cf_ring")
    assert.equal(-1, core.cf_ring_open(other, -1, SIZE, err))
    assert.truthy(ffi.string(err.text):find("ring open failed", 1, true))
    assert.equal(tonumber(ffi.C.CF_FAIL_RING_OPEN), tonumber(err.kind))
  end)
end)
