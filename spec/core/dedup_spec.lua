-- SPDX-License-Identifier: MIT
--
-- Deduplication: windows, clamps, bounded memory, and what a killed worker leaves behind.
local ffi = require("ffi")
local core = require("output_core")
local seeded = require("seeded")

ffi.cdef[[
void *mmap(void *address, size_t len, int protection, int flags, int fd, long offset);
int munmap(void *address, size_t len);
int fork(void);
int kill(int pid, int signal);
int waitpid(int pid, int *status, int options);
int usleep(unsigned int microseconds);
void _exit(int status);
]]
local SECOND = 1000000000ULL
local SIGKILL = 9

local function memory(capacity)
  local size = tonumber(core.cf_dedup_size(capacity))
  return ffi.new("uint64_t[?]", (size + 7) / 8), size
end

local function seen(key, seconds, now)
  return core.cf_dedup_seen(key, #key, seconds, now) == 1
end

describe("dedup", function()
  local mem, size

  before_each(function()
    mem, size = memory(4096)
    assert(core.cf_dedup_bind(mem, size) == 0)
    core.cf_dedup_begin(1)
  end)
  after_each(function() core.cf_dedup_bind(nil, 0) end)

  it("passes the first sighting and holds back the rest of its window", function()
    assert.is_false(seen("k", 60, 10 * SECOND))
    assert.is_true(seen("k", 60, 10 * SECOND))
    assert.is_true(seen("k", 60, 70 * SECOND - 1))
    assert.is_false(seen("k", 60, 70 * SECOND))
    assert.is_true(seen("k", 60, 71 * SECOND))
  end)

  it("does not extend a window by duplicates", function()
    assert.is_false(seen("k", 10, 0ULL))
    for second = 1, 9 do
      assert.is_true(seen("k", 10, second * SECOND))
    end
    assert.is_false(seen("k", 10, 10 * SECOND))
  end)

  it("tells keys apart by all their bytes", function()
    for _, key in ipairs({ "", "\0", "\0\0", "a", "a\0", "a\0b", ("x"):rep(65536), ("x"):rep(65535) .. "y" }) do
      assert.is_false(seen(key, 60, SECOND))
      assert.is_true(seen(key, 60, SECOND))
    end
  end)

  it("deduplicates nothing without a window", function()
    for _, seconds in ipairs({ 0, -1, 0 / 0, -math.huge, 1e-10 }) do
      assert.is_false(seen("k", seconds, SECOND))
      assert.is_false(seen("k", seconds, SECOND))
    end
    assert.is_false(seen("k", 60, SECOND))
  end)

  it("clamps windows past the end of time", function()
    for i, seconds in ipairs({ 1e10, 1e300, math.huge }) do
      assert.is_false(seen("k" .. i, seconds, 5 * SECOND))
      assert.is_true(seen("k" .. i, seconds, 2000000000 * SECOND))
    end
    assert.is_false(seen("late", 60, -2ULL))
    assert.is_true(seen("late", 60, -2ULL))
  end)

  it("keeps its keys for the next process", function()
    assert.is_false(seen("k", 60, SECOND))
    assert.equal(0, core.cf_dedup_bind(nil, 0))
    assert.is_false(seen("k", 60, SECOND))
    assert.equal(0, core.cf_dedup_bind(mem, size))
    assert.is_true(seen("k", 60, SECOND))
  end)

  it("begins anew where the memory holds something else", function()
    assert.is_false(seen("k", 60, SECOND))
    assert.equal(0, core.cf_dedup_bind(mem, size - 160))
    assert.is_false(seen("k", 60, SECOND))
    ffi.fill(mem, size, 0xff)
    assert.equal(0, core.cf_dedup_bind(mem, size))
    assert.is_false(seen("k", 60, SECOND))
    assert.is_true(seen("k", 60, SECOND))
    assert.equal(0ULL, core.cf_dedup_evictions())
  end)

  it("refuses memory that cannot hold a table", function()
    assert.equal(-22, core.cf_dedup_bind(mem, core.cf_dedup_size(1) - 1))
    assert.equal(-22, core.cf_dedup_bind(ffi.cast("char *", mem) + 4, size - 8))
    assert.is_false(seen("k", 60, SECOND))
    assert.is_false(seen("k", 60, SECOND))
  end)

  it("forgets the keys of an attempt that was not committed, and only those", function()
    assert.is_false(seen("before", 60, SECOND))
    assert.is_false(seen("refreshed", 1, SECOND))
    core.cf_dedup_begin(2)
    for i = 1, 200 do
      assert.is_false(seen("lost-" .. i, 60, 2 * SECOND))
    end
    assert.is_false(seen("refreshed", 60, 2 * SECOND))
    core.cf_dedup_forget(2)
    core.cf_dedup_begin(3)
    for i = 1, 200 do
      assert.is_false(seen("lost-" .. i, 60, 2 * SECOND))
    end
    assert.is_false(seen("refreshed", 60, 2 * SECOND))
    assert.is_true(seen("before", 60, 2 * SECOND))
  end)

  it("survives a worker that is killed at any instant", function()
    size = tonumber(core.cf_dedup_size(65536))
    mem = ffi.C.mmap(nil, size, 3, 0x21, -1, 0) -- read and write, shared and anonymous
    assert(ffi.cast("intptr_t", mem) ~= -1)
    finally(function() ffi.C.munmap(mem, size) end)
    assert(core.cf_dedup_bind(mem, size) == 0)
    for i = 1, 500 do
      assert.is_false(seen("committed-" .. i, 3600, SECOND))
    end
    for attempt = 2, 40 do
      local pid = ffi.C.fork()
      if pid == 0 then
        core.cf_dedup_begin(attempt)
        for i = 1, 20000000 do -- an end of its own, should nobody be left to kill it
          seen("lost-" .. i % 5000, 1e-6, SECOND + i * 10000)
        end
        ffi.C._exit(0)
      end
      ffi.C.usleep(500 + attempt * 97)
      assert(ffi.C.kill(pid, SIGKILL) == 0)
      local status = ffi.new("int[1]")
      assert(ffi.C.waitpid(pid, status, 0) == pid)
      assert.equal(SIGKILL, status[0])
      assert.equal(0, core.cf_dedup_bind(mem, size))
      core.cf_dedup_forget(attempt)
      core.cf_dedup_begin(1000)
      for i = 0, 4999, 50 do
        assert.is_false(seen("lost-" .. i, 3600, SECOND))
      end
      core.cf_dedup_forget(1000)
    end
    for i = 1, 500 do
      assert.is_true(seen("committed-" .. i, 3600, SECOND))
    end
  end)

  it("lets the key go that expires first when a set is full, and counts it", function()
    mem, size = memory(8)
    assert(core.cf_dedup_bind(mem, size) == 0)
    for i = 1, 8 do
      assert.is_false(seen("k" .. i, i == 5 and 10 or 20 + i, 0ULL))
    end
    assert.equal(0ULL, core.cf_dedup_evictions())
    assert.is_false(seen("new", 60, SECOND))
    assert.equal(1ULL, core.cf_dedup_evictions())
    for i = 1, 8 do
      if i ~= 5 then
        assert.is_true(seen("k" .. i, 60, SECOND))
      end
    end
    -- k1 is over, so its place is free; after that, all eight are within their windows.
    assert.is_false(seen("other", 60, 21 * SECOND))
    assert.equal(1ULL, core.cf_dedup_evictions())
    assert.is_false(seen("k5", 60, 21 * SECOND))
    assert.equal(2ULL, core.cf_dedup_evictions())
  end)

  it("holds the capacity asked for with few evictions", function()
    mem, size = memory(262144)
    assert(core.cf_dedup_bind(mem, size) == 0)
    for i = 1, 131072 do
      assert.is_false(seen("flow-" .. i, 3600, SECOND))
    end
    assert.is_true(core.cf_dedup_evictions() < 131072 / 20)
    local held = 0
    for i = 1, 131072 do
      held = held + core.cf_dedup_seen("flow-" .. i, #("flow-" .. i), 3600, SECOND)
    end
    assert.is_true(held > 131072 * 0.9)
  end)

  it("agrees with a slow model of windows and attempts", function()
    local random = seeded.new(99)
    local expires, owner = {}, {}
    local now, attempt = 0ULL, 1
    mem, size = memory(262144)
    assert(core.cf_dedup_bind(mem, size) == 0)
    for step = 1, 200000 do
      if random:below(500) == 0 then
        if random:below(2) == 0 then
          core.cf_dedup_forget(attempt)
          for key, by in pairs(owner) do
            if by == attempt then
              expires[key], owner[key] = nil, nil
            end
          end
        end
        attempt = attempt + 1
        core.cf_dedup_begin(attempt)
      end
      now = now + random:below(1000000)
      local key, seconds = "key-" .. random:below(3000), random:below(200) / 100
      local expected = seconds > 0 and expires[key] ~= nil and now < expires[key]
      if seen(key, seconds, now) ~= expected then
        error(("step %d: %s should %s a duplicate"):format(step, key, expected and "be" or "not be"))
      end
      if seconds > 0 and not expected then
        expires[key], owner[key] = now + ffi.cast("uint64_t", seconds * 1e9), attempt
      end
    end
    assert.equal(0ULL, core.cf_dedup_evictions())
  end)
end)
