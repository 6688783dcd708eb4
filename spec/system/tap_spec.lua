-- SPDX-License-Identifier: MIT
-- attach = "tap": a microVM's tap, whose far side this process holds: what the guest writes arrives at the tap, and is
-- the cell's egress.
local ffi = require("ffi")
local cellflow = require("cellflow")
local netns = require("netns")
local packet = require("packet")
local sockets = require("sockets")
local standing = require("standing")

local C = ffi.C
local BOTH = C.CF_PLAN_EGRESS + C.CF_PLAN_INGRESS

describe("a tap", function()
  local world, ns
  before_each(function() world, ns = standing.open(), netns.make(true) end)
  after_each(function()
    cellflow.stop_all()
    sockets.close_all()
    world:close()
    netns.remove_all()
  end)

  local function ipv4(src, dst, port)
    return packet.ipv4({ src = src, dst = dst, protocol = packet.UDP,
      payload = packet.udp({ src = port, dst = 53, payload = "x" }) })
  end

  local function make(is_tap)
    local guest = sockets.tun(ns.name, "t0", is_tap)
    netns.must("ip netns exec %s sh -c 'echo 1 >/proc/sys/net/ipv6/conf/t0/disable_ipv6'", ns.name)
    netns.must("ip -n %s link set t0 arp off && ip -n %s addr add 10.9.0.1/24 dev t0 && ip -n %s link set t0 up",
      ns.name, ns.name, ns.name)
    return guest
  end

  local function add(attach)
    return world:add({ name = "vm", netns = ns.path, interface = "t0", stand = C.CF_STAND_TAP, hooks = BOTH,
      attach = attach })
  end

  for name, mode in pairs({ tcx = C.CF_ATTACH_TCX, clsact = C.CF_ATTACH_CLSACT }) do
    it("by " .. name .. " shows what the guest sends as its egress, and what it is sent as ingress", function()
      local guest = make(true)
      local cell = assert(add(mode))
      for _ = 1, 4 do sockets.tun_write(guest, packet.eth(packet.IPV4, ipv4("10.9.0.2", "10.9.0.77", 4001))) end
      standing.send(ns.path, "t0", packet.eth(packet.IPV4, ipv4("10.9.0.1", "10.9.0.2", 4002)), 2)
      local events = world:events()
      assert.equal(2, #events)
      assert.equal(4001, events[1].src_port)
      assert.equal(C.CF_HOOK_TC_INGRESS, events[1].hook)
      assert.equal(C.CF_DIRECTION_EGRESS, events[1].direction)
      assert.equal(4002, events[2].src_port)
      assert.equal(C.CF_HOOK_TC_EGRESS, events[2].hook)
      assert.equal(C.CF_DIRECTION_INGRESS, events[2].direction)
      assert.equal(6, world:packets(cell, "PACKETS"))
      assert.equal(4, world:packets(cell, "EGRESS_PACKETS"))
      assert.equal("t0", ffi.string(cell.interface))
    end)
  end

  it("may be a tun device, which has no link header", function()
    local guest = make(false)
    local cell = assert(add())
    sockets.tun_write(guest, ipv4("10.9.0.2", "10.9.0.77", 4003))
    assert.equal(0, cell.stand.interface.link_len)
    local events = world:events()
    assert.equal(1, #events)
    assert.equal(4003, events[1].src_port)
    assert.equal(C.CF_DIRECTION_EGRESS, events[1].direction)
  end)

  it("that goes ends the cell, and the namespace that had it does not matter", function()
    make(true)
    assert(add())
    assert.equal(1, world:check())
    sockets.close_all() -- the guest's side: the device goes with it
    assert.is_true(netns.eventually(function() return world:check() == 0 end))
  end)

  it("needs no namespace of its own: cellflow's will do", function()
    make(true)
    sockets.inside(ns.name, function()
      assert(world:add({ name = "vm", netns = "/proc/self/ns/net", interface = "t0", stand = C.CF_STAND_TAP }))
      assert.equal(1, world:check())
    end)
  end)

  it("is watched by a whole run, which says the cell's directions", function()
    local guest = make(true)
    local run = cellflow.start({ args = { "--cell", "vm", "--netns", ns.path, "--interface", "t0", "--attach", "tap",
      "--hooks", "both", "--require", "ebpf", "--protocol", "udp", "--summary-record" } }):ready()
    sockets.tun_write(guest, packet.eth(packet.IPV4, ipv4("10.9.0.2", "10.9.0.77", 4001)))
    standing.send(ns.path, "t0", packet.eth(packet.IPV4, ipv4("10.9.0.1", "10.9.0.2", 4002)), 2)
    assert.equal(0, run:finish())
    local direction = {}
    for _, record in ipairs(run:records()) do direction[record.src_port] = record.direction end
    assert.same({ [4001] = "egress", [4002] = "ingress" }, direction)
    assert.equal(1, run:summary().exercised_egress_connections)
  end)

  it("that is not there is an error with what is there", function()
    local cell, why = add()
    assert.is_nil(cell)
    assert.matches("no interface t0 (there are: lo", why, 1, true)
  end)
end)
