-- SPDX-License-Identifier: MIT
--
-- NFLOG's netlink messages as Lua strings, right or wrong on purpose; the packets that cf_nflog_decode makes of them.
local ffi = require("ffi")
local bit = require("bit")
local helper = require("spec.helper")
local packet = require("packet")
require("core_headers")("error", "flow", "packet", "nflog")

local core = helper.core
local M = { HDR = 1, MARK = 2, TIMESTAMP = 3, INDEV = 4, OUTDEV = 5, PAYLOAD = 9, PREFIX = 10, SEQ = 12,
  PACKET = 0x400, DONE = 3, NOOP = 1, ERROR = 2 }

local function native16(n) return string.char(n % 256, math.floor(n / 256)) end
local function native32(n) return native16(n % 65536) .. native16(math.floor(n / 65536)) end
local function be32(n) return packet.be16(math.floor(n / 65536)) .. packet.be16(n % 65536) end
assert(ffi.abi("le"), "written for a little-endian machine")
M.be32 = be32

local function padded(bytes) return bytes .. ("\0"):rep(bit.band(-#bytes, 3)) end

-- len: to lie.
function M.attribute(number, bytes, len)
  return padded(native16(len or 4 + #bytes) .. native16(number) .. bytes)
end

function M.message(kind, bytes, len)
  return padded(native32(len or 16 + #bytes) .. native16(kind) .. native16(0) .. native32(0) .. native32(0) .. bytes)
end

-- p: family (2, 10, 5, ...), hook, protocol (ethertype), payload, prefix, seq, mark, indev, outdev, more (attributes).
function M.log(p)
  local parts = { string.char(p.family or 2, 0, 0, 100),
    M.attribute(M.HDR, packet.be16(p.protocol or packet.IPV4) .. string.char(p.hook or 3, 0)) }
  local function add(kind, bytes) parts[#parts + 1] = bytes and M.attribute(kind, bytes) or "" end
  add(M.PREFIX, p.prefix and p.prefix .. "\0")
  add(M.INDEV, p.indev and be32(p.indev))
  add(M.OUTDEV, p.outdev and be32(p.outdev))
  add(M.MARK, p.mark and be32(p.mark))
  add(M.SEQ, p.seq and be32(p.seq))
  parts[#parts + 1] = p.more or ""
  add(M.PAYLOAD, p.payload)
  return M.message(M.PACKET, table.concat(parts))
end

function M.reader(ifindex)
  local reader = ffi.new("struct cf_nflog")
  core.cf_nflog_init(reader, -1, 7, ifindex or 0)
  return reader
end

--- A collector of packets: the function for C (the caller frees it), and the list.
function M.collect()
  local list = {}
  local callback = ffi.cast("cf_nflog_fn *", function(_, seen)
    local copy = ffi.new("struct cf_nflog_packet")
    ffi.copy(copy, seen, ffi.sizeof(copy))
    list[#list + 1] = copy
  end)
  return callback, list
end

--- Decode in memory of exactly that length (ASan watches its end); returns the list of packets.
function M.decode(reader, bytes)
  local callback, list = M.collect()
  local memory = ffi.new("uint8_t[?]", math.max(#bytes, 1))
  ffi.copy(memory, bytes, #bytes)
  local count = core.cf_nflog_decode(reader, memory, #bytes, 123456789, callback, nil)
  callback:free()
  assert(count == #list, "the number of packets is not that of the calls")
  return list
end
jit.off(M.decode) -- compiled code may not call C that calls back

function M.numbers(reader)
  local n = reader.numbers
  local numbers = { packets = tonumber(n.packets), parsed = tonumber(n.parsed), lost = tonumber(n.lost),
    overruns = tonumber(n.overruns), unsettled = tonumber(n.unsettled), refused = tonumber(n.refused), unparsed = 0 }
  for i = 0, ffi.C.CF_NFLOG_UNPARSED - 1 do numbers.unparsed = numbers.unparsed + tonumber(n.unparsed[i]) end
  return numbers
end

return M
