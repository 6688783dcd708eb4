-- SPDX-License-Identifier: MIT
--
-- Frozen records as bytes, made and read by arithmetic on byte positions alone: the second opinion on what the C
-- decoder says, so it knows no struct of core/.
local ffi = require("ffi")

local M = { LEN = 40 }

local function unsigned(value, size)
  local bytes, n = {}, ffi.cast("uint64_t", value)
  for i = 1, size do
    bytes[i] = string.char(tonumber(n % 256))
    n = n / 256
  end
  local text = table.concat(bytes)
  return ffi.abi("le") and text or text:reverse()
end

local function number(bytes, from, size)
  local text, n = bytes:sub(from + 1, from + size), ffi.cast("uint64_t", 0)
  if ffi.abi("le") then text = text:reverse() end
  for i = 1, size do n = n * 256 + text:byte(i) end
  return n
end

--- The bytes of a record from src_ip, dst_ip, src_port, dst_port, proto, pkt_count, first_seen_ns, verdict (numbers; 0
--- if not given) and `padding`, the byte that fills the gaps.
function M.record(fields)
  local pad = string.char(fields.padding or 0)
  return unsigned(fields.src_ip or 0, 4) .. unsigned(fields.dst_ip or 0, 4) .. unsigned(fields.src_port or 0, 2)
    .. unsigned(fields.dst_port or 0, 2) .. unsigned(fields.proto or 0, 1) .. pad:rep(3)
    .. unsigned(fields.pkt_count or 0, 8) .. unsigned(fields.first_seen_ns or 0, 8)
    .. unsigned(fields.verdict or 0, 1) .. pad:rep(7)
end

-- The four bytes of an address as it is written, first one first.
local function address(bytes, from)
  local text = bytes:sub(from + 1, from + 4)
  return ffi.abi("le") and text:reverse() or text
end

local PORTS = { [6] = true, [17] = true, [33] = true, [132] = true, [136] = true }

--- What an event made of the 40 `bytes` must hold; times are on the record's own clock.
function M.meaning(bytes)
  local protocol, verdict = bytes:byte(13), bytes:byte(33)
  local ports = PORTS[protocol] or false
  return {
    src_addr = address(bytes, 0) .. ("\0"):rep(12),
    dst_addr = address(bytes, 4) .. ("\0"):rep(12),
    src_port = ports and tonumber(number(bytes, 8, 2)) or 0,
    dst_port = ports and tonumber(number(bytes, 10, 2)) or 0,
    ports = ports,
    protocol = protocol,
    packets = number(bytes, 16, 8),
    first_seen_ns = number(bytes, 24, 8),
    verdict = verdict <= 2 and verdict or 0,
  }
end

return M
