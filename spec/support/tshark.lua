-- SPDX-License-Identifier: MIT
--
-- The independent reader of captures: what tshark's conversations count, and the numbers of a capture's flows brought
-- to the same shape. tshark counts bytes of frames; a flow has bytes of the network layer, so link headers are added to
-- it (padding of short frames, which no veth has, would be in the former only).
local lab = require("spec.support.lab")

local M = {}

-- It counts IPv4's fragments among conversations of IP, but of IPv6's only the first of each datagram.
local NOT_LATER = "not ipv6.fraghdr.offset > 0"
local FRAGMENT = 32 -- CF_EVENT_FRAGMENT

--- Why it cannot be asked, or nil.
function M.lacking()
  local _, code = lab.run("command -v tshark && command -v editcap && command -v tcpdump")
  if code ~= 0 then return "needs tshark and tcpdump (scripts/deps --test)" end
end

local function tshark(words)
  return lab.must("tshark -n -o ip.defragment:FALSE -o ipv6.defragment:FALSE " .. words .. " 2>/dev/null")
end

--- Frames from one address to another, by the fields of each: "FROM TO" -> { packets, bytes }. `filter`: what else they
--- must be.
function M.frames(path, filter)
  local sums = {}
  local fields = "-e ip.src -e ipv6.src -e ip.dst -e ipv6.dst -e frame.len -E occurrence=f -E separator='|'"
  filter = filter or "frame"
  for line in tshark(("-r %s -Y '%s' -T fields %s"):format(path, filter, fields)):gmatch("[^\n]+") do
    local src4, src6, dst4, dst6, len = line:match("^([^|]*)|([^|]*)|([^|]*)|([^|]*)|(%d+)$")
    if src4 and src4 .. src6 ~= "" then
      local key = (src4 ~= "" and src4 or src6) .. " " .. (dst4 ~= "" and dst4 or dst6)
      local sum = sums[key] or { packets = 0, bytes = 0 }
      sum.packets, sum.bytes = sum.packets + 1, sum.bytes + len
      sums[key] = sum
    end
  end
  return sums
end

local function add(into, from, to, packets, number, unit, exact)
  packets, number = tonumber(packets), tonumber(number)
  if packets == 0 then return end
  local key = from .. " " .. to
  if unit ~= "bytes" then
    number = assert(exact[key], "tshark rounds the bytes of " .. key).bytes
  end
  into[key] = into[key] or { packets = 0, bytes = 0 }
  into[key].packets, into[key].bytes = into[key].packets + packets, into[key].bytes + number
end

local KINDS = { TCP = "tcp", UDP = "udp", IPv4 = "ip", IPv6 = "ipv6" }

--- Conversations by kind (tcp, udp, ip, ipv6), each direction for itself: "FROM TO" -> { packets, bytes (of frames) };
--- FROM and TO as tshark has them, 10.0.0.1:80 or fd77::1:80.
function M.conversations(path)
  -- Bytes above 10 kB are rounded there, and are added up from the frames that it counts.
  local found, exact, kind = {}, M.frames(path, NOT_LATER), nil
  for line in tshark(("-r %s -q -z conv,tcp -z conv,udp -z conv,ip -z conv,ipv6"):format(path)):gmatch("[^\n]+") do
    local title = line:match("^(%w+) Conversations")
    if title then
      kind = assert(KINDS[title], title)
      found[kind] = {}
    end
    local a, b, from_b, bytes_b, unit_b, from_a, bytes_a, unit_a =
      line:match("^(%S+)%s+<%->%s+(%S+)%s+(%d+)%s+(%d+) (%a+)%s+(%d+)%s+(%d+) (%a+)")
    if a then
      add(found[kind], a, b, from_a, bytes_a, unit_a, exact)
      add(found[kind], b, a, from_b, bytes_b, unit_b, exact)
    end
  end
  return found
end

local function count(into, from, to, packets, bytes, link_len)
  if packets == 0 then return end
  local key = from .. " " .. to
  into[key] = into[key] or { packets = 0, bytes = 0 }
  into[key].packets = into[key].packets + packets
  into[key].bytes = into[key].bytes + bytes + packets * link_len
end

local function is_of(e, kind, src_port)
  local is_later = e.flags % (2 * FRAGMENT) >= FRAGMENT
  if kind == "ip" then return e.family == 4 end
  if kind == "ipv6" then return e.family == 6 and not is_later end
  if kind == "frames" then return true end
  return e.flow:match("^%S+") == kind and src_port ~= "0"
end

--- The closed events of a capture in the same shape; kind also "frames", all of them by address. link_len: bytes before
--- the network header.
function M.flows(events, kind, link_len)
  local found = {}
  local is_address = kind == "ip" or kind == "ipv6" or kind == "frames"
  for _, e in ipairs(events) do
    local src_port, dst_port = e.flow:match("^%S+ %S+ (%d+) %S+ (%d+)$")
    if e.kind == "closed" and is_of(e, kind, src_port) then
      local src = is_address and e.src or e.src .. ":" .. src_port
      local dst = is_address and e.dst or e.dst .. ":" .. dst_port
      count(found, src, dst, e.packets, e.bytes, link_len)
      count(found, dst, src, e.reply_packets, e.reply_bytes, link_len)
    end
  end
  return found
end

return M
