-- SPDX-License-Identifier: MIT
--
-- A million records whose every text an attacker chose: each is one line, and an independent strict parser takes it.
local ffi = require("ffi")
local helper = require("spec.helper")
local core = require("output_core")
local hostile = require("hostile")
local seeded = require("seeded")
local strict_json = require("strict_json")

ffi.cdef("void *memchr(const void *bytes, int byte, size_t len);")

local RECORDS = helper.sanitized and 250000 or 1000000
local PLANS = 100 -- each with other names
local CELLS = 16
local LONG_EVERY = 2500 -- a 64 KiB text in every so many records
local LONG = 65536
local POOL = 4 * 1048576
local LINE_MAX = 1048576

local random = seeded.new(20260214)
-- Memory of its own: a pointer into a Lua string would not keep that string alive.
local bytes = ffi.new("char[?]", POOL)
ffi.copy(bytes, hostile.pool(random, POOL), POOL)
local out = ffi.new("char[?]", LINE_MAX)

-- Any slice of the pool is hostile; a slice costs no Lua string.
local function slice(len)
  return bytes + random:below(POOL - len), len
end

-- A field of `size` bytes; a long one may fill it, which leaves no room for its NUL.
local function fill(field, size)
  local from, len = slice(random:below(random:below(4) == 0 and size + 1 or size / 4))
  ffi.fill(field, size)
  ffi.copy(field, from, len)
end

local plan = ffi.new("struct cf_plan")

local function bind_hostile_plan()
  plan.cell_count = CELLS
  for i = 0, CELLS - 1 do
    local cell = plan.cells[i]
    fill(cell.name, 64)
    fill(cell.interface, 16)
    fill(cell.run_id, 256)
  end
  for _, name in ipairs({ "run_id", "policy_digest", "keyset_id", "issuer_kid", "correlation_id" }) do
    fill(plan.metadata[name], 256)
  end
  assert(core.cf_record_bind(plan, nil) == 0)
end

local function fill_event(ev)
  ffi.copy(ev, slice(ffi.sizeof(ev)))
  ev.cell = random:below(CELLS + 1)
  ev.kind = random:below(5)
  ev.family = random:below(2) * 2 + 4
  fill(ev.prefix, 128)
end

local function fill_decision(decision, long)
  decision.decision = random:below(3)
  decision.reason = core.cf_intern(slice(long and LONG or random:below(40)))
  decision.rule = core.cf_intern(slice(random:below(20)))
  decision.place = core.cf_intern(slice(random:below(30)))
  decision.error_place = random:below(4) == 0 and core.cf_intern(slice(random:below(30))) or 0
end

-- Neither line ends nor DEL; jansson refuses the other raw control characters in strings, and takes none between them.
local function is_one_line(len)
  for _, byte in ipairs({ 10, 13, 127 }) do
    if ffi.C.memchr(out, byte, len) ~= nil then
      return false
    end
  end
  return true
end

describe("hostile records", function()
  teardown(function()
    core.cf_record_unbind()
    core.cf_intern_reset()
  end)

  it("are one line each and strict JSON each", function()
    if not strict_json.available then
      return pending(strict_json.missing)
    end
    local ev, decision = ffi.new("struct cf_event"), ffi.new("struct cf_decision")
    local lines, long = 0, 0
    for i = 0, RECORDS - 1 do
      if i % (RECORDS / PLANS) == 0 then
        bind_hostile_plan()
      end
      fill_event(ev)
      fill_decision(decision, i % LONG_EVERY == 0)
      local len = tonumber(core.cf_record_json(ev, decision, out, LINE_MAX))
      local good, why = strict_json.is_object(out, len)
      if not good or not is_one_line(len) then
        error(("record %d: %s: %q"):format(i, why or "not one line of an object", ffi.string(out, math.min(len, 2000))))
      end
      lines = lines + 1
      long = len > LONG and long + 1 or long
    end
    assert.equal(RECORDS, lines)
    assert.equal(RECORDS / LONG_EVERY, long)
  end)
end)
