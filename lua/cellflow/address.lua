-- SPDX-License-Identifier: MIT
-- Addresses as text, cached by their bytes: making a Lua string costs a hundred times what finding it does. The cache
-- is direct-mapped and of fixed size, so a scan over millions of addresses only costs misses, never memory.
local bit = require("bit")
local ffi = require("ffi")
local table_new = require("table.new")

local band, bor, bxor, lshift, rol = bit.band, bit.bor, bit.bxor, bit.lshift, bit.rol
local rshift, tobit = bit.rshift, bit.tobit

local M = {}

local SLOTS = 8192
local STRIDE = 8 -- words of a slot: four of the address, one of the family, three unused
local words_type = ffi.typeof("const int32_t *")

M.SLOTS = SLOTS

local function slot_of(w)
  local hash = bxor(w[0], rol(w[1], 9), rol(w[2], 18), rol(w[3], 27))
  hash = tobit(hash + lshift(hash, 10))
  hash = bxor(hash, rshift(hash, 6))
  hash = tobit(hash + lshift(hash, 3))
  hash = bxor(hash, rshift(hash, 11))
  return (band(hash, SLOTS - 1))
end

--- A function (bytes, family) -> text, nil for a family that has no addresses. `bytes` points to 16 bytes.
function M.new(core)
  local address_text = core.cf_address_text
  local known, texts = ffi.new("int32_t[?]", SLOTS * STRIDE), table_new(SLOTS, 0)
  local text = ffi.new("char[?]", ffi.C.CF_ADDRESS_TEXT_LEN)

  local function fill(bytes, family)
    local len = tonumber(address_text(bytes, family, text))
    if len == 0 then return nil end
    local w = ffi.cast(words_type, bytes)
    local slot = slot_of(w)
    local base = slot * STRIDE
    known[base], known[base + 1], known[base + 2], known[base + 3] = w[0], w[1], w[2], w[3]
    known[base + 4] = family
    texts[slot] = ffi.string(text, len)
    return texts[slot]
  end

  return function(bytes, family)
    local w = ffi.cast(words_type, bytes)
    local slot = slot_of(w)
    local base = slot * STRIDE
    -- The family is part of the key: an IPv6 address may hold an IPv4 address's bytes. One comparison, and nothing but
    -- the arguments used behind it: what a compiled branch has to hand over, a hook with many addresses pays in
    -- registers, of which there are few.
    local unlike = bor(bxor(known[base], w[0]), bxor(known[base + 1], w[1]), bxor(known[base + 2], w[2]),
      bxor(known[base + 3], w[3]), bxor(known[base + 4], family))
    if unlike == 0 then return texts[slot] end
    return (fill(bytes, family))
  end
end

--- A function text -> family (4 or 6) with its bytes in `out`, or nil when the text is no address.
function M.parser(core)
  return function(text, out)
    local family = core.cf_address_parse(text, #text, out)
    if family ~= 0 then return family end
  end
end

return M
