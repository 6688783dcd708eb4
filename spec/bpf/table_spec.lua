-- SPDX-License-Identifier: GPL-2.0-only
-- What the flow table does when a flow has to make room or its ports begin another connection, and what of it is told.
-- A table of one set: every flow meets every other.
local bit = require("bit")
local ffi = require("ffi")
local run = require("bpf_run")
local packet = require("packet")

ffi.cdef("int usleep(unsigned int us);")

local OPENED, CLOSED = 2, 8
local SYN, ACK, FIN, RST = 2, 16, 1, 4
local HERE, THERE = "192.0.2.1", "198.51.100.2"

local function udp(port) return packet.frame4(packet.UDP, packet.udp({ src = port })) end

local function tcp(port, flags, back)
  if back then
    return packet.frame4(packet.TCP, packet.tcp({ src = 443, dst = port, flags = flags }), { src = THERE, dst = HERE })
  end
  return packet.frame4(packet.TCP, packet.tcp({ src = port, flags = flags }))
end

describe("the tc program's flow table, when it is full,", function()
  local cell

  before_each(function() cell = run.load({ cell = 5, flows = 15, events = OPENED + CLOSED }) end)
  after_each(function() cell:close() end)

  local function fill(first)
    for port = first or 1, 15 do cell:egress(udp(port)) end
    cell:events()
  end

  it("has room for fifteen flows in a set", function()
    fill()
    assert.equal(0, cell.latest.flow_evicted)
    assert.equal(15, #cell:flows())
    for port = 1, 15 do cell:egress(udp(port)) end
    assert.equal(15, cell.latest.flow_hit)
  end)

  it("evicts the flow that was least recently seen, and tells its end before the new one's beginning", function()
    fill()
    ffi.C.usleep(20000) -- the clock of known flows goes by ticks
    cell:egress(udp(1))
    cell:ingress(packet.frame4(packet.UDP, packet.udp({ src = 53, dst = 1, payload = "answer" }),
      { src = THERE, dst = HERE }))
    cell:egress(udp(100))
    assert.equal(1, cell.latest.flow_evicted)
    local events = cell:events()
    assert.equal(2, #events)
    assert.same({ ffi.C.CF_KIND_CLOSED, 2, ffi.C.CF_CLOSE_EVICTED }, { events[1].kind, events[1].src_port,
      events[1].close_reason })
    assert.same({ ffi.C.CF_KIND_OPENED, 100, 0 }, { events[2].kind, events[2].src_port, events[2].close_reason })
    assert.equal(15, #cell:flows())
    for port = 101, 114 do cell:egress(udp(port)) end -- 3 to 15, and then the one that was seen again
    events = cell:events()
    local closed = events[#events - 1]
    assert.same({ ffi.C.CF_KIND_CLOSED, 1, 2, 56, 1, 34 }, { closed.kind, closed.src_port, tonumber(closed.packets),
      tonumber(closed.bytes), tonumber(closed.reply_packets), tonumber(closed.reply_bytes) })
    assert.same({ 5, 53, 17, 4, ffi.C.CF_DIRECTION_EGRESS, ffi.C.CF_HOOK_TC_EGRESS, ffi.C.CF_VERDICT_ACCEPT },
      { closed.cell, closed.dst_port, closed.protocol, closed.family, closed.direction, closed.hook, closed.verdict })
    assert.equal(packet.address(HERE), run.address(closed.src_addr, 4))
    assert.is_true(closed.last_seen_ns - closed.first_seen_ns >= 10000000)
  end)

  for name, case in pairs({
    ["a reset one"] = { { tcp(9, RST + ACK, true) }, "CF_CLOSE_RST" },
    ["one that both ends finished"] = { { tcp(9, ACK, true), tcp(9, FIN + ACK, true) }, "CF_CLOSE_FIN",
      tcp(9, FIN + ACK) },
  }) do
    it("takes " .. name .. " first, though it was seen last", function()
      fill(2)
      cell:egress(tcp(9, SYN))
      for _, frame in ipairs(case[1]) do cell:ingress(frame) end
      if case[3] then cell:egress(case[3]) end
      cell:events()
      cell:egress(udp(100))
      local closed = cell:events()[1]
      assert.same({ 6, ffi.C[case[2]] }, { closed.protocol, closed.close_reason })
    end)
  end

  it("does not take a connection for finished of which one end goes on", function()
    cell:egress(tcp(9, SYN))
    cell:ingress(tcp(9, FIN + ACK, true))
    for port = 2, 15 do cell:egress(udp(port)) end
    cell:events()
    cell:egress(udp(100))
    assert.same({ 6, ffi.C.CF_CLOSE_EVICTED }, { cell:events()[1].protocol, cell.latest.flow_evicted + 3 })
  end)

  it("marks a flow that comes back, and not one that was never there", function()
    fill()
    cell:egress(udp(100))
    cell:egress(udp(1))
    local events = cell:events()
    assert.equal(0, bit.band(events[2].flags, ffi.C.CF_EVENT_REOPENED))
    assert.equal(1, events[4].src_port)
    assert.equal(ffi.C.CF_EVENT_REOPENED, bit.band(events[4].flags, ffi.C.CF_EVENT_REOPENED))
  end)

  it("refuses a flow when all ways are being taken out, and counts its packet", function()
    fill()
    local set = cell:tags()[0]
    for way = 0, 14 do set.tag[way] = ffi.C.CF_TAG_CLOSING end
    assert.equal(1, cell:egress(udp(100)).flow_full)
    assert.equal(0, #cell:events())
    set.tag[7] = ffi.C.CF_TAG_FREE
    assert.equal(16, cell:egress(udp(100)).flow_new)
    assert.is_true(set.tag[7] >= ffi.C.CF_TAG_FIRST)
  end)

  it("gives up on a set whose lock it does not get", function()
    cell:egress(udp(1))
    cell:tags()[0].lock = 1
    assert.equal(1, cell:egress(udp(2)).flow_full)
    assert.equal(1, cell:egress(udp(1)).flow_hit)
    cell:tags()[0].lock = 0
    assert.equal(2, cell:egress(udp(2)).flow_new)
  end)

  it("counts the ends that a cell does not ask for", function()
    local other = run.load({ cell = 6, flows = 15, events = OPENED })
    for port = 1, 16 do other:egress(udp(port)) end
    assert.same({ 16, 1, 1 }, { other.latest.event_attempted, other.latest.flow_evicted, other.latest.event_unwanted })
    assert.equal(16, #other:events())
    other:close()
  end)

  it("tells another cell's end as that one asked, and does not number it", function()
    local silent = run.load({ cell = 6, share = cell, events = OPENED })
    cell:egress(udp(1))
    silent:egress(udp(2))
    for port = 3, 16 do silent:egress(udp(port)) end
    silent:egress(udp(17))
    assert.same({ 2, 1 }, { silent.latest.flow_evicted, silent.latest.event_unwanted })
    local closed, seq = nil, 0
    for _, event in ipairs(cell:events()) do
      if event.kind == ffi.C.CF_KIND_CLOSED then closed = event elseif event.cell == 6 then seq = event.seq end
    end
    assert.same({ 5, 1, 0, 16 }, { closed.cell, closed.src_port, tonumber(closed.seq), tonumber(seq) })
    silent:close()
  end)
end)

describe("the tc program's flow table", function()
  local cell

  before_each(function() cell = run.load({ cell = 5, flows = 15, events = OPENED + CLOSED }) end)
  after_each(function() cell:close() end)

  for name, case in pairs({ FIN = { FIN + ACK, "CF_CLOSE_FIN" }, RST = { RST, "CF_CLOSE_RST" } }) do
    it("opens another connection when a SYN follows " .. name, function()
      cell:egress(tcp(9, SYN))
      cell:egress(tcp(9, case[1]))
      cell:egress(tcp(9, SYN))
      assert.same({ 2, 1, 1, 0 }, { cell.latest.flow_new, cell.latest.flow_hit, cell.latest.flow_reused,
        cell.latest.flow_evicted })
      local events = cell:events()
      assert.equal(3, #events)
      assert.same({ ffi.C.CF_KIND_CLOSED, ffi.C[case[2]], 2 }, { events[2].kind, events[2].close_reason,
        tonumber(events[2].packets) })
      assert.same({ ffi.C.CF_KIND_OPENED, SYN, 1, 0 }, { events[3].kind, events[3].tcp_flags,
        tonumber(events[3].packets), bit.band(events[3].flags, ffi.C.CF_EVENT_REOPENED + ffi.C.CF_EVENT_MIDSTREAM) })
      local flows = cell:flows()
      assert.equal(1, #flows)
      assert.same({ 1, SYN }, { tonumber(flows[1].flow.packets[0]), flows[1].flow.tcp_flags[0] })
    end)
  end

  it("takes neither a repeated SYN nor a SYN with ACK for another connection", function()
    cell:egress(tcp(9, SYN))
    cell:egress(tcp(9, SYN))
    cell:egress(tcp(9, FIN + ACK))
    cell:ingress(tcp(9, SYN + ACK, true))
    assert.same({ 1, 3, 0 }, { cell.latest.flow_new, cell.latest.flow_hit, cell.latest.flow_reused })
  end)

  it("marks a connection that it did not see begin", function()
    cell:egress(tcp(9, ACK))
    cell:egress(tcp(10, SYN))
    cell:ingress(tcp(11, SYN + ACK, true))
    cell:egress(udp(12))
    local marks = {}
    for i, event in ipairs(cell:events()) do marks[i] = bit.band(event.flags, ffi.C.CF_EVENT_MIDSTREAM) end
    assert.same({ ffi.C.CF_EVENT_MIDSTREAM, 0, 0, 0 }, marks)
  end)

  it("has a program beside it that only counts packets", function()
    local counting = run.load({ flows = 15 })
    for _, bytes in ipairs({ udp(1), packet.eth(packet.ARP, "") }) do
      assert.equal(0xffffffff, require("bpf_libbpf").test_run(counting.program.count, bytes))
    end
    local stats = counting:stats()
    assert.same({ 2, 2, 0, 0, 0 },
      { stats.packets, stats.egress_packets, stats.parsed, stats.flow_new, stats.flow_full })
    assert.same({ 0, 0 }, { #counting:flows(), #counting:events() })
    counting:close()
  end)

  it("sees the cell's directions from outside of it", function()
    local outside = run.load({ flows = 15, flags = ffi.C.CF_BPF_FLIPPED })
    outside:ingress(tcp(9, SYN))
    outside:egress(tcp(9, SYN + ACK, true))
    local event, flow = outside:events()[1], outside:flows()[1].flow
    assert.same({ ffi.C.CF_DIRECTION_EGRESS, ffi.C.CF_HOOK_TC_INGRESS, ffi.C.CF_VERDICT_UNKNOWN },
      { event.direction, event.hook, event.verdict })
    assert.equal(packet.address(HERE), run.address(event.src_addr, 4))
    assert.same({ 0, SYN, SYN + ACK }, { flow.origin, flow.tcp_flags[0], flow.tcp_flags[1] })
    outside:egress(tcp(10, SYN, true))
    event = outside:events()[1]
    assert.same({ ffi.C.CF_DIRECTION_INGRESS, ffi.C.CF_HOOK_TC_EGRESS, ffi.C.CF_VERDICT_UNKNOWN },
      { event.direction, event.hook, event.verdict })
    outside:close()
  end)
end)
