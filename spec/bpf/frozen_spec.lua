-- SPDX-License-Identifier: GPL-2.0-only
-- Objects of operators that write frozen records: from a packet through the kernel's ring to events of a cell.
local ffi = require("ffi")
local bit = require("bit")
local helper = require("spec.helper")
local bpf = require("bpf_libbpf")
local packet = require("packet")
require("core_headers")("error", "ring", "frozen_record", "own_ring", "clock")

local core, C = helper.core, ffi.C
local SLOT, IFINDEX = 9, 42

describe("an object with frozen records", function()
  local object, program, own, given, take

  local function load(name, program_name)
    object = bpf.open(("%s/bpf/test/%s.bpf.o"):format(helper.build, name))
    bpf.load(object)
    program = bpf.program_fd(object, program_name)
    local origin = ffi.new("struct cf_record_origin", { slot = SLOT, ifindex = IFINDEX,
      direction = C.CF_DIRECTION_EGRESS, hook = C.CF_HOOK_TC_EGRESS })
    own = ffi.new("struct cf_own_ring")
    assert(core.cf_own_ring_open(own, bpf.map_fd(object, "flow_events"), -1, bpf.max_entries(object, "flow_events"),
      origin, nil) == 0)
  end

  before_each(function()
    given = {}
    take = ffi.cast("cf_own_ring_fn *", function(_, event)
      local copy = ffi.new("struct cf_event")
      ffi.copy(copy, event, ffi.sizeof(copy))
      given[#given + 1] = copy
      return 0
    end)
  end)

  after_each(function()
    core.cf_own_ring_close(own)
    bpf.close(object)
    take:free()
  end)

  local function send(frame)
    local result, errno = bpf.test_run(program, frame)
    assert(result, errno)
    assert.equal(-1, bit.tobit(result)) -- TC_ACT_UNSPEC: it only looks
  end

  -- jit.off: compiled code may not call C that calls back.
  local function read(max) return core.cf_own_ring_read(own, max or 65536, take, nil) end
  jit.off(read)

  local function tcp(source) return packet.frame4(packet.TCP, packet.tcp({ src = source, dst = 443 })) end
  local function udp(source) return packet.frame4(packet.UDP, packet.udp({ src = source, dst = 53 })) end

  it("gives one event of each new flow, with what the packet said", function()
    load("frozen", "tc_egress")
    for _ = 1, 3 do
      send(tcp(1025))
      send(udp(1025))
    end
    assert.equal(2, read())
    local event = given[1]
    assert.equal(packet.address("192.0.2.1"), ffi.string(event.src_addr, 4))
    assert.equal(packet.address("198.51.100.2"), ffi.string(event.dst_addr, 4))
    assert.same({ 1025, 443, 6, 1, 0 }, { event.src_port, event.dst_port, event.protocol, tonumber(event.packets),
      tonumber(event.bytes) })
    assert.same({ C.CF_KIND_OPENED, C.CF_SOURCE_EBPF, C.CF_VERDICT_ACCEPT, C.CF_FAMILY_IPV4, C.CF_EVENT_PORTS },
      { event.kind, event.source, event.verdict, event.family, event.flags })
    assert.same({ SLOT, IFINDEX, C.CF_DIRECTION_EGRESS, C.CF_HOOK_TC_EGRESS },
      { event.cell, event.ifindex, event.direction, event.hook })
    assert.same({ 1025, 53, 17 }, { given[2].src_port, given[2].dst_port, given[2].protocol })
    assert.same({ 1, 2 }, { tonumber(given[1].seq), tonumber(given[2].seq) })
  end)

  it("gives a time between the boot clock's before and after", function()
    load("frozen", "tc_egress")
    send(udp(1)) -- whatever the first one waits for
    local before = core.cf_clock_boot_now()
    send(udp(2))
    local after = core.cf_clock_boot_now()
    assert.equal(2, read())
    local seen, slack = given[2].first_seen_ns, 1000000 -- the two clocks' difference is sampled
    assert.is_true(seen + slack >= before)
    assert.is_true(seen <= after + slack)
    assert.equal(seen, given[2].last_seen_ns)
  end)

  it("tells nothing of what it does not look at", function()
    load("frozen", "tc_egress")
    send(packet.frame4(packet.ICMP, packet.icmp({ type = 8 })))
    send(packet.frame6(packet.TCP, packet.tcp({})))
    send(packet.frame4(packet.SCTP, packet.sctp({})))
    send(packet.frame4(packet.UDP, packet.udp({}), { offset = 10 }))
    assert.equal(0, read())
  end)

  it("gives every flow once in however many bites, and round the ring's end", function()
    load("frozen", "tc_egress")
    local rounds, flows = 3, 4000 -- 48 bytes each: the ring's 262,144 are gone round
    for round = 1, rounds do
      for n = 1, flows do send(udp(n + round * 10000)) end
      while read(256) > 0 do assert.equal(0, tonumber(own.numbers.refused_length)) end
    end
    local seen = {}
    for _, event in ipairs(given) do
      assert(not seen[event.src_port], "told twice")
      seen[event.src_port] = true
    end
    assert.equal(rounds * flows, #given)
    assert.is_true(tonumber(core.cf_ring_position(own.ring)) > bpf.max_entries(object, "flow_events"))
  end)

  it("that is careless too is read to the end, each odd record counted", function()
    load("frozen_mixed", "cellos_flow_egress")
    local rounds = 50
    for n = 0, 6 * rounds - 1 do send(tcp(6000 + n)) end
    -- Of six flows: six frozen records, two odd lengths, one discarded, one event, one impossible event.
    assert.equal(10 * rounds, read())
    local numbers = own.numbers
    assert.same({ 7 * rounds, 2 * rounds, rounds },
      { tonumber(numbers.taken), tonumber(numbers.refused_length), tonumber(numbers.refused_content) })
    for _, event in ipairs(given) do
      assert.same({ SLOT, C.CF_SOURCE_EBPF }, { event.cell, event.source })
    end
    assert.equal(200, own.refused_len)
    assert.equal("an event record with kind 99, which does not exist", ffi.string(own.refusal.text))
    assert.equal(0, read())
  end)
end)
