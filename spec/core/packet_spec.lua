-- SPDX-License-Identifier: MIT
--
-- cf_packet_parse where it is more than the tc program's parser: captures that end before the packet does, packets
-- without a link header, what a packet weighs. That the rest is the same: spec/bpf/parser_differential_spec.lua.
local ffi = require("ffi")
local bit = require("bit")
local helper = require("spec.helper")
local packet = require("packet")
require("core_headers")("flow", "packet")

local C, core = ffi.C, helper.core
local PARSED, TRUNCATED = C.CF_STAT_PARSED, C.CF_STAT_UNPARSED_TRUNCATED

-- Memory of exactly the captured bytes: under ASan one byte more is a report.
local function parse(bytes, options)
  options = options or {}
  local len = options.captured or #bytes
  local memory = ffi.new("uint8_t[?]", math.max(len, 1))
  ffi.copy(memory, bytes, len)
  local key, facts = ffi.new("struct cf_flow_key", { cell = 9, family = 9 }), ffi.new("struct cf_packet", { vlan = 9 })
  local result = core.cf_packet_parse(memory, len, options.wire or 0, options.link or 0,
    options.ethertype or packet.IPV4, facts, key)
  return result, key, facts
end

local function bytes_of(facts, wire)
  local load = ffi.new("struct cf_load", { now = 5, packets = 77 })
  core.cf_packet_measure(facts, wire or 0, load)
  assert.equal(1, tonumber(load.packets))
  assert.equal(5, tonumber(load.now))
  return tonumber(load.bytes)
end

local tcp4 = packet.ipv4({ protocol = packet.TCP, payload = packet.tcp({ payload = ("x"):rep(1000) }) })
local udp6 = packet.ipv6({ protocol = packet.UDP, payload = packet.udp({ payload = ("x"):rep(500) }) })

describe("a packet's bytes", function()
  it("without a link header are what the ethertype says", function()
    local result, key, facts = parse(tcp4)
    assert.equal(PARSED, result)
    assert.same({ 4, 6, 40000, 443, 9 }, { key.family, key.protocol, key.port[0], key.port[1], key.cell })
    assert.equal(packet.address("192.0.2.1"), ffi.string(key.addr[0], 4))
    assert.equal(packet.address("198.51.100.2"), ffi.string(key.addr[1], 4))
    assert.same({ 0, 20, 40, 0 }, { facts.network, facts.transport, facts.payload, facts.vlan })
    result, key = parse(udp6, { ethertype = packet.IPV6 })
    assert.same({ PARSED, 6, 17, 40000, 53 }, { result, key.family, key.protocol, key.port[0], key.port[1] })
    assert.equal(C.CF_STAT_UNPARSED_BAD_HEADER, (parse(udp6)))
    assert.equal(C.CF_STAT_UNPARSED_NOT_IP, (parse(udp6, { ethertype = packet.ARP })))
  end)

  it("with an Ethernet header are what that says, whatever ethertype the caller gave", function()
    local result, key, facts = parse(packet.eth(packet.VLAN, packet.tag(77, packet.IPV6, udp6)),
      { link = 14, ethertype = packet.ARP })
    assert.same({ PARSED, 6, 77, 18 }, { result, key.family, facts.vlan, facts.network })
    assert.equal(C.CF_EVENT_VLAN, bit.band(facts.flags, C.CF_EVENT_VLAN))
  end)

  it("are enough as soon as the headers are there, whether the wire's length is known or not", function()
    for _, wire in ipairs({ 0, #tcp4 }) do
      assert.equal(PARSED, (parse(tcp4, { captured = 40, wire = wire })))
      assert.equal(TRUNCATED, (parse(tcp4, { captured = 39, wire = wire })))
    end
    assert.equal(PARSED, (parse(udp6, { ethertype = packet.IPV6, captured = 48 })))
    assert.equal(TRUNCATED, (parse(udp6, { ethertype = packet.IPV6, captured = 47 })))
    assert.equal(TRUNCATED, (parse("", {})))
    assert.equal(TRUNCATED, (core.cf_packet_parse(nil, 0, 0, 0, packet.IPV4, ffi.new("struct cf_packet"),
      ffi.new("struct cf_flow_key"))))
  end)

  it("need no byte of a protocol that nobody reads, unless the packet itself ends too early", function()
    local long = packet.ipv6({ protocol = 99, payload = ("x"):rep(100),
      chain = { packet.extension(packet.DSTOPTS, 512) } })
    assert.equal(PARSED, (parse(long, { ethertype = packet.IPV6, captured = 128 })))
    assert.equal(PARSED, (parse(long, { ethertype = packet.IPV6, captured = 128, wire = #long })))
    assert.equal(TRUNCATED, (parse(long, { ethertype = packet.IPV6, captured = 128, wire = 200 })))
    -- nobody says how long it was, and by its own header it ends inside the extension header
    local lying = long:sub(1, 4) .. packet.be16(300) .. long:sub(7)
    assert.equal(TRUNCATED, (parse(lying, { ethertype = packet.IPV6, captured = 128 })))
  end)

  it("of later fragments have no ports, and are another flow", function()
    local later = packet.ipv4({ protocol = packet.UDP, payload = ("x"):rep(64), offset = 3 })
    local result, key, facts = parse(later)
    assert.same({ PARSED, 1, 0, 0 }, { result, key.fragment, key.port[0], key.port[1] })
    assert.equal(C.CF_EVENT_FRAGMENT, facts.flags)
  end)

  it("never make the parser read beyond them, wherever they end", function()
    local chain = { packet.extension(packet.HOPOPTS, 64), packet.fragment(0, true), packet.extension(packet.AH, 24) }
    for _, whole in ipairs({ packet.eth(packet.IPV6, packet.ipv6({ protocol = packet.TCP, payload = packet.tcp({}),
      chain = chain })), packet.eth(packet.QINQ, packet.tag(1, packet.VLAN, packet.tag(2, packet.IPV4, tcp4))) }) do
      local parsed = 0
      for captured = 0, #whole do
        local result = parse(whole, { link = 14, captured = captured })
        assert.is_true(result == PARSED or result == TRUNCATED)
        parsed = parsed + (result == PARSED and 1 or 0)
      end
      assert.is_true(parsed > 0 and parsed < #whole - 60)
    end
  end)

  it("weigh what the network header states, and what the wire had where that cannot be", function()
    local _, _, facts = parse(tcp4, { captured = 64 })
    assert.equal(1040, bytes_of(facts))
    assert.equal(1040, bytes_of(facts, 1060)) -- padding
    assert.equal(900, bytes_of(facts, 900)) -- a header that promises more than came
    local _, _, six = parse(packet.eth(packet.IPV6, udp6), { link = 14 })
    assert.equal(548, bytes_of(six))
    assert.equal(548, bytes_of(six, 14 + 548 + 4))
    local jumbo = udp6:sub(1, 4) .. "\0\0" .. udp6:sub(7)
    _, _, six = parse(jumbo, { ethertype = packet.IPV6 })
    assert.equal(0, bytes_of(six)) -- not known
    assert.equal(70000, bytes_of(six, 70000))
    local short = tcp4:sub(1, 2) .. packet.be16(19) .. tcp4:sub(5)
    _, _, facts = parse(short, { wire = #short })
    assert.equal(1040, bytes_of(facts, #short))
  end)

  it("have their ends sorted as the tc program sorts them", function()
    local key = select(2, parse(tcp4))
    assert.equal(0, core.cf_packet_sort(key))
    local back = select(2, parse(packet.ipv4({ protocol = packet.TCP, src = "198.51.100.2", dst = "192.0.2.1",
      payload = packet.tcp({ src = 443, dst = 40000 }) })))
    assert.equal(1, core.cf_packet_sort(back))
    assert.equal(ffi.string(key, ffi.sizeof(key)), ffi.string(back, ffi.sizeof(back)))
    local same = select(2, parse(packet.ipv4({ protocol = packet.UDP, src = "192.0.2.1", dst = "192.0.2.1",
      payload = packet.udp({ src = 9, dst = 8 }) })))
    assert.equal(1, core.cf_packet_sort(same))
    assert.same({ 8, 9 }, { same.port[0], same.port[1] })
  end)
end)
