-- SPDX-License-Identifier: MIT
-- What a replay sets in place of the host: the boot clock and its distance from the time of day, and what chance would
-- choose (which keys make room, how connections are estimated).
local ffi = require("ffi")
local core = require("output_core")
require("core_headers")("connections")

ffi.cdef[[
uint64_t cf_clock_boot_now(void);
uint64_t cf_boot_ns(void);
void cf_clock_set_boot(uint64_t boot_ns);
void cf_dedup_seed(uint64_t seed);
]]
local YEAR = 31536000000000000ULL

local function text(boot_ns)
  local out = ffi.new("char[40]")
  return ffi.string(out, core.cf_time_text(boot_ns, out))
end

describe("a given clock", function()
  after_each(function() core.cf_clock_follow() end)

  it("stands still where it was set, for everything that asks", function()
    for _, at in ipairs({ 1ULL, 5000000000123ULL, 300 * YEAR }) do
      core.cf_clock_set_boot(at)
      assert.is_true(core.cf_clock_boot_now() == at)
      assert.is_true(core.cf_boot_ns() == at)
    end
  end)

  it("is the host's before and after", function()
    local before = core.cf_boot_ns()
    core.cf_clock_set_boot(7)
    core.cf_clock_set_boot(0)
    local between = core.cf_boot_ns()
    core.cf_clock_set_boot(7)
    core.cf_clock_follow()
    assert.is_true(before > 7 and between >= before and core.cf_boot_ns() >= between)
  end)

  it("is not sampled while a distance is given, and not measured by a host that was set", function()
    core.cf_clock_set_boot(10000000000ULL)
    core.cf_clock_set_offset(0)
    core.cf_clock_refresh()
    assert.equal("1970-01-01T00:00:10.000000000Z", text(core.cf_boot_ns()))
  end)
end)

describe("a given seed", function()
  local function seen(key, now) return core.cf_dedup_seen(key, #key, 60, now) == 1 end

  -- Which of many keys are still known when the table had room for a few.
  local function known(seed)
    local size = tonumber(core.cf_dedup_size(64))
    local mem = ffi.new("uint64_t[?]", (size + 7) / 8)
    assert(core.cf_dedup_bind(mem, size) == 0)
    if seed then core.cf_dedup_seed(seed) end
    core.cf_dedup_begin(1)
    for i = 1, 400 do seen("key" .. i, 1000ULL + i) end
    local list = {}
    for i = 400, 1, -1 do list[#list + 1] = seen("key" .. i, 2000ULL) and 1 or 0 end
    core.cf_dedup_bind(nil, 0)
    return table.concat(list)
  end

  it("has the same keys make room each time; chance and another seed have others", function()
    assert.equal(known(5), known(5))
    assert.is_false(known(5) == known(6))
    assert.is_false(known() == known())
  end)

  it("forgets the keys that were there", function()
    local size = tonumber(core.cf_dedup_size(64))
    local mem = ffi.new("uint64_t[?]", (size + 7) / 8)
    assert(core.cf_dedup_bind(mem, size) == 0)
    core.cf_dedup_begin(1)
    assert.is_false(seen("k", 1))
    assert.is_true(seen("k", 2))
    core.cf_dedup_seed(1)
    assert.is_false(seen("k", 3))
    core.cf_dedup_bind(nil, 0)
  end)

  it("estimates the same number of connections each time", function()
    local event = ffi.new("struct cf_event")
    event.kind, event.source, event.hook, event.direction, event.family, event.protocol = 1, 1, 1, 1, 4, 17
    event.flags, event.packets, event.dst_port = 1, 1, 53
    local function estimate(seed)
      local connections = core.cf_connections_new(16)
      if seed then core.cf_connections_seed(connections, seed) end
      for i = 1, 5000 do
        event.src_port, event.src_addr[3] = i, i % 256
        event.first_seen_ns, event.last_seen_ns = i, i
        core.cf_connections_add(connections, event)
      end
      local count = ffi.new("struct cf_connection_count")
      core.cf_connections_of_run(connections, count)
      core.cf_connections_free(connections)
      assert.equal(1, count.is_estimate)
      return tonumber(count.count)
    end
    assert.equal(estimate(9), estimate(9))
    local other = 0
    for seed = 1, 8 do other = other + (estimate(seed) == estimate(9) and 0 or 1) end
    assert.is_true(other > 0)
  end)
end)
