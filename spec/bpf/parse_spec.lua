-- SPDX-License-Identifier: GPL-2.0-only
-- What the tc program makes of one packet: each family with each transport, VLAN tags, tunnels, and what is not a flow.
local ffi = require("ffi")
local bit = require("bit")
local run = require("bpf_run")
local prelude = require("bpf_prelude")
local packet = require("packet")

local C = ffi.C
local OPTIONAL = { "src_port", "dst_port", "icmp_id", "vlan", "flags", "tcp_flags", "icmp_type", "icmp_code" }
local PORTS, ICMP, ICMP_ID, TCP, VLAN = 1, 2, 4, 8, 16

describe("the tc program, parsing", function()
  local cell

  before_each(function() cell = run.load({ cell = 7 }) end)
  after_each(function() cell:close() end)

  -- Runs the packet as a new flow and compares its event with `expected` (absent names are expected to be 0).
  local function opens(bytes, expected)
    assert.equal(1, cell:egress(bytes).parsed)
    local events = cell:events()
    assert.equal(1, #events)
    local event = events[1]
    for _, name in ipairs(OPTIONAL) do
      assert.equal(expected[name] or 0, event[name], name)
    end
    assert.equal(expected.family, event.family)
    assert.equal(expected.protocol, event.protocol)
    local src, dst = expected.src or "192.0.2.1", expected.dst or "198.51.100.2"
    if expected.family == 6 then src, dst = expected.src or "2001:db8::1", expected.dst or "2001:db8::2" end
    assert.equal(packet.address(src), run.address(event.src_addr, event.family))
    assert.equal(packet.address(dst), run.address(event.dst_addr, event.family))
    return event
  end

  local function refused(bytes, reason)
    local stats = cell:egress(bytes)
    assert.equal(1, stats[reason], reason)
    assert.equal(0, stats.parsed)
    assert.equal(0, #cell:flows())
    assert.equal(0, #cell:events())
  end

  local transports = {
    { "TCP", packet.TCP, packet.tcp({ flags = 0x12 }), PORTS + TCP,
      { src_port = 40000, dst_port = 443, tcp_flags = 0x12 } },
    { "UDP", packet.UDP, packet.udp({}), PORTS, { src_port = 40000, dst_port = 53 } },
    { "UDP-Lite", packet.UDPLITE, packet.udp({ dst = 9 }), PORTS, { src_port = 40000, dst_port = 9 } },
    { "SCTP", packet.SCTP, packet.sctp({}), PORTS, { src_port = 40000, dst_port = 3868 } },
    { "DCCP", packet.DCCP, packet.sctp({ src = 65535, dst = 1 }), PORTS, { src_port = 65535, dst_port = 1 } },
    { "protocol 99", 99, ("x"):rep(40), 0, {} },
    { "protocol 99 without a byte", 99, "", 0, {} },
  }
  for _, t in ipairs(transports) do
    local name, protocol, payload, flags, fields = unpack(t)
    it("reads " .. name .. " over IPv4 and IPv6", function()
      fields.protocol, fields.flags = protocol, flags
      fields.family = 4
      opens(packet.frame4(protocol, payload), fields)
      fields.family = 6
      assert.equal(2, cell:egress(packet.frame6(protocol, payload)).parsed)
      cell:close()
      cell = run.load()
      opens(packet.frame6(protocol, payload), fields)
    end)
  end

  it("reads ICMP and ICMPv6, the identifier only of echo", function()
    opens(packet.frame4(packet.ICMP, packet.icmp({ type = 8, id = 0x1234 })),
      { family = 4, protocol = 1, flags = ICMP + ICMP_ID, icmp_type = 8, icmp_id = 0x1234 })
  end)

  it("reads ICMP errors without an identifier", function()
    opens(packet.frame4(packet.ICMP, packet.icmp({ type = 3, code = 13, id = 0x1234 })),
      { family = 4, protocol = 1, flags = ICMP, icmp_type = 3, icmp_code = 13 })
    assert.equal(3 * 256 + 13, cell:flows()[1].key.port[0])
    assert.equal(3 * 256 + 13, cell:flows()[1].key.port[1])
    assert.equal(0, cell:flows()[1].key.icmp_echo)
  end)

  it("reads ICMPv6 echo", function()
    opens(packet.frame6(packet.ICMPV6, packet.icmp({ type = 128, id = 65535 })),
      { family = 6, protocol = 58, flags = ICMP + ICMP_ID, icmp_type = 128, icmp_id = 65535 })
  end)

  it("reads an ICMPv6 message of 6 bytes", function()
    opens(packet.frame6(packet.ICMPV6, "\155\0\0\0\0\0"), { family = 6, protocol = 58, flags = ICMP, icmp_type = 155 })
  end)

  it("does not take one family's ICMP for the other's", function()
    opens(packet.frame6(packet.ICMP, packet.icmp({ type = 8, id = 9 })), { family = 6, protocol = 1, flags = 0 })
    assert.equal(0, cell:flows()[1].key.port[0])
  end)

  it("skips IPv4 options", function()
    opens(packet.frame4(packet.TCP, packet.tcp({}), { options = ("\1"):rep(40) }),
      { family = 4, protocol = 6, flags = PORTS + TCP, src_port = 40000, dst_port = 443, tcp_flags = 2 })
  end)

  local tcp4 = packet.ipv4({ protocol = packet.TCP, payload = packet.tcp({}) })
  local tagged = {
    family = 4, protocol = 6, flags = PORTS + TCP + VLAN, tcp_flags = 2, src_port = 40000, dst_port = 443,
  }

  it("reads the VLAN id without the priority", function()
    tagged.vlan = 4094
    opens(packet.eth(packet.VLAN, packet.tag(4094, packet.IPV4, tcp4, 7)), tagged)
  end)

  it("knows a tag with id 0 from no tag", function()
    tagged.vlan = 0
    opens(packet.eth(packet.VLAN, packet.tag(0, packet.IPV4, tcp4)), tagged)
  end)

  it("takes the outer of two tags", function()
    tagged.vlan = 100
    opens(packet.eth(packet.QINQ, packet.tag(100, packet.VLAN, packet.tag(200, packet.IPV4, tcp4))), tagged)
  end)

  it("refuses three tags, and counts it", function()
    local inner = packet.tag(2, packet.VLAN, packet.tag(3, packet.IPV4, tcp4))
    refused(packet.eth(packet.QINQ, packet.tag(1, packet.QINQ, inner)), "vlan_too_deep")
  end)

  it("takes the tag in the metadata, where forwarding puts it, as the outermost", function()
    local push = prelude.vlan_push(0x8100, 0x6000 + 77, cell.program.egress)
    local inner = packet.tag(200, packet.QINQ, packet.tag(300, packet.IPV4, tcp4))
    assert.equal(1, cell:run(push.fd, packet.eth(packet.VLAN, inner)).parsed)
    local event = cell:events()[1]
    assert.equal(77, event.vlan)
    assert.equal(VLAN, bit.band(event.flags, VLAN))
    assert.equal(443, event.dst_port)
    assert.equal(40, tonumber(event.bytes))
    push:close()
  end)

  it("counts a tagged frame that is not IP as such", function()
    refused(packet.eth(packet.VLAN, packet.tag(5, packet.ARP, ("\0"):rep(28))), "not_ip")
  end)

  it("refuses ARP, LLC and an unknown ethertype", function()
    cell:egress(packet.eth(packet.ARP, ("\0"):rep(28)))
    cell:egress(packet.eth(38, ("\170"):rep(38)))
    assert.equal(3, cell:egress(packet.eth(0x88cc, ("\0"):rep(46))).not_ip)
    assert.equal(0, #cell:flows())
  end)

  it("believes the bytes, not the protocol that the sender told the kernel", function()
    local as_arp = prelude.set_ethertype(packet.IPV4, cell.program.egress)
    assert.equal(1, cell:run(as_arp.fd, packet.eth(packet.ARP, tcp4)).parsed)
    as_arp:close()
    local as_ip = prelude.set_ethertype(packet.ARP, cell.program.egress)
    assert.equal(1, cell:run(as_ip.fd, packet.eth(packet.IPV4, tcp4)).not_ip)
    as_ip:close()
  end)

  it("refuses a version that is not the ethertype's", function()
    refused(packet.frame4(packet.TCP, packet.tcp({}), { version = 6 }), "bad_header")
  end)

  it("refuses IPv6 with version 4", function()
    refused(packet.frame6(packet.TCP, packet.tcp({}), { version = 4 }), "bad_header")
  end)

  for ihl = 0, 4 do
    it("refuses an IPv4 header of " .. ihl * 4 .. " bytes", function()
      refused(packet.frame4(packet.TCP, packet.tcp({}), { ihl = ihl }), "bad_header")
    end)
  end

  it("records a tunnel by its outer tuple", function()
    local inner = packet.ipv4({ src = "10.0.0.1", dst = "10.0.0.2", protocol = packet.TCP, payload = packet.tcp({}) })
    opens(packet.frame4(packet.IPIP, inner), { family = 4, protocol = 4, flags = 0 })
  end)

  it("records VXLAN as the UDP that it is", function()
    local vxlan = "\8\0\0\0\0\0\1\0" .. packet.eth(packet.IPV4, tcp4)
    opens(packet.frame4(packet.UDP, packet.udp({ dst = 4789, payload = vxlan })),
      { family = 4, protocol = 17, flags = PORTS, src_port = 40000, dst_port = 4789 })
  end)

  it("fills every other field of the event", function()
    local event = opens(packet.frame4(packet.UDP, packet.udp({ payload = "12345" })),
      { family = 4, protocol = 17, flags = PORTS, src_port = 40000, dst_port = 53 })
    assert.equal(7, event.cell)
    assert.equal(1, event.ifindex) -- test runs happen on the loopback device
    assert.equal(C.CF_KIND_OPENED, event.kind)
    assert.equal(C.CF_SOURCE_EBPF, event.source)
    assert.equal(C.CF_HOOK_TC_EGRESS, event.hook)
    assert.equal(C.CF_DIRECTION_EGRESS, event.direction)
    assert.equal(C.CF_VERDICT_ACCEPT, event.verdict)
    assert.equal(1, tonumber(event.packets))
    assert.equal(33, tonumber(event.bytes))
    assert.equal(event.first_seen_ns, event.last_seen_ns)
    assert.equal(("\0"):rep(12), ffi.string(event.src_addr + 4, 12))
    assert.equal(("\0"):rep(4), ffi.string(event.pad0, 4))
  end)

  it("says less of a packet on its way in: no rule has seen it yet", function()
    cell:ingress(packet.frame4(packet.UDP, packet.udp({})), { mark = 0xdeadbeef })
    local event = cell:events()[1]
    assert.equal(C.CF_HOOK_TC_INGRESS, event.hook)
    assert.equal(C.CF_DIRECTION_INGRESS, event.direction)
    assert.equal(C.CF_VERDICT_UNKNOWN, event.verdict)
    assert.equal(0xdeadbeef, event.mark)
  end)
end)
