-- SPDX-License-Identifier: MIT
-- The address cache and net(): both families, collisions, and every error text.
local ffi = require("ffi")
local helper = require("spec.helper")
local address = require("cellflow.address")
local cidr = require("cellflow.cidr")

local function bytes_of(text)
  local bytes = ffi.new("uint8_t[16]")
  return bytes, assert(helper.core.cf_address_parse(text, #text, bytes))
end

describe("the address cache", function()
  local calls
  local counting = { cf_address_text = function(...)
    calls = calls + 1
    return helper.core.cf_address_text(...)
  end }
  it("asks core once for an address", function()
    calls = 0
    local text = address.new(counting)
    for _ = 1, 200 do
      assert.equal("192.0.2.1", text(bytes_of("192.0.2.1")))
      assert.equal("2001:db8::1", text(bytes_of("2001:db8::1")))
    end
    assert.equal(2, calls)
  end)
  it("tells an IPv6 address from an IPv4 address with the same bytes", function()
    local text = address.new(helper.core)
    local bytes = bytes_of("10.1.2.3")
    assert.equal("10.1.2.3", text(bytes, 4))
    assert.equal("a01:203::", text(bytes, 6))
    assert.equal("10.1.2.3", text(bytes, 4))
  end)
  it("gives the right text for more addresses than it has slots, twice", function()
    local text = address.new(helper.core)
    local bytes, count = ffi.new("uint8_t[16]"), 2 * address.SLOTS
    for _ = 1, 2 do
      for i = 0, count - 1 do
        bytes[0], bytes[1], bytes[2], bytes[3] = 10, 0, math.floor(i / 256), i % 256
        assert(text(bytes, 4) == ("10.0.%d.%d"):format(math.floor(i / 256), i % 256))
      end
    end
  end)
  it("has no text for a family without addresses, empty slot or not", function()
    local text = address.new(helper.core)
    assert.is_nil(text(ffi.new("uint8_t[16]"), 0))
    assert.equal("0.0.0.0", text(ffi.new("uint8_t[16]"), 4))
    assert.is_nil(text(ffi.new("uint8_t[16]"), 0))
  end)
end)

describe("net", function()
  local net = cidr.new(helper.core)
  local cases = {
    { "10.0.0.0/8", "10.255.1.2", true }, { "10.0.0.0/8", "11.0.0.0", false }, { "10.0.0.0/8", "9.255.255.255", false },
    { "0.0.0.0/0", "203.0.113.9", true }, { "0.0.0.0/0", "::1", false }, { "::/0", "2001:db8::1", true },
    { "::/0", "10.0.0.1", false }, { "192.0.2.128/25", "192.0.2.127", false },
    { "192.0.2.128/25", "192.0.2.200", true },
    { "192.0.2.7", "192.0.2.7", true }, { "192.0.2.7", "192.0.2.8", false }, { "192.0.2.7/32", "192.0.2.7", true },
    { "2001:db8::/33", "2001:db8:7fff::1", true }, { "2001:db8::/33", "2001:db8:8000::1", false },
    { "2001:db8::1", "2001:db8::1", true }, { "2001:db8::1/128", "2001:db8::2", false },
    { "2001:db8:0:0:8000::/65", "2001:db8::8000:0:0:1", true }, { "::ffff:10.0.0.0/104", "10.0.0.1", false },
  }
  for _, case in ipairs(cases) do
    it(("%s %s %s"):format(case[1], case[3] and "has" or "has not", case[2]), function()
      assert.equal(case[3], net(case[1]):has(case[2]))
      assert.equal(case[3], net(case[1]):has(case[2]))
    end)
  end
  it("takes a list of both families", function()
    local both = net({ "10.0.0.0/8", "2001:db8::/32", "192.0.2.1" })
    assert.same({ true, true, true, false }, { both:has("10.1.1.1"), both:has("2001:db8::9"), both:has("192.0.2.1"),
      both:has("192.0.2.2") })
    assert.is_false(net({}):has("10.1.1.1"))
  end)
  it("is made once for a text", function()
    assert.equal(net("10.0.0.0/8"), net("10.0.0.0/8"))
  end)
  it("has no absent address", function()
    assert.is_false(net("0.0.0.0/0"):has(nil))
  end)
  it("answers for more addresses than it remembers", function()
    local ten = cidr.new(helper.core)("10.0.0.0/17")
    for i = 0, 20000 do
      local third = math.floor(i / 256)
      assert(ten:has(("10.0.%d.%d"):format(third, i % 256)) == (third < 128))
    end
  end)

  local errors = {
    { "10.1.2.3/8", 'net "10.1.2.3/8" has host bits set; the network is "10.0.0.0/8"' },
    { "2001:db8::1/64", 'net "2001:db8::1/64" has host bits set; the network is "2001:db8::/64"' },
    { "10.0.0.0/33", 'net "10.0.0.0/33": the prefix length must be 0 to 32' },
    { "10.0.0.0/", 'net "10.0.0.0/": the prefix length must be 0 to 32' },
    { "10.0.0.0/+8", 'net "10.0.0.0/+8": the prefix length must be 0 to 32' },
    { "::/129", 'net "::/129": the prefix length must be 0 to 128' },
    { "10.0.0/8", 'net "10.0.0/8" is not an address or a network like "10.0.0.0/8"' },
    { "example.org", 'net "example.org" is not an address or a network like "10.0.0.0/8"' },
    { 7, "net takes a network as text, or a list of them, got 7" },
    { nil, "net takes a network as text, or a list of them, got nil" },
    { { "10.0.0.0/8", "x" }, 'net "x" is not an address or a network like "10.0.0.0/8"' },
  }
  for _, case in ipairs(errors) do
    it("says: " .. case[2], function()
      assert.has_error(function() net(case[1]) end, case[2])
    end)
  end
  it("refuses what is no address, no colon, no such member, and changes", function()
    local ten = net("10.0.0.0/8")
    assert.has_error(function() ten:has("10.0.0") end, 'net:has: "10.0.0" is not an address')
    assert.has_error(function() ten:has(5) end, "net:has takes an address as text, got a number")
    assert.has_error(function() ten.has("10.0.0.1") end, "net:has is called with a colon: net(...):has(addr)")
    assert.has_error(function() return ten.contains end, 'a net has no member "contains", only has(addr)')
    assert.has_error(function() ten.x = 1 end, "a net cannot be changed")
  end)
end)
