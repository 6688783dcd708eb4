-- SPDX-License-Identifier: MIT
-- attach = "peer": a cell watched from the other end of its veth pair, and the comparison of both ends.
local ffi = require("ffi")
local cellflow = require("cellflow")
local lab = require("spec.support.lab")
local netns = require("netns")
local packet = require("packet")
local privileged = require("privileged")
local sockets = require("sockets")
local standing = require("standing")

local C = ffi.C
local INSIDE, PEER = C.CF_STAND_INSIDE, C.CF_STAND_PEER
local BOTH = C.CF_PLAN_EGRESS + C.CF_PLAN_INGRESS

local function frame(from, to, port)
  return packet.eth(packet.IPV4, packet.ipv4({ src = from, dst = to, protocol = packet.UDP,
    payload = packet.udp({ src = port or 5000, dst = 9000, payload = "x" }) }))
end

describe("a cell watched from its peer", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local world, ns
  before_each(function()
    world, ns = standing.open(), netns.make()
    for _, name in ipairs({ ns.name, ns.peer }) do -- nothing is sent but what the specs send
      netns.must("ip netns exec %s sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6'", name)
    end
    netns.must("ip -n %s link set e0 arp off && ip -n %s link set %s arp off", ns.name, ns.peer, ns.outside)
  end)
  after_each(function()
    sockets.close_all()
    world:close()
    netns.remove_all()
  end)

  local function add(stand, fields)
    fields = fields or {}
    return world:add({ name = "x", netns = ns.path, interface = fields.interface or "e0", stand = stand,
      attach = fields.attach, hooks = fields.hooks })
  end

  local function both_ways()
    standing.send(ns.path, "e0", frame(ns.address, ns.gateway), 5)
    standing.send("/run/netns/" .. ns.peer, ns.outside, frame(ns.gateway, ns.address, 6000), 3)
  end

  local function text(bytes) return table.concat({ bytes[0], bytes[1], bytes[2], bytes[3] }, ".") end

  for name, mode in pairs({ tcx = C.CF_ATTACH_TCX, clsact = C.CF_ATTACH_CLSACT }) do
    it("by " .. name .. " has the directions of the cell and the hooks of the peer", function()
      local cell = assert(add(PEER, { hooks = BOTH, attach = mode }))
      assert.equal(ns.outside, ffi.string(cell.interface))
      both_ways()
      local events = world:events()
      assert.equal(2, #events)
      local out, back = events[1], events[2]
      assert.equal(C.CF_HOOK_TC_INGRESS, out.hook)
      assert.equal(C.CF_DIRECTION_EGRESS, out.direction)
      assert.equal(ns.address, text(out.src_addr))
      assert.equal(ns.gateway, text(out.dst_addr))
      assert.equal(5000, out.src_port)
      assert.equal(C.CF_VERDICT_UNKNOWN, out.verdict) -- the host's netfilter has not seen it yet
      assert.equal(cell.stand.interface.ifindex, out.ifindex)
      assert.equal(C.CF_HOOK_TC_EGRESS, back.hook)
      assert.equal(C.CF_DIRECTION_INGRESS, back.direction)
      assert.equal(ns.gateway, text(back.src_addr))
      assert.equal(C.CF_VERDICT_UNKNOWN, back.verdict)
      assert.equal(8, world:packets(cell, "PACKETS"))
      assert.equal(5, world:packets(cell, "EGRESS_PACKETS"))
      world:close()
      assert.is_nil(netns.must("tc -n %s qdisc show dev %s", ns.peer, ns.outside):match("clsact"))
      world = standing.open()
    end)

    it("by " .. name .. " with one hook sees that direction only", function()
      assert(add(PEER, { hooks = C.CF_PLAN_EGRESS, attach = mode }))
      both_ways()
      local events = world:events()
      assert.equal(1, #events)
      assert.equal(C.CF_DIRECTION_EGRESS, events[1].direction)
    end)
  end

  it("is found when the peer is in cellflow's own namespace", function()
    privileged.inside(privileged.cell({ netns = "/run/netns/" .. ns.peer }), function()
      local cell = assert(add(PEER))
      assert.equal("/proc/self/ns/net", ffi.string(cell.stand.at.netns))
      assert.equal(1, world:check())
    end)
    both_ways()
    assert.equal(1, #world:events())
  end)

  it("is found when both ends are in the cell", function()
    netns.must("ip -n %s link add a0 type veth peer name b0", ns.name)
    local cell = assert(add(PEER, { interface = "a0" }))
    assert.equal("b0", ffi.string(cell.interface))
    assert.equal(ns.path, ffi.string(cell.stand.at.netns))
  end)

  it("is refused with the remedy where the peer cannot be reached", function()
    local pid = netns.must("ip netns exec %s sh -c 'sleep 60 >/dev/null 2>&1 & echo $!'", ns.peer):match("%d+")
    finally(function() netns.run("kill -9 %s", pid) end)
    netns.must("ip netns del %s", ns.peer) -- the process keeps it
    local cell, why = add(PEER)
    assert.is_nil(cell)
    assert.matches("peer of interface e0 .-ip netns attach NAME PID", why)
  end)

  it("is refused where the interface has no peer", function()
    netns.must("ip -n %s link add br0 type bridge", ns.name)
    for _, interface in ipairs({ "lo", "br0" }) do
      local cell, why = add(PEER, { interface = interface })
      assert.is_nil(cell)
      assert.matches("interface " .. interface .. " is of .-kind.-not one end of a veth pair", why)
    end
  end)

  for name, mode in pairs({ tcx = C.CF_ATTACH_TCX, clsact = C.CF_ATTACH_CLSACT }) do
    it("by " .. name .. " is gone with its interface", function()
      assert(add(PEER, { attach = mode }))
      assert.equal(1, world:check())
      netns.must("ip -n %s link del e0", ns.name)
      assert.is_true(netns.eventually(function() return world:check() == 0 end))
    end)
  end

  describe("and from inside", function()
    for name, mode in pairs({ tcx = C.CF_ATTACH_TCX, clsact = C.CF_ATTACH_CLSACT }) do
      it("by " .. name .. " makes its events inside and tells what passed by", function()
        local cell = assert(add(INSIDE + PEER, { hooks = BOTH, attach = mode }))
        both_ways()
        assert.same({ 5, 5, 0 }, { world:pair(cell) })
        standing.send(ns.path, "e0", frame(ns.address, ns.gateway, 7000), 1000, true)
        assert.same({ 1005, 5, 1000 }, { world:pair(cell) })
        local events = world:events()
        assert.equal(2, #events) -- of 5000 and 6000, none of 7000
        for _, event in ipairs(events) do assert.not_equal(7000, event.src_port) end
        assert.equal(C.CF_HOOK_TC_EGRESS, events[1].hook)
        assert.equal(8, world:packets(cell, "PACKETS"))
        world:close()
        assert.is_nil(netns.must("tc -n %s qdisc show dev %s", ns.peer, ns.outside):match("clsact"))
        world = standing.open()
      end)
    end

    it("counts no less than nothing where packets are lost on their way", function()
      local cell = assert(add(INSIDE + PEER))
      netns.must("ip -n %s link set %s down", ns.peer, ns.outside)
      netns.must("ip netns exec %s ping -c 3 -i 0.01 -W 1 %s >/dev/null || true", ns.name, ns.gateway)
      netns.must("ip -n %s link set %s up", ns.peer, ns.outside)
      both_ways()
      local peer, inside, passed = world:pair(cell)
      assert.is_true(peer <= inside)
      assert.equal(0, passed)
    end)

    it("keeps its numbers when it is gone", function()
      local cell = assert(add(INSIDE + PEER))
      standing.send(ns.path, "e0", frame(ns.address, ns.gateway), 7, true)
      netns.must("ip -n %s link del e0", ns.name)
      assert.is_true(netns.eventually(function() return world:check() == 0 end))
      assert.same({ 7, 0, 7 }, { world:pair(cell) })
    end)

    it("without egress compares nothing", function()
      local cell = assert(add(INSIDE + PEER, { hooks = C.CF_PLAN_INGRESS }))
      assert.is_false(cell.bypass.counts)
    end)
  end)
end)

describe("segments that are cut or put together between the two hooks", function()
  local here, world
  before_each(function() here, world = lab.up(), standing.open() end)
  after_each(function()
    sockets.close_all()
    world:close()
    here:down()
  end)

  local cases = {
    ["neither"] = { {}, function(inside, peer, segments) return inside == peer and peer < segments end },
    ["cut after the inner hook"] = { { cell = "tso off" }, function(inside, peer) return 4 * inside < peer end },
    ["put together before the outer one"] = { { cell = "tso off", peer = "gro on" },
      function(_, peer, segments) return peer < segments end },
  }
  for name, case in pairs(cases) do
    local offloads, buffers = case[1], case[2]
    it("are the same number: " .. name, function()
      if lab.run("command -v ethtool") == "" then return pending("needs ethtool") end
      for side, features in pairs(offloads) do here:exec(side, "ethtool -K eth0 " .. features) end
      local cell = assert(world:add({ name = "x", netns = "/run/netns/" .. here.cell, interface = "eth0",
        stand = INSIDE + PEER }))
      local pair = sockets.tcp_pair(here, 4, 40001)
      pair:transfer(4000000)
      local info = pair:settled_info()
      sockets.udp_segmented(here, 40002, 9200, 1000, 25500)
      assert.is_true(lab.wait_for("both to count", 5, function()
        local peer, inside = world:pair(cell)
        return peer == inside
      end))
      local _, inside, passed = world:pair(cell)
      assert.equal(0, passed)
      assert.is_true(buffers(world:packets(cell, "PACKETS"), privileged.packets(cell.bypass.object), inside))
      -- TCP's own count and 26 datagrams, and at most a few neighbour solicitations.
      assert.is_true(inside >= info.segments_out + 26 and inside <= info.segments_out + 26 + 20)
    end)
  end
end)

describe("a run that watches inside and at the peer", function()
  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    cellflow.stop_all()
    here:down()
  end)

  local function start(attach)
    return cellflow.start({ args = { "--cell", "c", "--netns", here.cell, "--interface", "eth0", "--attach", attach,
      "--sources", "ebpf", "--summary-record" } }):ready()
  end

  local function send(count, bypass)
    standing.send("/run/netns/" .. here.cell, "eth0", frame(lab.cell4, lab.peer4), count, bypass)
  end

  it("tells how many packets passed by, live and at the end, in words and in the summary", function()
    local run = start("inside,peer")
    send(3)
    send(1000, true)
    run:signal("USR1")
    cellflow.wait_for("the numbers", 10, function()
      return run:stderr():find("1000 packets of cell \"c\" left by a way that the inner hook does not see", 1, true)
    end)
    send(1, true)
    assert.equal(0, run:finish())
    local summary = run:summary()
    local cell = summary.cells[1]
    assert.equal(1001, cell.bypassed)
    assert.same({ "lower bound", "lower bound" }, { cell.connections_are, summary.exercised_egress_connections_are })
    assert.equal(cell.packets + 1001, cell.peer_packets)
    assert.matches("warning: 1001 packets of cell \"c\" left by a way", run:stderr(), 1, true)
    assert.equal(1, #run:records())
  end)

  it("says so when nothing did", function()
    local run = start("inside,peer")
    send(3)
    assert.equal(0, run:finish())
    local cell = run:summary().cells[1]
    assert.equal("exact", cell.connections_are)
    assert.equal(0, cell.bypassed)
    assert.equal(cell.packets, cell.peer_packets)
    assert.is_nil(run:stderr():find("left by a way", 1, true))
  end)

  it("has nothing to compare at one place alone", function()
    local run = start("peer")
    send(3)
    send(4, true)
    assert.equal(0, run:finish())
    local cell = run:summary().cells[1]
    assert.is_nil(cell.bypassed)
    assert.is_true(cell.packets >= 7)
    local record = run:records()[1]
    assert.same({ "egress", 5000, "eth0" }, { record.direction, record.src_port, record.interface })
  end)
end)
