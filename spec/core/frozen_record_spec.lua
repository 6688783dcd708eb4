-- SPDX-License-Identifier: MIT
--
-- Records of operators' objects to events: the frozen layout field by field and against an independent reader, events
-- whose producer nobody trusts, and every other length.
local ffi = require("ffi")
local helper = require("spec.helper")
local frozen = require("frozen_bytes")
local seeded = require("seeded")
require("core_headers")("error", "frozen_record", "own_record")

local core, C = helper.core, ffi.C
local NOW, SLEPT = 5000000000000, 3000000000
local EVENT_LEN = tonumber(C.CF_EVENT_RING_LEN)
local FULL_LEN = ffi.sizeof("struct cf_event")

local function origin(fields)
  local given = { now_ns = NOW, boot_offset_ns = SLEPT, slot = 7, ifindex = 3, direction = C.CF_DIRECTION_EGRESS,
    hook = C.CF_HOOK_TC_EGRESS }
  for name, value in pairs(fields or {}) do given[name] = value end
  return ffi.new("struct cf_record_origin", given)
end

ffi.cdef("void *malloc(size_t size); void free(void *memory);")

-- In memory of exactly that length: a sanitizer sees every byte that is read beyond it.
local function run(decode, bytes, from)
  local record = ffi.gc(C.malloc(math.max(#bytes, 1)), C.free)
  ffi.copy(record, bytes, #bytes)
  local event, err = ffi.new("struct cf_event"), ffi.new("struct cf_error")
  ffi.fill(event, FULL_LEN, 0xee)
  if decode(record, #bytes, from or origin(), event, err) == 0 then return event end
  return nil, ffi.string(err.text), event, tonumber(err.kind)
end

local function decode(bytes, from) return run(core.cf_frozen_decode, bytes, from) end
local function decode_own(bytes, from) return run(core.cf_own_record_decode, bytes, from) end

local function is_zero(event, name)
  local size = ffi.sizeof(event[name])
  return ffi.string(event[name], size) == ("\0"):rep(size)
end

describe("a frozen record", function()
  it("is an event with every field in its place", function()
    local event = decode(frozen.record({ src_ip = 0x0a4d0002, dst_ip = 0xc6336407, src_port = 40000, dst_port = 443,
      proto = 6, pkt_count = 7, first_seen_ns = 1000000000, verdict = 1, padding = 0 }))
    assert.equal("\10\77\0\2", ffi.string(event.src_addr, 4))
    assert.equal("\198\51\100\7", ffi.string(event.dst_addr, 4))
    assert.equal(40000, event.src_port)
    assert.equal(443, event.dst_port)
    assert.equal(6, event.protocol)
    assert.equal(C.CF_EVENT_PORTS, event.flags)
    assert.equal(7, tonumber(event.packets))
    assert.equal(1000000000 + SLEPT, tonumber(event.first_seen_ns))
    assert.equal(event.first_seen_ns, event.last_seen_ns)
    assert.equal(C.CF_VERDICT_ACCEPT, event.verdict)
    assert.equal(C.CF_FAMILY_IPV4, event.family)
    assert.equal(C.CF_KIND_OPENED, event.kind)
    assert.equal(C.CF_SOURCE_EBPF, event.source)
    assert.equal(7, event.cell)
    assert.equal(3, event.ifindex)
    assert.equal(C.CF_HOOK_TC_EGRESS, event.hook)
    assert.equal(C.CF_DIRECTION_EGRESS, event.direction)
  end)

  it("leaves absent what it cannot say", function()
    local event = decode(frozen.record({ proto = 17, pkt_count = 1, padding = 255 }))
    for _, name in ipairs({ "bytes", "reply_packets", "reply_bytes", "seq", "mark", "icmp_id", "vlan", "cpu",
      "tcp_flags", "icmp_type", "icmp_code", "close_reason", "witnesses" }) do
      assert.equal(0, tonumber(event[name]), name)
    end
    assert.is_true(is_zero(event, "pad0"))
    assert.is_true(is_zero(event, "prefix"))
    assert.equal(("\0"):rep(12), ffi.string(event.src_addr + 4, 12))
    assert.equal(("\0"):rep(12), ffi.string(event.dst_addr + 4, 12))
  end)

  it("takes direction and hook from where it was read", function()
    local event = decode(frozen.record({}), origin({ direction = C.CF_DIRECTION_INGRESS, hook = C.CF_HOOK_TC_INGRESS,
      slot = 4095, ifindex = 99 }))
    assert.equal(C.CF_DIRECTION_INGRESS, event.direction)
    assert.equal(C.CF_HOOK_TC_INGRESS, event.hook)
    assert.equal(4095, event.cell)
    assert.equal(99, event.ifindex)
  end)

  it("is the same whatever its padding holds", function()
    local fields = { src_ip = 1, dst_ip = 2, src_port = 3, dst_port = 4, proto = 17, pkt_count = 5, first_seen_ns = 6,
      verdict = 2 }
    local first = ffi.string(decode(frozen.record(fields)), FULL_LEN)
    for padding = 1, 255 do
      fields.padding = padding
      assert.equal(first, ffi.string(decode(frozen.record(fields)), FULL_LEN))
    end
  end)

  it("has ports for the protocols that have them, and only those", function()
    local with = {}
    for proto = 0, 255 do
      local event = decode(frozen.record({ proto = proto, src_port = 11, dst_port = 12 }))
      assert.equal(proto, event.protocol)
      if event.flags ~= 0 then
        with[#with + 1] = proto
        assert.same({ C.CF_EVENT_PORTS, 11, 12 }, { event.flags, event.src_port, event.dst_port })
      else
        assert.same({ 0, 0 }, { event.src_port, event.dst_port })
      end
    end
    assert.same({ 6, 17, 33, 132, 136 }, with)
  end)

  it("says accept and drop, and knows no other verdict", function()
    for verdict = 0, 255 do
      local event = decode(frozen.record({ verdict = verdict }))
      assert.equal(verdict == 1 and C.CF_VERDICT_ACCEPT or verdict == 2 and C.CF_VERDICT_DROP or C.CF_VERDICT_UNKNOWN,
        event.verdict)
    end
  end)

  it("has a time on the boot clock, never one to come", function()
    local function time(first_seen_ns, from)
      return decode(frozen.record({ first_seen_ns = first_seen_ns }), from).first_seen_ns
    end
    assert.equal(1 + SLEPT, tonumber(time(1)))
    assert.equal(NOW, tonumber(time(NOW - SLEPT)))
    assert.equal(NOW, tonumber(time(NOW - SLEPT + 1)))
    assert.equal(NOW, tonumber(time(0xffffffffffffffffULL)))
    assert.equal(NOW, tonumber(time(0xffffffffffffffffULL - SLEPT + 2))) -- whose sum is a small number
    assert.equal(NOW, tonumber(time(0))) -- its producer had no clock
    assert.equal(5, tonumber(time(5, origin({ boot_offset_ns = 0 }))))
    assert.equal(9, tonumber(time(5, origin({ now_ns = 9 })))) -- clocks that cannot be
  end)

  it("of any other length is refused with both lengths", function()
    for len = 0, 200 do
      local event, text, out, kind = decode(("\1"):rep(len))
      if len == frozen.LEN then
        assert.truthy(event)
      else
        assert.equal(("a flow record of %d bytes, expected 40"):format(len), text)
        assert.equal(tonumber(C.CF_FAIL_INTERNAL), kind)
        assert.equal(("\238"):rep(FULL_LEN), ffi.string(out, FULL_LEN))
      end
    end
    assert.equal(-1, core.cf_frozen_decode("", 0, origin(), ffi.new("struct cf_event"), nil))
  end)

  it("is read as an independent reader reads it", function()
    local random = seeded.new(40040)
    for _ = 1, 20000 do
      local bytes = random:bytes(frozen.LEN)
      if random:below(2) == 0 then -- a protocol with ports, a verdict that exists
        bytes = bytes:sub(1, 12) .. string.char(random:pick({ 6, 17, 33, 132, 136 })) .. bytes:sub(14, 32)
          .. string.char(random:below(3)) .. bytes:sub(34)
      end
      local from = origin({ now_ns = 0xffffffffffffffffULL, boot_offset_ns = 0 })
      local event, want = decode_own(bytes, from), frozen.meaning(bytes)
      local got = {
        src_addr = ffi.string(event.src_addr, 16), dst_addr = ffi.string(event.dst_addr, 16),
        src_port = event.src_port, dst_port = event.dst_port, ports = event.flags == C.CF_EVENT_PORTS,
        protocol = event.protocol, packets = event.packets, first_seen_ns = event.first_seen_ns,
        verdict = event.verdict,
      }
      for name, value in pairs(want) do
        if got[name] ~= value then error(("%s is %s, want %s"):format(name, tostring(got[name]), tostring(value))) end
      end
    end
  end)
end)

describe("an event's record", function()
  local function event(fields)
    local made = ffi.new("struct cf_event", { first_seen_ns = 100, last_seen_ns = 200, packets = 3, bytes = 4, seq = 5,
      ifindex = 6, kind = C.CF_KIND_OPENED, source = C.CF_SOURCE_EBPF, hook = C.CF_HOOK_TC_EGRESS,
      direction = C.CF_DIRECTION_EGRESS, family = C.CF_FAMILY_IPV6, protocol = 6, verdict = C.CF_VERDICT_ACCEPT })
    ffi.fill(made.src_addr, 16, 1)
    ffi.fill(made.dst_addr, 16, 2)
    for name, value in pairs(fields or {}) do made[name] = value end
    return made
  end
  local function bytes(fields) return ffi.string(event(fields), EVENT_LEN) end

  it("that is in order comes out as it is, but for its cell", function()
    local want = event({ cell = 7 })
    assert.equal(ffi.string(want, FULL_LEN), ffi.string(decode_own(bytes({ cell = 12 })), FULL_LEN))
  end)

  it("cannot say that it is of another cell, another source or a joined one", function()
    local got = decode_own(bytes({ cell = 1, source = C.CF_SOURCE_NFLOG, witnesses = 6,
      flags = C.CF_EVENT_CONFLICT + C.CF_EVENT_TCP }))
    assert.same({ 7, C.CF_SOURCE_EBPF, 0, C.CF_EVENT_TCP }, { got.cell, got.source, got.witnesses, got.flags })
  end)

  it("is refused for a value that does not exist, by its name", function()
    local bad = {
      kind = { 0, 5, 255 }, hook = { 10, 255 }, direction = { 0, 3 }, verdict = { 3, 255 },
      close_reason = { 7, 255 }, family = { 0, 3, 5, 7 },
    }
    for name, values in pairs(bad) do
      for _, value in ipairs(values) do
        local none, text, out = decode_own(bytes({ [name] = value }))
        assert.is_nil(none)
        assert.equal(("an event record with %s %d, which does not exist"):format(name, value), text)
        assert.equal(("\238"):rep(FULL_LEN), ffi.string(out, FULL_LEN))
      end
    end
    assert.is_nil(decode_own(bytes({ vlan = 4096, flags = C.CF_EVENT_VLAN })))
    assert.truthy(decode_own(bytes({ vlan = 4095, flags = C.CF_EVENT_VLAN })))
    assert.truthy(decode_own(bytes({ vlan = 65535 }))) -- not said, so not wrong
  end)

  it("takes every value that does", function()
    for kind = 1, 4 do assert.equal(kind, decode_own(bytes({ kind = kind })).kind) end
    for hook = 0, 9 do assert.equal(hook, decode_own(bytes({ hook = hook })).hook) end
    for verdict = 0, 2 do assert.equal(verdict, decode_own(bytes({ verdict = verdict })).verdict) end
    for reason = 0, 6 do
      assert.equal(reason, decode_own(bytes({ kind = C.CF_KIND_CLOSED, close_reason = reason })).close_reason)
    end
  end)

  it("loses what has no place in it", function()
    local got = decode_own(bytes({ flags = 0xffff, close_reason = 3, reply_packets = 8, reply_bytes = 9, ifindex = 0,
      pad0 = { 1, 2, 3, 4 }, family = C.CF_FAMILY_IPV4 }))
    assert.equal(255, got.flags)
    assert.same({ 0, 0, 0 }, { got.close_reason, tonumber(got.reply_packets), tonumber(got.reply_bytes) })
    assert.equal(3, got.ifindex)
    assert.is_true(is_zero(got, "pad0"))
    assert.equal("\1\1\1\1" .. ("\0"):rep(12), ffi.string(got.src_addr, 16))
    assert.equal("\2\2\2\2" .. ("\0"):rep(12), ffi.string(got.dst_addr, 16))
    got = decode_own(bytes({ kind = C.CF_KIND_UPDATED, reply_packets = 8, reply_bytes = 9 }))
    assert.same({ 8, 9 }, { tonumber(got.reply_packets), tonumber(got.reply_bytes) })
  end)

  it("has times in order, never one to come", function()
    local function times(first, last)
      local got = decode_own(bytes({ first_seen_ns = first, last_seen_ns = last }))
      return { tonumber(got.first_seen_ns), tonumber(got.last_seen_ns) }
    end
    assert.same({ 1, 2 }, times(1, 2))
    assert.same({ 2, 2 }, times(3, 2))
    assert.same({ 2, 2 }, times(0, 2))
    assert.same({ 1, NOW }, times(1, NOW + 1))
    assert.same({ NOW, NOW }, times(0, 0))
    assert.same({ NOW, NOW }, times(0xffffffffffffffffULL, 0xffffffffffffffffULL))
  end)

  it("is an event that can be relied on, or none, whatever its bytes", function()
    local random = seeded.new(12812)
    local taken = 0
    for _ = 1, 20000 do
      local raw = ffi.new("struct cf_event")
      ffi.copy(raw, random:bytes(EVENT_LEN), EVENT_LEN)
      raw.kind, raw.hook, raw.direction = random:below(6), random:below(11), random:below(4)
      raw.family, raw.verdict, raw.close_reason = 3 + random:below(5), random:below(4), random:below(8)
      local got = decode_own(ffi.string(raw, EVENT_LEN))
      if got then
        taken = taken + 1
        assert(core.cf_name_kind(got.kind) ~= nil and core.cf_name_direction(got.direction) ~= nil)
        assert(core.cf_name_family(got.family) ~= nil and got.cell == 7 and got.source == C.CF_SOURCE_EBPF)
        assert(got.hook <= C.CF_HOOK_NF_EGRESS)
        assert(got.first_seen_ns <= got.last_seen_ns and got.last_seen_ns <= NOW and got.first_seen_ns > 0)
        assert(got.kind == C.CF_KIND_CLOSED or got.close_reason == 0)
        assert(is_zero(got, "prefix") and is_zero(got, "pad0"))
      end
    end
    assert.is_true(taken > 100)
  end)
end)

describe("a record of an operator's object", function()
  it("has 40 or 128 bytes; other lengths are refused with what was got and what is taken", function()
    for len = 0, 300 do
      local event, text = decode_own(("\1"):rep(len))
      if len == frozen.LEN then
        assert.truthy(event)
      elseif len == EVENT_LEN then
        assert.equal("an event record with family 1, which does not exist", text)
      else
        assert.equal(("a record of %d bytes, expected 40 (flow record) or 128 (struct cf_event)"):format(len), text)
      end
    end
  end)
end)
