-- SPDX-License-Identifier: MIT
--
-- Frames for comparing parsers: valid ones of every kind that a parser tells apart, and what an attacker or a short
-- capture makes of them. All by a seed. Knows no parser.
local bit = require("bit")
local packet = require("packet")

local M = {}

local EXTENSIONS = { packet.HOPOPTS, packet.ROUTING, packet.DSTOPTS, packet.AH, packet.FRAGMENT }
local PROTOCOLS = { packet.TCP, packet.TCP, packet.UDP, packet.UDP, packet.ICMP, packet.ICMPV6, packet.SCTP,
  packet.DCCP, packet.UDPLITE, packet.IPIP, packet.ESP, packet.NONE, packet.HOPOPTS, packet.FRAGMENT }
local ICMP_TYPES = { 0, 3, 5, 8, 11, 128, 129, 133, 135, 143, 155 }
local V4 = { "192.0.2.1", "198.51.100.2", "10.0.0.1", "0.0.0.0", "255.255.255.255" }
local V6 = { "2001:db8::1", "2001:db8::2", "::", "ff02::1", "fe80::1" }

local function transport(r, protocol)
  local src, dst, payload = r:below(65536), r:below(65536), r:bytes(r:below(24))
  if protocol == packet.TCP then
    return packet.tcp({ src = src, dst = dst, flags = r:below(256), options = r:bytes(4 * r:below(11)),
      words = r:below(8) == 0 and r:below(16) or nil, payload = payload })
  elseif protocol == packet.UDP or protocol == packet.UDPLITE then
    return packet.udp({ src = src, dst = dst, payload = payload })
  elseif protocol == packet.SCTP or protocol == packet.DCCP then
    return packet.sctp({ src = src, dst = dst, payload = payload })
  elseif protocol == packet.ICMP or protocol == packet.ICMPV6 then
    return packet.icmp({ type = r:below(4) == 0 and r:below(256) or r:pick(ICMP_TYPES), code = r:below(4),
      id = r:below(65536), payload = payload })
  end
  return payload
end

local function protocol(r)
  return r:below(10) == 0 and r:below(256) or r:pick(PROTOCOLS)
end

local function ipv4(r)
  local number = protocol(r)
  return packet.ipv4({ protocol = number, payload = transport(r, number), src = r:pick(V4), dst = r:pick(V4),
    options = r:below(4) == 0 and r:bytes(4 * r:below(11)) or nil, more = r:below(8) == 0,
    offset = r:below(8) == 0 and r:below(8192) or 0, version = r:below(40) == 0 and r:below(16) or nil,
    ihl = r:below(40) == 0 and r:below(16) or nil })
end

local function extension(r)
  local kind = r:pick(EXTENSIONS)
  if kind == packet.FRAGMENT then
    return packet.fragment(r:below(4) == 0 and r:below(8192) or 0, r:below(2) == 0)
  end
  if kind == packet.AH then return packet.extension(kind, 12 + 4 * r:below(8)) end
  return packet.extension(kind, 8 * (r:below(20) == 0 and 1 + r:below(60) or 1 + r:below(4)))
end

local function ipv6(r)
  local number, chain = protocol(r), {}
  if r:below(2) == 0 then
    for i = 1, r:below(r:below(4) == 0 and 11 or 4) do chain[i] = extension(r) end
  end
  return packet.ipv6({ protocol = number, payload = transport(r, number), src = r:pick(V6), dst = r:pick(V6),
    chain = chain, version = r:below(40) == 0 and r:below(16) or nil })
end

--- A frame as its ethertype and what follows the Ethernet header.
function M.valid(r)
  local six = r:below(2) == 0
  local ethertype, bytes = six and packet.IPV6 or packet.IPV4, six and ipv6(r) or ipv4(r)
  if r:below(20) == 0 then ethertype = r:pick({ packet.ARP, 38, r:below(65536) }) end
  if r:below(4) == 0 then
    for _ = 1, 1 + r:below(r:below(4) == 0 and 4 or 2) do
      bytes = packet.tag(r:below(4096), ethertype, bytes, r:below(8))
      ethertype = r:pick({ packet.VLAN, packet.QINQ })
    end
  end
  return ethertype, bytes
end

-- Bytes near the front are the ones that matter.
local function place(r, len)
  return r:below(math.min(len, r:pick({ 8, 44, 60, 80, 400 })))
end

--- Spoil `len` bytes in memory; returns their length after that.
function M.spoil(r, at, len)
  if len == 0 then return 0 end
  local kind = r:below(8)
  if kind < 3 then -- cut, most often inside the headers
    return r:below(2) == 0 and place(r, len) or r:below(len)
  end
  for _ = 1, 1 + r:below(kind < 6 and 1 or 6) do
    local index = place(r, len)
    if kind == 3 then
      at[index] = bit.bxor(at[index], bit.lshift(1, r:below(8)))
    elseif kind == 4 then
      at[index] = r:pick({ 0, 255, 6, 43, 44, 51, 60 })
    else
      at[index] = r:below(256)
    end
  end
  return r:below(4) == 0 and place(r, len) or len
end

return M
