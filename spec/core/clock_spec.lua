-- SPDX-License-Identifier: MIT
--
-- Boot-clock stamps as time of day: text against os.date, the offset pinned and followed, and a set clock noticed.
local ffi = require("ffi")
local core = require("output_core")
local seeded = require("seeded")

ffi.cdef[[
struct spec_timespec { long sec, nsec; };
struct spec_timex {
  unsigned int modes;
  long offset, freq, maxerror, esterror;
  int status;
  long constant, precision, tolerance;
  struct spec_timespec time;
  char rest[128];
};
struct spec_pollfd { int fd; short events, revents; };
int clock_gettime(int clock, struct spec_timespec *now);
int clock_adjtime(int clock, struct spec_timex *change);
int poll(struct spec_pollfd *fds, unsigned long count, int timeout);
int close(int fd);
uint64_t cf_clock_boot_now(void);
uint64_t cf_clock_boot_offset(void);
]]
local REALTIME, MONOTONIC, BOOTTIME = 0, 1, 7
local ADJ_SETOFFSET, ADJ_NANO = 0x0100, 0x2000
local out = ffi.new("char[40]")

local function format(seconds, ns)
  local len = core.cf_clock_format(seconds, ns, out)
  assert.equal(0, out[len])
  return ffi.string(out, len)
end

local function time_text(boot_ns)
  return ffi.string(out, core.cf_time_text(boot_ns, out))
end

local function now(clock)
  local time = ffi.new("struct spec_timespec")
  assert(ffi.C.clock_gettime(clock, time) == 0)
  return ffi.cast("int64_t", time.sec) * 1000000000 + time.nsec
end

local function readable(fd)
  return ffi.C.poll(ffi.new("struct spec_pollfd[1]", { { fd, 1, 0 } }), 1, 0) == 1
end

-- Moves the host's clock by so many nanoseconds; nil where that is not permitted.
local function shift_clock(ns)
  local change = ffi.new("struct spec_timex")
  change.modes = ADJ_SETOFFSET + ADJ_NANO
  change.time.sec = ns < 0 and -1 or 0
  change.time.nsec = ns < 0 and 1000000000 + ns or ns
  return ffi.C.clock_adjtime(REALTIME, change) >= 0 or nil
end

describe("time text", function()
  after_each(function() core.cf_clock_follow() end)

  it("is RFC 3339 in UTC with nine digits", function()
    assert.equal("1970-01-01T00:00:00.000000000Z", format(0, 0))
    assert.equal("2026-01-31T23:59:59.123456789Z", format(1769903999, 123456789))
    assert.equal("2000-02-29T12:00:00.000000001Z", format(951825600, 1))
    assert.equal("9999-12-31T23:59:59.999999999Z", format(253402300799, 999999999))
  end)

  it("is clamped outside the years 1970 to 9999", function()
    assert.equal("1970-01-01T00:00:00.000000000Z", format(-1, 5))
    assert.equal("1970-01-01T00:00:00.000000000Z", format(-9223372036854775807LL - 1, 999999999))
    assert.equal("9999-12-31T23:59:59.999999999Z", format(253402300800, 0))
    assert.equal("9999-12-31T23:59:59.999999999Z", format(9223372036854775807LL, 0))
  end)

  it("has the date of os.date on every day of the calendar's 400 years and beyond", function()
    for day = 0, 2932896, 5 do
      local seconds = day * 86400 + day % 86400
      local text = format(seconds, 0)
      if text ~= os.date("!%Y-%m-%dT%H:%M:%S.000000000Z", seconds) then
        assert.equal(os.date("!%Y-%m-%dT%H:%M:%S.000000000Z", seconds), text)
      end
    end
  end)

  it("has the time of os.date at any second", function()
    local random = seeded.new(1970)
    for _ = 1, 20000 do
      local seconds = random:below(4294967296) * 59 + random:below(59)
      local ns = random:below(1000000000)
      assert.equal(os.date("!%Y-%m-%dT%H:%M:%S.", seconds) .. ("%09d"):format(ns) .. "Z", format(seconds, ns))
    end
  end)
end)

describe("boot clock", function()
  after_each(function() core.cf_clock_follow() end)

  it("is shifted by the offset that was set, until it is followed again", function()
    core.cf_clock_set_offset(1769903999LL * 1000000000 + 999999999)
    assert.equal("2026-01-31T23:59:59.999999999Z", time_text(0))
    assert.equal("2026-02-01T00:00:00.000000000Z", time_text(1))
    core.cf_clock_refresh()
    assert.equal("2026-02-01T00:00:00.000000000Z", time_text(1))
    core.cf_clock_follow()
    assert.are_not.equal("2026-02-01T00:00:00.000000000Z", time_text(1))
  end)

  it("takes negative offsets and the largest stamps", function()
    core.cf_clock_set_offset(-1)
    assert.equal("1970-01-01T00:00:00.000000000Z", time_text(0))
    assert.equal("1970-01-01T00:00:00.999999999Z", time_text(1000000000))
    core.cf_clock_set_offset(-9223372036854775807LL)
    assert.equal("1970-01-01T00:00:00.000000000Z", time_text(5))
    core.cf_clock_set_offset(9223372036854775807LL)
    assert.equal(os.date("!%Y-%m-%dT%H:%M:%S", 18446744073 + 9223372036 + 1), time_text(-1ULL):sub(1, 19))
    assert.equal(27670116110.564327, core.cf_wall_seconds(-1ULL))
  end)

  it("gives seconds since 1970", function()
    core.cf_clock_set_offset(1700000000LL * 1000000000)
    assert.equal(1700000001.5, core.cf_wall_seconds(1500000000ULL))
  end)

  it("follows the host's clocks", function()
    core.cf_clock_follow()
    local before = tonumber(now(REALTIME)) / 1e9
    local stamp = core.cf_wall_seconds(ffi.cast("uint64_t", now(BOOTTIME)))
    local after = tonumber(now(REALTIME)) / 1e9
    -- Both clocks run at the same rate; the slack is for a host that slews its clock meanwhile.
    assert.is_true(stamp > before - 0.01 and stamp < after + 0.01)
  end)
end)

describe("boot clock", function()
  it("is read now", function()
    local before = now(BOOTTIME)
    local read = ffi.cast("int64_t", core.cf_clock_boot_now())
    assert.is_true(before <= read and read <= now(BOOTTIME))
  end)

  it("is ahead of the monotonic one by what the host has slept", function()
    local boot, monotonic = now(BOOTTIME), now(MONOTONIC)
    local ahead = ffi.cast("int64_t", core.cf_clock_boot_offset())
    local least, most = boot - now(MONOTONIC), now(BOOTTIME) - monotonic
    assert.is_true(least <= ahead and ahead <= most)
  end)
end)

describe("clock step descriptor", function()
  it("says when the clock was set, once, and again the next time", function()
    local fd = core.cf_clock_step_fd()
    assert.is_true(fd >= 0)
    finally(function() ffi.C.close(fd) end)
    assert.is_false(readable(fd))
    assert.equal(0, core.cf_clock_stepped(fd))
    -- A microsecond forth and back: the kernel takes any change of the offset for a set clock.
    if not shift_clock(1000) then
      return pending("setting the clock needs CAP_SYS_TIME")
    end
    assert.is_true(readable(fd))
    assert.equal(1, core.cf_clock_stepped(fd))
    assert.equal(0, core.cf_clock_stepped(fd))
    assert.is_false(readable(fd))
    assert(shift_clock(-1000))
    assert.is_true(readable(fd))
    assert.equal(1, core.cf_clock_stepped(fd))
    assert.equal(0, core.cf_clock_stepped(fd))
  end)

  it("reports a descriptor that is none", function()
    assert.equal(-9, core.cf_clock_stepped(-1))
  end)
end)
