-- SPDX-License-Identifier: MIT
-- Captures as Lua strings, written by the formats' books and without libpcap: pcap and pcapng in both byte orders, and
-- the link headers that packets of a capture may have. Every field can be wrong on purpose.
local bit = require("bit")
local packet = require("packet")

local M = {
  NULL = 0, ETHERNET = 1, RAW = 101, LOOP = 108, SLL = 113, IPV4 = 228, IPV6 = 229, SLL2 = 276,
}

local function le32(n)
  return string.char(bit.band(n, 255), bit.band(bit.rshift(n, 8), 255), bit.band(bit.rshift(n, 16), 255),
    bit.band(bit.rshift(n, 24), 255))
end

local function le16(n) return le32(n):sub(1, 2) end

-- Writers of numbers: from 0 to 2^32 - 1, which bit takes only up to half of that.
local function writers(big)
  local function u32(n) return big and le32(bit.tobit(n)):reverse() or le32(bit.tobit(n)) end
  return u32, function(n) return big and le16(n):reverse() or le16(n) end
end

-- Seconds and nanoseconds of an entry: { sec =, ns =, bytes =, len = (on the wire), captured = (to lie) }.
local function fields(entry)
  return entry.sec or 1700000000, entry.ns or 0, entry.captured or #entry.bytes, entry.len or #entry.bytes
end

--- o: link, snaplen, big (byte order), nano (stamps), magic.
function M.pcap(list, o)
  o = o or {}
  local u32, u16 = writers(o.big)
  local out = { u32(o.magic or (o.nano and 0xa1b23c4d or 0xa1b2c3d4)), u16(2), u16(4), u32(0), u32(0),
    u32(o.snaplen or 262144), u32(o.link or M.ETHERNET) }
  for _, entry in ipairs(list) do
    local sec, ns, captured, len = fields(entry)
    out[#out + 1] = u32(sec) .. u32(o.nano and ns or math.floor(ns / 1000)) .. u32(captured) .. u32(len) .. entry.bytes
  end
  return table.concat(out)
end

local function padded(text) return text .. ("\0"):rep(-#text % 4) end

local function block(u32, kind, body)
  return u32(kind) .. u32(#body + 12) .. body .. u32(#body + 12)
end

--- o: big, interfaces = { { link, snaplen } } (entries say `interface`, from 0). Stamps are nanoseconds.
function M.pcapng(list, o)
  o = o or {}
  local u32, u16 = writers(o.big)
  local out = { block(u32, 0x0a0d0d0a, u32(0x1a2b3c4d) .. u16(1) .. u16(0) .. u32(0xffffffff) .. u32(0xffffffff)) }
  for _, interface in ipairs(o.interfaces or { {} }) do
    out[#out + 1] = block(u32, 1, u16(interface.link or M.ETHERNET) .. u16(0) .. u32(interface.snaplen or 262144)
      .. u16(9) .. u16(1) .. "\9\0\0\0" .. u16(0) .. u16(0)) -- if_tsresol 9, end of options
  end
  for _, entry in ipairs(list) do
    local sec, ns, captured, len = fields(entry)
    local time = 1000000000ULL * sec + ns
    out[#out + 1] = block(u32, 6, u32(entry.interface or 0) .. u32(tonumber(time / 4294967296ULL))
      .. u32(tonumber(time % 4294967296ULL)) .. u32(captured) .. u32(len) .. padded(entry.bytes))
  end
  return table.concat(out)
end

--- A network packet behind the header of each link type. way: 0 came, 4 left (Linux's packet types).
function M.link(link, ip, o)
  o = o or {}
  local six = ip:byte() >= 0x60
  local ethertype, way = six and packet.IPV6 or packet.IPV4, o.way or 0
  local mac = (o.mac or "\2\0\0\0\0\1") .. "\0\0"
  if link == M.ETHERNET then return (o.to or "\2\0\0\0\0\2") .. mac:sub(1, 6) .. packet.be16(ethertype) .. ip end
  if link == M.SLL then
    return packet.be16(way) .. packet.be16(1) .. packet.be16(6) .. mac .. packet.be16(ethertype) .. ip
  end
  if link == M.SLL2 then
    return packet.be16(ethertype) .. "\0\0\0\0\0\7" .. packet.be16(1) .. string.char(way, 6) .. mac .. ip
  end
  if link == M.NULL then return le32(six and (o.six or 30) or 2) .. ip end
  if link == M.LOOP then return le32(six and (o.six or 24) or 2):reverse() .. ip end
  return ip
end

return M
