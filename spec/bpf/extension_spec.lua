-- SPDX-License-Identifier: GPL-2.0-only
-- The walk over IPv6 extension headers, and fragments of both families: where the ports are, and where they are not.
local bit = require("bit")
local run = require("bpf_run")
local packet = require("packet")

local PORTS, FRAGMENT = 1, 32

describe("the tc program, walking", function()
  local cell

  before_each(function() cell = run.load() end)
  after_each(function() cell:close() end)

  local function udp6(chain, protocol, payload)
    return packet.frame6(protocol or packet.UDP, payload or packet.udp({}), { chain = chain })
  end

  local function opens(bytes, protocol, flags)
    assert.equal(1, cell:egress(bytes).parsed)
    local event = cell:events()[1]
    assert.equal(protocol, event.protocol)
    assert.equal(flags, event.flags)
    local ports = bit.band(flags, PORTS) ~= 0
    assert.equal(ports and 40000 or 0, event.src_port)
    assert.equal(ports and 53 or 0, event.dst_port)
    return event
  end

  local function extensions(count)
    local chain = {}
    for i = 1, count do chain[i] = packet.extension(packet.DSTOPTS, 8 * i) end
    return chain
  end

  for name, header in pairs({
    HOPOPTS = packet.extension(packet.HOPOPTS, 8), ["long HOPOPTS"] = packet.extension(packet.HOPOPTS, 2048),
    ROUTING = packet.extension(packet.ROUTING, 24), DSTOPTS = packet.extension(packet.DSTOPTS, 16),
    ["first FRAGMENT"] = packet.fragment(0, true), ["only FRAGMENT"] = packet.fragment(0, false),
    AH = packet.extension(packet.AH, 24), ["long AH"] = packet.extension(packet.AH, 44),
  }) do
    it("walks over " .. name, function() opens(udp6({ header }), packet.UDP, PORTS) end)
  end

  it("walks over all of them together", function()
    opens(udp6({
      packet.extension(packet.HOPOPTS, 16), packet.extension(packet.DSTOPTS, 8), packet.extension(packet.ROUTING, 24),
      packet.fragment(0, true), packet.extension(packet.AH, 28), packet.extension(packet.DSTOPTS, 24),
    }), packet.UDP, PORTS)
  end)

  it("walks over eight", function() opens(udp6(extensions(8)), packet.UDP, PORTS) end)

  it("refuses nine, and counts it", function()
    assert.equal(1, cell:egress(udp6(extensions(9))).ext_too_deep)
    assert.equal(0, #cell:flows())
  end)

  it("refuses the ninth by its number, without its bytes", function()
    assert.equal(1, cell:egress(udp6(extensions(8), packet.DSTOPTS, "")).ext_too_deep)
  end)

  -- The bytes that follow would be a UDP header if any of these were walked over like the others.
  for name, protocol in pairs({
    ESP = packet.ESP, ["no next header"] = packet.NONE, mobility = 135, HIP = 139, unknown = 253,
  }) do
    it("takes " .. name .. " as the protocol", function()
      local fake = string.char(packet.UDP, 0) .. ("\0"):rep(6) .. packet.udp({})
      opens(udp6({ packet.extension(packet.DSTOPTS, 8) }, protocol, fake), protocol, 0)
    end)
  end

  it("reads the first IPv4 fragment like a whole packet", function()
    opens(packet.frame4(packet.UDP, packet.udp({}), { more = true }), packet.UDP, PORTS)
    assert.equal(0, cell.latest.later_fragments)
  end)

  for _, offset in ipairs({ 1, 185, 8191 }) do
    it("has no ports for the IPv4 fragment at " .. offset * 8, function()
      opens(packet.frame4(packet.UDP, packet.udp({}), { offset = offset, more = offset == 185 }), packet.UDP, FRAGMENT)
      assert.equal(1, cell.latest.later_fragments)
      assert.equal(1, cell:flows()[1].key.fragment)
    end)

    it("has no ports for the IPv6 fragment at " .. offset * 8, function()
      opens(udp6({ packet.extension(packet.HOPOPTS, 8), packet.fragment(offset, true) }), packet.UDP, FRAGMENT)
      assert.equal(1, cell.latest.later_fragments)
    end)
  end

  it("does not need a transport header in a later fragment", function()
    opens(packet.frame4(packet.TCP, "\1", { offset = 3 }), packet.TCP, FRAGMENT)
  end)

  it("stops at a later fragment: an extension number there is the first fragment's, not this one's bytes", function()
    local fake = string.char(packet.UDP, 0) .. ("\0"):rep(6) .. packet.udp({})
    opens(udp6({ packet.fragment(9, true) }, packet.DSTOPTS, fake), packet.DSTOPTS, FRAGMENT)
  end)

  it("keeps later fragments apart from the flow they belong to", function()
    cell:egress(packet.frame4(packet.UDP, packet.udp({ src = 0, dst = 0 }), { more = true }))
    assert.equal(2, cell:egress(packet.frame4(packet.UDP, "x", { offset = 1 })).flow_new)
    assert.equal(1, cell:egress(packet.frame4(packet.UDP, "y", { offset = 2 })).flow_hit)
  end)
end)
