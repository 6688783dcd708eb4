-- SPDX-License-Identifier: GPL-2.0-only
-- How many packets and bytes one buffer counts for, and devices without a link header. Buffers that really
-- are segmented later come from sockets, and are not made here: the context only says that this one would be.
local run = require("bpf_run")
local packet = require("packet")

local function filled(n) return ("d"):rep(n) end

describe("the tc program, measuring", function()
  local cell

  before_each(function() cell = run.load() end)
  after_each(function() cell:close() end)

  local function measures(packets, bytes, frame, context)
    assert.equal(1, cell:egress(frame, context).flow_new)
    local event, flow = cell:events()[1], cell:flows()[1].flow
    assert.equal(packets, tonumber(event.packets))
    assert.equal(bytes, tonumber(event.bytes))
    assert.equal(packets, tonumber(flow.packets[0]))
    assert.equal(bytes, tonumber(flow.bytes[0]))
  end

  it("counts from the network header on, whatever is in front of it", function()
    local ip = packet.ipv4({ protocol = packet.UDP, payload = packet.udp({ payload = filled(100) }) })
    measures(1, 128, packet.eth(packet.VLAN, packet.tag(3, packet.IPV4, ip)))
  end)

  it("counts a TCP buffer as the segments it becomes, with a header for each", function()
    local frame = packet.frame4(packet.TCP, packet.tcp({ options = ("\1"):rep(12), payload = filled(2500) }))
    measures(3, 2500 + 3 * (20 + 32), frame, { gso_size = 1000, gso_segs = 3 })
  end)

  it("does not need the kernel's own count, which is 0 for a guest's buffers", function()
    local frame = packet.frame4(packet.TCP, packet.tcp({ payload = filled(2001) }), { options = "\1\1\1\1" })
    measures(3, 2001 + 3 * (24 + 20), frame, { gso_size = 1000 })
  end)

  it("counts extension headers for every segment", function()
    local frame = packet.frame6(packet.UDP, packet.udp({ payload = filled(2000) }),
      { chain = { packet.extension(packet.DSTOPTS, 16) } })
    measures(2, 2000 + 2 * (40 + 16 + 8), frame, { gso_size = 1000, gso_segs = 2 })
  end)

  it("counts one packet when the payload fits one segment", function()
    measures(1, 1040, packet.frame4(packet.TCP, packet.tcp({ payload = filled(1000) })), { gso_size = 1000 })
  end)

  it("counts one packet when there is no payload", function()
    measures(1, 40, packet.frame4(packet.TCP, packet.tcp({})), { gso_size = 1000 })
  end)

  it("survives a TCP header length that points past the end", function()
    measures(1, 50, packet.frame4(packet.TCP, packet.tcp({ words = 15, payload = filled(10) })), { gso_size = 5 })
  end)

  it("takes a TCP header length below 20 for 20", function()
    local frame = packet.frame4(packet.TCP, packet.tcp({ words = 0, payload = filled(10) }))
    measures(2, 10 + 2 * 40, frame, { gso_size = 5 })
  end)

  it("believes the kernel's count of SCTP, whose segment size is a marker", function()
    measures(3, 600 + 3 * 32, packet.frame4(packet.SCTP, packet.sctp({ payload = filled(600) })),
      { gso_size = 0xffff, gso_segs = 3 })
  end)

  it("adds to the same flow what the buffers are worth", function()
    local frame = packet.frame4(packet.TCP, packet.tcp({ payload = filled(3000) }))
    cell:egress(frame, { gso_size = 1000 })
    cell:egress(frame, { gso_size = 1500 })
    cell:egress(frame)
    local flow = cell:flows()[1].flow
    assert.equal(3 + 2 + 1, tonumber(flow.packets[0]))
    assert.equal(3 * 3000 + (3 + 2 + 1) * 40, tonumber(flow.bytes[0]))
  end)
end)

-- A test run takes its protocol from bytes 12 and 13, as if there were an Ethernet header: these addresses have the
-- right ethertype there.
describe("the tc program, on a device without link header", function()
  local cell

  before_each(function() cell = run.load({ link_len = 0, cell = 1 }) end)
  after_each(function() cell:close() end)

  it("reads IPv4 from the first byte", function()
    cell:egress(packet.ipv4({ src = "8.0.0.1", protocol = packet.UDP, payload = packet.udp({ payload = filled(12) }) }))
    local event = cell:events()[1]
    assert.equal(packet.address("8.0.0.1"), run.address(event.src_addr, 4))
    assert.equal(53, event.dst_port)
    assert.equal(40, tonumber(event.bytes))
  end)

  it("reads IPv6 from the first byte", function()
    cell:egress(packet.ipv6({ src = "2001:db8:86dd::1", protocol = packet.TCP, payload = packet.tcp({}) }))
    local event = cell:events()[1]
    assert.equal(packet.address("2001:db8:86dd::1"), run.address(event.src_addr, 6))
    assert.equal(443, event.dst_port)
    assert.equal(60, tonumber(event.bytes))
  end)

  it("does not look for an Ethernet header there", function()
    assert.equal(1, cell:egress(packet.frame4(packet.UDP, packet.udp({}))).bad_header)
  end)
end)
