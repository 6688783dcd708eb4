-- SPDX-License-Identifier: MIT
--
-- The consumer of an operator's ring, against a ring made by hand: what is given on, what is refused, and when a record
-- leaves the ring.
local ffi = require("ffi")
local helper = require("spec.helper")
local frozen = require("frozen_bytes")
local made_ring = require("made_ring")
require("core_headers")("error", "ring", "frozen_record", "own_ring")

local core, C = helper.core, ffi.C
local SIZE, BUSY, DISCARD = made_ring.SIZE, made_ring.BUSY, made_ring.DISCARD
local FROZEN, EVENT = frozen.LEN, made_ring.LEN

describe("an operator's ring", function()
  local own, made, given, room, take

  local function open()
    local from = ffi.new("struct cf_record_origin", { slot = 5, ifindex = 2, direction = C.CF_DIRECTION_EGRESS,
      hook = C.CF_HOOK_TC_EGRESS, now_ns = 1, boot_offset_ns = 0xffffffffffffULL })
    local ring = ffi.gc(ffi.new("struct cf_own_ring"), core.cf_own_ring_close)
    assert(core.cf_own_ring_open(ring, made.fd, -1, SIZE, from, nil) == 0)
    return ring
  end

  before_each(function()
    made = made_ring.new()
    own = open()
    given, room = {}, math.huge
    take = ffi.cast("cf_own_ring_fn *", function(_, event)
      if #given >= room then return -1 end
      local copy = ffi.new("struct cf_event")
      ffi.copy(copy, event, ffi.sizeof(copy))
      given[#given + 1] = copy
      return 0
    end)
  end)

  after_each(function()
    take:free()
    core.cf_own_ring_close(own)
    made:close()
  end)

  -- A frozen record whose packet count is `mark`.
  local function flow(mark, fields)
    fields = fields or {}
    fields.pkt_count, fields.proto = mark, fields.proto or 6
    local body = ffi.new("uint8_t[?]", FROZEN)
    ffi.copy(body, frozen.record(fields), FROZEN)
    return body
  end

  local function event(mark, fields)
    local body = ffi.new("struct cf_event", { first_seen_ns = 1, last_seen_ns = 1, packets = mark, seq = 900 + mark,
      kind = C.CF_KIND_OPENED, direction = C.CF_DIRECTION_INGRESS, family = C.CF_FAMILY_IPV4, cell = 4000 })
    for name, value in pairs(fields or {}) do body[name] = value end
    return body
  end

  -- jit.off: compiled code may not call C that calls back.
  local function read(max, from) return core.cf_own_ring_read(from or own, max or 256, take, nil) end
  jit.off(read)

  local function marks()
    local list = {}
    for i, one in ipairs(given) do list[i] = tonumber(one.packets) end
    return list
  end

  local function at() return tonumber(made:consumer()[0]) end
  local function numbers()
    local n = own.numbers
    return { tonumber(n.taken), tonumber(n.refused_length), tonumber(n.refused_content) }
  end

  it("is empty", function()
    assert.equal(0, read())
    assert.same({ 0, 0, 0 }, numbers())
    assert.equal("", ffi.string(own.refusal.text))
  end)

  it("gives frozen records and events in order, as events of its cell, and lets them go", function()
    made:produce(flow(1), FROZEN)
    made:produce(event(2), EVENT)
    made:produce(flow(3), FROZEN)
    assert.equal(3, read())
    assert.same({ 1, 2, 3 }, marks())
    for _, one in ipairs(given) do assert.equal(5, one.cell) end
    assert.equal(C.CF_DIRECTION_EGRESS, given[1].direction)
    assert.equal(C.CF_DIRECTION_INGRESS, given[2].direction)
    assert.equal(2 * 48 + 136, at())
    assert.equal(tonumber(made:producer()[0]), at())
    assert.same({ 3, 0, 0 }, numbers())
    assert.equal(0, read())
  end)

  it("numbers the records that have no number", function()
    for i = 1, 3 do made:produce(flow(i), FROZEN) end
    made:produce(event(4), EVENT)
    made:produce(flow(5), FROZEN)
    read()
    local list = {}
    for i, one in ipairs(given) do list[i] = tonumber(one.seq) end
    assert.same({ 1, 2, 3, 904, 4 }, list)
  end)

  it("puts a time of the monotonic clock on the boot clock, and none into the future", function()
    local before = core.cf_monotonic_seconds() * 1e9
    made:produce(flow(1, { first_seen_ns = 1000 }), FROZEN)
    made:produce(flow(2, { first_seen_ns = 1000 }), FROZEN)
    made:produce(flow(3, { first_seen_ns = 2 ^ 62 }), FROZEN)
    read()
    local apart = tonumber(own.origin.boot_offset_ns) -- of this host, not what open was given
    assert.is_true(apart < 0xffffffffffff)
    assert.equal(1000 + apart, tonumber(given[1].first_seen_ns))
    assert.equal(given[1].first_seen_ns, given[2].first_seen_ns)
    assert.is_true(tonumber(given[3].first_seen_ns) >= before)
    assert.is_true(tonumber(given[3].first_seen_ns) < 2 ^ 61)
  end)

  it("stops where there is no room, and goes on from there", function()
    for i = 1, 5 do made:produce(flow(i), FROZEN) end
    room = 2
    assert.equal(2, read())
    assert.equal(2 * 48, at())
    assert.equal(0, read())
    assert.equal(2 * 48, at())
    assert.same({ 2, 0, 0 }, numbers())
    room = math.huge
    assert.equal(3, read())
    assert.same({ 1, 2, 3, 4, 5 }, marks())
    assert.equal(3, tonumber(given[3].seq)) -- offered twice, one number
    assert.equal(5 * 48, at())
  end)

  it("goes on where an earlier reader was", function()
    for i = 1, 4 do made:produce(flow(i), FROZEN) end
    read(2)
    core.cf_own_ring_close(own)
    own = open()
    read()
    assert.same({ 1, 2, 3, 4 }, marks())
  end)

  it("takes no more than was asked for, refused ones included", function()
    for i = 1, 3 do
      made:produce(flow(i), 48)
      made:produce(flow(i), FROZEN)
    end
    assert.equal(3, read(3))
    assert.same({ 1 }, marks())
    assert.same({ 1, 2, 0 }, numbers())
    assert.equal(3, read(100))
    assert.same({ 3, 3, 0 }, numbers())
    assert.equal(0, read(0))
  end)

  it("refuses other lengths, says which was the latest, and goes on", function()
    local lengths = { 0, 8, 39, 41, 127, 129, 256 }
    for i, len in ipairs(lengths) do
      made:produce(flow(i), len)
      made:produce(flow(i), FROZEN)
    end
    assert.equal(2 * #lengths, read())
    assert.same({ 1, 2, 3, 4, 5, 6, 7 }, marks())
    assert.same({ 7, 7, 0 }, numbers())
    assert.equal(256, own.refused_len)
    assert.equal("a record of 256 bytes, expected 40 (flow record) or 128 (struct cf_event)",
      ffi.string(own.refusal.text))
    assert.equal(tonumber(made:producer()[0]), at())
  end)

  it("refuses an event that cannot be, and counts it apart", function()
    made:produce(event(1, { family = 9 }), EVENT)
    made:produce(event(2), EVENT)
    assert.equal(2, read())
    assert.same({ 2 }, marks())
    assert.same({ 1, 0, 1 }, numbers())
    assert.equal("an event record with family 9, which does not exist", ffi.string(own.refusal.text))
  end)

  it("passes over discarded records and waits for unfinished ones", function()
    made:produce(flow(1), FROZEN)
    made:produce(flow(2), FROZEN, DISCARD)
    local unfinished = made:produce(flow(3), FROZEN, BUSY)
    made:produce(flow(4), FROZEN)
    assert.equal(1, read())
    assert.equal(unfinished, at()) -- the discarded one is the object's again
    made:byte(unfinished + 3, 0)
    assert.equal(2, read())
    assert.same({ 1, 3, 4 }, marks())
  end)

  it("reads records across its end", function()
    made:consumer()[0], made:producer()[0] = SIZE * 9 - 24, SIZE * 9 - 24
    made:produce(flow(1, { src_port = 77 }), FROZEN)
    made:produce(event(2), EVENT)
    assert.equal(2, read())
    assert.same({ 1, 2 }, marks())
    assert.equal(77, given[1].src_port)
  end)

  it("forgets what is in it when the position cannot be, and works again", function()
    for _, position in ipairs({ 2 ^ 40, 4 }) do
      made:produce(flow(1), FROZEN)
      made:consumer()[0] = position
      core.cf_own_ring_close(own)
      own = open()
      assert.equal(0, read())
      assert.equal(tonumber(made:producer()[0]), at())
      made:produce(flow(2), FROZEN)
      given = {}
      assert.equal(1, read())
      assert.same({ 2 }, marks())
      made:consumer()[0], made:producer()[0] = 0, 0
    end
  end)

  it("does not open what is no ring", function()
    local err, other = ffi.new("struct cf_error"), ffi.new("struct cf_own_ring")
    assert.equal(-1, core.cf_own_ring_open(other, -1, -1, SIZE, ffi.new("struct cf_record_origin"), err))
    assert.equal(tonumber(C.CF_FAIL_RING_OPEN), tonumber(err.kind))
    core.cf_own_ring_close(other)
  end)
end)
