-- SPDX-License-Identifier: MIT
-- One network or address, from text: "10.0.0.0/8", "2001:db8::1". Says what is wrong with it and what would be right;
-- whose text it is and where it stands is the caller's to say.
local bit = require("bit")
local ffi = require("ffi")
local options = require("cellflow.options")

local band, lshift = bit.band, bit.lshift
local M = {}

local words_type = ffi.typeof("const int32_t *")

--- Bits of an address by family.
M.BITS = { [4] = 32, [6] = 128 }

--- Clear all but the first `len` bits of 16 bytes.
function M.mask(bytes, len)
  for i = 0, 15 do
    local bits = math.max(0, math.min(8, len - 8 * i))
    bytes[i] = band(bytes[i], lshift(255, 8 - bits))
  end
end

--- The mask of a prefix length, as four int32 numbers in the byte order of addresses.
function M.mask_words(len)
  local bytes = ffi.new("uint8_t[16]")
  ffi.fill(bytes, 16, 255)
  M.mask(bytes, len)
  local w = ffi.cast(words_type, bytes)
  return { w[0], w[1], w[2], w[3] }
end

-- Anything with a "/" is a network, the rest an address; "10.0.0.0/" has an empty prefix length, which is wrong.
local function split(text)
  local slash = text:find("/", 1, true)
  if slash then return text:sub(1, slash - 1), text:sub(slash + 1) end
  return text
end

local function prefix_length(digits, family)
  if not digits then return M.BITS[family] end
  local len = digits:match("^%d%d?%d?$") and tonumber(digits)
  return len and len <= M.BITS[family] and len
end

local function with_host_bits(core, text, bytes, family, len)
  local out = ffi.new("char[?]", ffi.C.CF_ADDRESS_TEXT_LEN)
  local right = ffi.string(out, core.cf_address_text(bytes, family, out))
  return nil, ('"%s" has host bits set; the network is "%s/%d"'):format(text, right, len)
end

--- { family =, len =, bytes = (16 bytes, host bits clear) }, or nil and what is wrong, as what follows a name.
function M.parse(core, text)
  if type(text) ~= "string" then
    return nil, 'must be an address or a network like "10.0.0.0/8", got ' .. options.describe(text)
  end
  local host, digits = split(text)
  local bytes = ffi.new("uint8_t[16]")
  local family = core.cf_address_parse(host, #host, bytes)
  if family == 0 then
    return nil, options.describe(text) .. ' is not an address or a network like "10.0.0.0/8"'
  end
  local len = prefix_length(digits, family)
  if not len then
    return nil, ('"%s": the prefix length must be 0 to %d'):format(text, M.BITS[family])
  end
  local given = ffi.string(bytes, 16)
  M.mask(bytes, len)
  if ffi.string(bytes, 16) ~= given then
    return with_host_bits(core, text, bytes, family, len)
  end
  return { family = family, len = len, bytes = bytes }
end

return M
