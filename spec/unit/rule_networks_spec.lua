-- SPDX-License-Identifier: MIT
-- Addresses to classes: every prefix length of both families at once, nested and apart, each at its two ends and one
-- step beyond; and the hash table under it.
require("spec.helper")
local bit = require("bit")
local ffi = require("ffi")
local perfect_hash = require("cellflow.perfect_hash")
local recording = require("recording_core")
local seeded = require("seeded")

local function rule_of(text, addresses)
  local events, out = {}, {}
  for i, address in ipairs(addresses) do
    events[i] = { dst = address, src = address, family = address:find(":", 1, true) and 6 or 4 }
  end
  local endings = recording.run(text, events)
  for i, ending in ipairs(endings) do out[i] = ending.rule or "-" end
  return table.concat(out, " ")
end

-- deny rules for the first address of 255.255.../len and so on, the longest first.
local function nested(field, networks)
  local lines = {}
  for _, text in ipairs(networks) do lines[#lines + 1] = ('deny "%s" { %s = "%s" }'):format(text, field, text) end
  return table.concat(lines, "\n")
end

describe("networks", function()
  for _, field in ipairs({ "src_addr", "dst_addr" }) do
    it("of all lengths within each other, IPv4, " .. field, function()
      local networks, addresses, want = {}, {}, {}
      for len = 32, 0, -1 do networks[#networks + 1] = ("0.0.0.0/%d"):format(len) end
      for len = 32, 1, -1 do
        local last = len == 0 and 2 ^ 32 - 1 or 2 ^ (32 - len) - 1
        for _, n in ipairs({ last, last + 1 }) do
          addresses[#addresses + 1] = ("%d.%d.%d.%d"):format(n / 2 ^ 24, n / 2 ^ 16 % 256, n / 2 ^ 8 % 256, n % 256)
        end
        want[#want + 1] = ("0.0.0.0/%d 0.0.0.0/%d"):format(len, len - 1)
      end
      assert.equal(table.concat(want, " "), rule_of(nested(field, networks), addresses))
    end)
    it("of all lengths within each other, IPv6, " .. field, function()
      local networks, addresses, want = {}, {}, {}
      for len = 128, 0, -1 do networks[#networks + 1] = ("::/%d"):format(len) end
      for len = 127, 0, -1 do -- the address with the bit after the prefix set is in no longer network
        local group, bit_of = math.floor(len / 16), 15 - len % 16
        local groups = { 0, 0, 0, 0, 0, 0, 0, 0 }
        groups[group + 1] = bit.lshift(1, bit_of)
        addresses[#addresses + 1] = ("%x:%x:%x:%x:%x:%x:%x:%x"):format(unpack(groups))
        want[#want + 1] = ("::/%d"):format(len)
      end
      assert.equal(table.concat(want, " "), rule_of(nested(field, networks), addresses))
    end)
  end
  it("of one family do not hold addresses of the other with the same bytes", function()
    assert.equal("- a", rule_of('deny "a" { dst_addr = "0.0.0.0/0" }', { "::", "0.0.0.0" }))
    assert.equal("a -", rule_of('deny "a" { dst_addr = "::/1" }', { "::", "0.0.0.0" }))
  end)
  it("that a longer one hides are still met by its own rules", function()
    local text = 'deny "site" { dst_addr = "10.1.0.0/16", dst_port = 80 } deny "host" { dst_addr = "10.1.2.3" }\n' ..
      'deny "all" { dst_addr = "10.0.0.0/8" }'
    local events = { { dst = "10.1.2.3", dst_port = 80 }, { dst = "10.1.2.3" }, { dst = "10.1.2.4" } }
    local got = {}
    for i, ending in ipairs((recording.run(text, events))) do got[i] = ending.rule end
    assert.equal("site host all", table.concat(got, " "))
  end)
  for few = 0, 5 do
    it(("find %d addresses of one family among many of the other, whatever came before"):format(few), function()
      local host, out, batch = recording.host([[
        deny "lan" { dst_addr = "10.1.0.0/16" } deny "site" { dst_addr = "2001:db8::/32" }
        deny "host" { dst_addr = { "10.2.3.4", "2001:db9::1" } }]])
      local kinds = { { "10.1.2.3", "lan" }, { "10.2.3.4", "host" }, { "10.2.3.5" },
        { "2001:db8::1", "site" }, { "2001:db9::1", "host" }, { "2001:db9::2" } }
      local wanted = {}
      local function event(at, kind)
        local address = kinds[kind][1]
        recording.fill(batch.events[at], { src = kind > 3 and "::1" or "10.0.0.1", dst = address })
        wanted[#wanted + 1] = address .. " " .. (kinds[kind][2] or "-")
      end
      for round = 0, 3 do
        local is_few_six, count = round % 2 == 0, 20 + 3 * round
        for i = 0, count - 1 do event(i, ((i < count - few) == is_few_six and 0 or 3) + i % 3 + 1) end
        host.batch(count)
      end
      for i, ending in ipairs(out.endings) do
        assert.equal(wanted[i], wanted[i]:match("^%S+ ") .. (ending.rule or "-"), "event " .. i)
      end
      assert.equal(#wanted, #out.endings)
    end)
  end
  it("may be a list of thousands in one rule", function()
    assert.equal("list - list -", rule_of([[
      local nets = {}
      for i = 0, 19999 do nets[i + 1] = ("10.%d.%d.%d/31"):format(i / 2048, i / 8 % 256, i % 8 * 32) end
      deny "list" { dst_addr = nets }]], { "10.0.0.33", "10.0.0.34", "10.9.195.224", "10.9.196.0" }))
  end)
end)

describe("the hash table", function()
  it("finds every entry in its one slot, whatever their number", function()
    local r = seeded.new(20)
    for _, count in ipairs({ 0, 1, 2, 15, 16, 17, 1000, 20000 }) do
      local entries = {}
      for i = 1, count do
        entries[i] = { words = ffi.new("int32_t[4]", r:below(7), r:below(3), i, 0), number = r:below(130), value = i }
      end
      local t = perfect_hash.new(entries, 4)
      for _, entry in ipairs(entries) do
        local key = ffi.cast("const uint64_t *", entry.words)
        local h, g = perfect_hash.hash(key[0], key[1], perfect_hash.salt(entry.number))
        local slot = perfect_hash.slot(g, t.displacements[bit.rshift(h, t.bucket_shift)], t.last)
        assert.equal(entry.value, t.slots[5 * slot + 4])
      end
      assert.is_true(t.last + 1 <= math.max(16, 8 * count), "is no larger than it should be")
      assert.equal(0, ffi.sizeof(t.slots) % 4)
    end
  end)
end)
