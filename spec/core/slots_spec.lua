-- SPDX-License-Identifier: MIT
--
-- The consumer of the tc program's ring against slots made by hand: numbers that were drawn and not filled, slots that
-- nothing came of, and those that were overwritten. The bell is memory as well: only its two positions matter.
local ffi = require("ffi")
local descriptors = require("descriptors")
local helper = require("spec.helper")
require("core_headers")("error", "ring", "flow")

local core, C = helper.core, ffi.C
local SLOTS, PAGE = 64, 4096
local BYTES = SLOTS * C.CF_EVENT_RING_LEN

describe("slots", function()
  local ring, batch, fd, bell_fd, slots, bell

  before_each(function()
    local size = (C.CF_SLOT_FIRST + SLOTS) * ffi.sizeof("struct cf_slot")
    fd, bell_fd = descriptors.memory(size), descriptors.memory(2 * PAGE)
    slots = ffi.cast("struct cf_slot *", descriptors.map(fd, size))
    bell = ffi.cast("uint64_t *", descriptors.map(bell_fd, 2 * PAGE))
    ring = ffi.gc(ffi.new("struct cf_ring"), core.cf_ring_close)
    assert(core.cf_ring_open_slots(ring, fd, bell_fd, BYTES, nil) == 0)
    batch = ffi.new("struct cf_batch")
  end)

  after_each(function()
    core.cf_ring_close(ring)
    descriptors.close(fd, bell_fd)
  end)

  local function draw()
    local counter = slots[C.CF_SLOT_PRODUCER]
    counter.number = counter.number + 1
    return tonumber(counter.number)
  end

  local function fill(number, mark)
    local slot = slots[C.CF_SLOT_FIRST + (number - 1) % SLOTS]
    ffi.cast("struct cf_event *", slot.event).first_seen_ns = mark or number
    slot.number = number
  end

  local EMPTY = 2ULL ^ 63
  local function leave(number) slots[C.CF_SLOT_FIRST + (number - 1) % SLOTS].number = EMPTY + number end

  -- What there is from `from` on: the marks, how many were passed and refused, and where it ends.
  local function take(from, max)
    local position, refused, len = ffi.new("uint64_t[1]", from), ffi.new("uint32_t[1]"), ffi.new("uint32_t[1]")
    local passed = core.cf_ring_take(ring, position, batch, max or 256, refused, len)
    local marks = {}
    for i = 0, batch.count - 1 do marks[i + 1] = tonumber(batch.events[i].first_seen_ns) end
    return marks, passed, refused[0], tonumber(position[0])
  end

  it("are as many as hold so many bytes of events, a power of two", function()
    assert.equal(131072, core.cf_ring_slots(0))
    assert.equal(131072, core.cf_ring_slots(16 * 1024 * 1024))
    assert.equal(64, core.cf_ring_slots(1))
    assert.equal(128, core.cf_ring_slots(64 * 128 + 128))
    assert.equal(2 ^ 24, core.cf_ring_slots(2 ^ 32 - 1))
    for _, count in ipairs({ 64, 1024, 131072 }) do
      local limit = core.cf_ring_slot_limit(count)
      assert.is_true(limit < count and limit >= count / 2)
    end
  end)

  it("are read in the order of their numbers, and no further than to one that is not filled", function()
    assert.same({ {}, 0, 0, 0 }, { take(0) })
    local first, second, third = draw(), draw(), draw()
    fill(first)
    fill(third)
    assert.same({ { 1 }, 1, 0, 1 }, { take(0) })
    assert.same({ {}, 0, 0, 1 }, { take(1) })
    fill(second)
    assert.same({ { 2, 3 }, 2, 0, 3 }, { take(1) })
    assert.same({ { 2 }, 1, 0, 2 }, { take(1, 1) })
    assert.equal(3, tonumber(core.cf_ring_count(ring, 0)))
  end)

  it("do not show what an earlier round left", function()
    for _ = 1, SLOTS do fill(draw()) end
    assert.equal(SLOTS, select(4, take(0)))
    core.cf_ring_release(ring, SLOTS)
    local number = draw()
    assert.same({ {}, 0, 0, SLOTS }, { take(SLOTS) })
    fill(number, 7)
    assert.same({ { 7 }, 1, 0, SLOTS + 1 }, { take(SLOTS) })
    assert.equal(SLOTS, tonumber(slots[C.CF_SLOT_CONSUMER].number))
  end)

  it("are passed over when nothing came of them", function()
    leave(draw())
    fill(draw())
    leave(draw())
    assert.same({ { 2 }, 1, 0, 3 }, { take(0) })
    assert.same({ {}, 0, 0, 3 }, { take(2) })
    assert.equal(1, tonumber(core.cf_ring_count(ring, 0)))
    local position, len = ffi.new("uint64_t[1]"), ffi.new("uint32_t[1]")
    assert.is_true(core.cf_ring_next(ring, position, len) ~= nil)
    assert.same({ 2, C.CF_EVENT_RING_LEN }, { tonumber(position[0]), len[0] })
    assert.is_true(core.cf_ring_next(ring, position, len) == nil)
  end)

  it("that were written over before they were read are refused, and end no reading", function()
    for _ = 1, SLOTS + 2 do fill(draw()) end
    local marks, passed, refused, position = take(0)
    assert.same({ SLOTS + 2, 2, SLOTS + 2, SLOTS, 3 }, { passed, refused, position, #marks, marks[1] })
  end)

  it("say how much waits, of what there is room for", function()
    for _ = 1, 10 do fill(draw()) end
    assert.equal(10 * 128, tonumber(core.cf_ring_used(ring)))
    core.cf_ring_release(ring, 4)
    assert.equal(6 * 128, tonumber(core.cf_ring_used(ring)))
    assert.equal(10, tonumber(core.cf_ring_producer(ring)))
    assert.equal(0, tonumber(core.cf_ring_count(ring, 2 ^ 40)))
    assert.equal(0, tonumber(core.cf_ring_count(ring, 11)))
  end)

  it("have a bell that is silent once it was heard", function()
    bell[PAGE / 8] = 48
    core.cf_ring_hear(ring)
    assert.equal(48, tonumber(bell[0]))
  end)

  it("are not opened without memory behind them", function()
    local err, other = ffi.new("struct cf_error"), ffi.new("struct cf_ring")
    assert.equal(-1, core.cf_ring_open_slots(other, -1, bell_fd, BYTES, err))
    assert.matches("^ring open failed: mapping 64 slots for events: ", ffi.string(err.text))
    assert.equal(-1, core.cf_ring_open_slots(other, fd, 0, BYTES, err))
    core.cf_ring_close(other)
  end)
end)
