-- SPDX-License-Identifier: GPL-2.0-only
-- Packets as Lua strings, from the inside out: eth(IPV4, ipv4{ protocol = 6, payload = tcp{...} }). Fills in what a
-- parser reads and lets every field be wrong on purpose; leaves checksums at 0, which nobody here verifies.
local ffi = require("ffi")
local bit = require("bit")

ffi.cdef("int inet_pton(int family, const char *text, void *address);")

local M = {
  IPV4 = 0x0800, ARP = 0x0806, VLAN = 0x8100, QINQ = 0x88a8, IPV6 = 0x86dd,
  ICMP = 1, IPIP = 4, TCP = 6, UDP = 17, DCCP = 33, ICMPV6 = 58, SCTP = 132, UDPLITE = 136,
  HOPOPTS = 0, ROUTING = 43, FRAGMENT = 44, ESP = 50, AH = 51, NONE = 59, DSTOPTS = 60,
}

local function be16(n)
  return string.char(bit.band(bit.rshift(n, 8), 255), bit.band(n, 255))
end
M.be16 = be16

local function be32(n)
  return be16(bit.rshift(n, 16)) .. be16(n)
end

local addresses = {}

-- "192.0.2.1" or "2001:db8::1" to its 4 or 16 bytes.
local function address(text)
  if not addresses[text] then
    local v6 = text:find(":", 1, true) ~= nil
    local out = ffi.new("uint8_t[16]")
    assert(ffi.C.inet_pton(v6 and 10 or 2, text, out) == 1, "not an address: " .. text)
    addresses[text] = ffi.string(out, v6 and 16 or 4)
  end
  return addresses[text]
end
M.address = address

-- Ethernet frame.
function M.eth(ethertype, payload)
  return "\2\0\0\0\0\2\2\0\0\0\0\1" .. be16(ethertype) .. payload
end

-- What follows a frame's ethertype M.VLAN or M.QINQ: one tag, then the inner ethertype and payload.
function M.tag(vid, ethertype, payload, priority)
  return be16(vid + (priority or 0) * 0x2000) .. be16(ethertype) .. payload
end

-- p: protocol, payload; src, dst (text); options (bytes, multiple of 4); offset (in 8 bytes), more (fragments);
-- version, ihl to lie.
function M.ipv4(p)
  local options, payload = p.options or "", p.payload or ""
  local ihl = p.ihl or 5 + #options / 4
  return string.char((p.version or 4) * 16 + ihl, 0) .. be16(20 + #options + #payload) .. be16(1)
    .. be16((p.more and 0x2000 or 0) + (p.offset or 0)) .. string.char(64, p.protocol) .. be16(0)
    .. address(p.src or "192.0.2.1") .. address(p.dst or "198.51.100.2") .. options .. payload
end

-- One IPv6 extension header for M.ipv6's chain; size is the number of bytes of the whole header.
function M.extension(protocol, size)
  local len = protocol == M.AH and size / 4 - 2 or size / 8 - 1
  return { protocol = protocol, body = string.char(len) .. ("\1"):rep(size - 2) }
end

-- offset in units of 8 bytes.
function M.fragment(offset, more)
  return { protocol = M.FRAGMENT, body = "\0" .. be16(offset * 8 + (more and 1 or 0)) .. be32(7) }
end

-- p: protocol, payload; src, dst; chain: list of extension headers; version to lie.
function M.ipv6(p)
  local chain, parts, first = p.chain or {}, {}, p.protocol
  for i, header in ipairs(chain) do
    local following = chain[i + 1] and chain[i + 1].protocol or p.protocol
    parts[i] = string.char(following) .. header.body
    first = chain[1].protocol
  end
  local payload = table.concat(parts) .. (p.payload or "")
  return string.char((p.version or 6) * 16, 0, 0, 0) .. be16(#payload) .. string.char(first, 64)
    .. address(p.src or "2001:db8::1") .. address(p.dst or "2001:db8::2") .. payload
end

-- p: src, dst (ports); flags (number, SYN by default); options (bytes, multiple of 4); payload; words to lie.
function M.tcp(p)
  local options = p.options or ""
  return be16(p.src or 40000) .. be16(p.dst or 443) .. be32(1) .. be32(0)
    .. string.char((p.words or 5 + #options / 4) * 16, p.flags or 2) .. be16(65535) .. be16(0) .. be16(0)
    .. options .. (p.payload or "")
end

function M.udp(p)
  return be16(p.src or 40000) .. be16(p.dst or 53) .. be16(8 + #(p.payload or "")) .. be16(0) .. (p.payload or "")
end

-- SCTP's common header, and the shape of DCCP's shortest.
function M.sctp(p)
  return be16(p.src or 40000) .. be16(p.dst or 3868) .. be32(0) .. be32(0) .. (p.payload or "")
end

-- ICMP and ICMPv6: p: type, code, id, seq (of echo), payload.
function M.icmp(p)
  return string.char(p.type, p.code or 0) .. be16(0) .. be16(p.id or 0) .. be16(p.seq or 1) .. (p.payload or "")
end

-- A whole frame around a transport payload.
function M.frame4(protocol, payload, p)
  p = p or {}
  p.protocol, p.payload = protocol, payload
  return M.eth(M.IPV4, M.ipv4(p))
end

function M.frame6(protocol, payload, p)
  p = p or {}
  p.protocol, p.payload = protocol, payload
  return M.eth(M.IPV6, M.ipv6(p))
end

return M
