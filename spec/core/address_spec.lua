-- SPDX-License-Identifier: MIT
--
-- Address text equals inet_ntop(3) for every shape of address, and parsing takes what inet_pton(3) takes and no more.
local ffi = require("ffi")
local core = require("output_core")
local seeded = require("seeded")

ffi.cdef[[
const char *inet_ntop(int family, const void *address, char *out, unsigned int size);
]]
local AF = { [4] = 2, [6] = 10 }
local out = ffi.new("char[46]")
local expected = ffi.new("char[46]")

local function text(address, family)
  local len = core.cf_address_text(address, family, out)
  assert.equal(0, out[len])
  return ffi.string(out, len)
end

local function ntop(address, family)
  assert(ffi.C.inet_ntop(AF[family], address, expected, 46) ~= nil)
  return ffi.string(expected)
end

local function parse(input)
  local address = ffi.new("uint8_t[16]")
  ffi.fill(address, 16, 0xee)
  return core.cf_address_parse(input, #input, address), address
end

describe("address text", function()
  it("is inet_ntop's for IPv4", function()
    local random = seeded.new(4)
    for octet = 0, 255 do
      local address = ffi.new("uint8_t[16]", { octet, 255 - octet, random:below(256), random:below(10) })
      assert.equal(ntop(address, 4), text(address, 4))
    end
  end)

  it("is inet_ntop's for every pattern of zero groups in IPv6", function()
    local random = seeded.new(6)
    local address = ffi.new("uint8_t[16]")
    for round = 1, 20 do
      for pattern = 0, 255 do
        for group = 0, 7 do
          local zero = bit.band(pattern, bit.lshift(1, group)) == 0
          local value = zero and 0 or round == 1 and 0xffff or bit.rshift(random:below(65535) + 1, random:below(16))
          address[2 * group] = bit.rshift(value, 8)
          address[2 * group + 1] = bit.band(value, 255)
        end
        assert.equal(ntop(address, 6), text(address, 6))
      end
    end
  end)

  it("has no text for another family", function()
    assert.equal("", text(ffi.new("uint8_t[16]"), 0))
    assert.equal("", text(ffi.new("uint8_t[16]"), 10))
  end)
end)

describe("address parsing", function()
  it("gives the bytes back", function()
    local random = seeded.new(7)
    for _ = 1, 2000 do
      local family = random:below(2) == 0 and 4 or 6
      local address = ffi.new("uint8_t[16]")
      ffi.copy(address, random:bytes(16), family == 4 and 4 or 16)
      local found, parsed = parse(text(address, family))
      assert.equal(family, found)
      assert.equal(ffi.string(address, 16), ffi.string(parsed, 16))
    end
  end)

  it("takes the longest form", function()
    assert.equal(6, (parse("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")))
  end)

  it("refuses what is not exactly an address", function()
    for _, input in ipairs({
      "", " ", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\0", "1.2.3.4\0junk",
      "\0" .. "1.2.3.4", "::1\0", ":::", "1::2::3", "::1%eth0", "[::1]", "10.0.0.0/8", "fe80::/10", "localhost",
      "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555", ("1"):rep(65536), (":"):rep(45),
    }) do
      local found, address = parse(input)
      assert.equal(0, found, ("%q"):format(input:sub(1, 60)))
      assert.equal(("\238"):rep(16), ffi.string(address, 16))
    end
  end)
end)
