-- SPDX-License-Identifier: MIT
-- Buffers and links that are not the common case: headers outside the linear part, tags in the data, no link header.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local flow_table = require("flow_table")
local identities = require("identities")
local packet = require("packet")
local sockets = require("sockets")

describe("a cell that sends", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, run
  before_each(function() here = lab.up() end)
  after_each(function()
    sockets.close_all()
    cellflow.stop_all()
    here:down()
  end)

  local function start(interface)
    run = cellflow.start({ args = { "--netns", here.cell, "--interface", interface or "eth0", "--hooks", "both",
      "--summary-record" } }):ready()
  end

  -- Ends the run; returns its records by flow and its summary.
  local function finish()
    assert.equal(0, run:finish())
    return flow_list.by_flow(run:records()), identities.check(run:summary())
  end

  local function udp4(from, len)
    return packet.ipv4({ src = lab.cell4, dst = lab.peer4, protocol = packet.UDP,
      payload = packet.udp({ src = from, dst = 9000, payload = ("x"):rep(len - 28) }) })
  end

  local function tcp6(from, len)
    return packet.ipv6({ src = lab.cell6, dst = lab.peer6, protocol = packet.TCP,
      payload = packet.tcp({ src = from, dst = 443, payload = ("x"):rep(len - 60) }) })
  end

  it("frames larger than a page, whose headers are outside the linear part", function()
    here:exec("cell", "ip link set eth0 mtu 9000")
    here:exec("peer", "ip link set eth0 mtu 9000")
    start()
    sockets.frame(here.cell, "eth0", packet.eth(packet.IPV4, udp4(5001, 8000)))
    sockets.frame(here.cell, "eth0", packet.eth(packet.IPV6, tcp6(5002, 8500)))
    sockets.frame(here.cell, "eth0", packet.eth(packet.IPV4, udp4(5003, 500)))
    local records, summary = finish()
    for flow, bytes in pairs({ ["udp 10.77.0.2 5001 10.77.0.1 9000"] = 8000, ["tcp fd77::2 5002 fd77::1 443"] = 8500,
      ["udp 10.77.0.2 5003 10.77.0.1 9000"] = 500 }) do
      local record = assert(records[flow], flow)
      assert.equal("egress", record.direction)
      assert.equal(bytes, record.byte_count)
      assert.equal(1, record.packet_count)
    end
    assert.is_true(summary.kernel.non_linear >= 2)
    assert.equal(0, summary.kernel.unparsed_truncated)
  end)

  it("tags inside the data", function()
    start()
    sockets.frame(here.cell, "eth0", packet.eth(packet.VLAN, packet.tag(77, packet.IPV4, udp4(5001, 100))))
    sockets.frame(here.cell, "eth0", packet.eth(packet.QINQ,
      packet.tag(100, packet.VLAN, packet.tag(200, packet.IPV6, tcp6(5002, 100)))))
    sockets.frame(here.cell, "eth0", packet.eth(packet.VLAN,
      packet.tag(1, packet.VLAN, packet.tag(2, packet.VLAN, packet.tag(3, packet.IPV4, udp4(5003, 100))))))
    local records, summary = finish()
    local one, two = records["udp 10.77.0.2 5001 10.77.0.1 9000"], records["tcp fd77::2 5002 fd77::1 443"]
    assert.equal(77, one.vlan)
    assert.equal(100, one.byte_count)
    assert.equal(100, two.vlan) -- the outermost
    assert.equal(100, two.byte_count)
    assert.is_nil(records["udp 10.77.0.2 5003 10.77.0.1 9000"])
    assert.equal(1, summary.kernel.unparsed_vlan_too_deep)
  end)

  it("a file's own pages", function()
    start()
    local pair = sockets.tcp_pair(here, 4, 40123)
    pair:sendfile(100000)
    local info = pair:settled_info()
    local ours = assert(flow_table.read(run.pid)[pair.flow])
    assert.equal(info.segments_out, ours.egress.packets)
    assert.equal(100000 + info.segments_out * 52 + 8, ours.egress.bytes)
    local records = finish()
    assert.equal("S", records[pair.flow].tcp_flags)
  end)

  it("by an interface without link header", function()
    local far = sockets.tun(here.cell, "tun0")
    lab.must(("ip -n %s addr add 10.88.0.2/24 dev tun0"):format(here.cell))
    lab.must(("ip -n %s addr add fd88::2/64 dev tun0 nodad"):format(here.cell))
    lab.must(("ip -n %s link set tun0 up"):format(here.cell))
    start("tun0")
    here:exec("cell", "build/flowgen --to4 10.88.0.9 --to6 fd88::9 --mix udp4,udp6 --flows 2 --ports 1 --seed 0")
    sockets.tun_write(far, packet.ipv4({ src = "10.88.0.9", dst = "10.88.0.2", protocol = packet.UDP,
      payload = packet.udp({ src = 6001, dst = 9, payload = "x" }) }))
    sockets.tun_write(far, packet.ipv6({ src = "fd88::9", dst = "fd88::2", protocol = packet.TCP,
      payload = packet.tcp({ src = 6002, dst = 9 }) }))
    sockets.tun_write(far, packet.ipv4({ src = "10.88.0.9", dst = "10.88.0.2", protocol = packet.UDP,
      payload = packet.udp({ src = 6003, dst = 9, payload = ("x"):rep(6000) }) }))
    local records, summary = finish()
    local seen = {}
    for flow, record in pairs(records) do
      if record.src_port then
        seen[("%s %s %s %d"):format(record.direction, flow:match("^(%a+)"), record.dst_addr, record.byte_count)] = true
      end
    end
    assert.is_true(seen["egress udp 10.88.0.9 92"] and seen["egress udp fd88::9 112"])
    assert.is_true(seen["ingress udp 10.88.0.2 29"] and seen["ingress tcp fd88::2 60"])
    assert.is_true(seen["ingress udp 10.88.0.2 6028"])
    assert.equal(0, summary.kernel.unparsed_bad_header + summary.kernel.unparsed_truncated)
  end)
end)
