-- SPDX-License-Identifier: MIT
-- Frames in memory: what goes in comes out, and nothing comes out that cannot be.
local ffi = require("ffi")
local helper = require("spec.helper")
local made = require("made_recording")
local seeded = require("seeded")

local core, C = helper.core, ffi.C
local room, size = made.room()
local EVENT_LEN = ffi.sizeof("struct cf_event")

-- The one frame of `len` bytes in `room`.
local function only(len)
  local frame, at = ffi.new("struct cf_frame"), ffi.new("size_t[1]")
  assert.equal(1, core.cf_frame_next(room, len, at, frame))
  assert.equal(len, tonumber(at[0]))
  assert.equal(0, core.cf_frame_next(room, len, at, frame))
  return frame
end

local function wrong(frame)
  local why = core.cf_frame_check(frame)
  return why ~= nil and ffi.string(why) or nil
end

-- A frame that is sound.
local function sound(len)
  len = tonumber(len)
  assert.is_true(len > 0 and len % 8 == 0)
  local frame = only(len)
  assert.is_nil(wrong(frame))
  return frame
end

describe("a frame", function()
  local r

  before_each(function() r = seeded.new(7) end)

  local function batch_of(count, fill)
    local batch = ffi.new("struct cf_batch")
    batch.count = count
    for i = 0, count - 1 do fill(batch.events[i]) end
    return batch
  end

  local function any(event) made.any_event(r, event) end

  it("gives back any batch, every byte of it, and its time", function()
    local now, got = ffi.new("uint64_t[1]"), ffi.new("struct cf_batch")
    for round = 1, 200 do
      local batch = batch_of(round == 1 and 256 or r:below(256) + 1, any)
      ffi.fill(got, ffi.sizeof(got), 0xff)
      local frame = sound(core.cf_frame_put_batch(room, size, round, batch))
      assert.equal(C.CF_FRAME_BATCH, frame.type)
      assert.equal(batch.count, core.cf_frame_events(frame))
      assert.equal(round, tonumber(core.cf_frame_time(frame)))
      core.cf_frame_get_batch(frame, now, got)
      assert.equal(round, tonumber(now[0]))
      assert.equal(ffi.string(batch, 8 + batch.count * EVENT_LEN), ffi.string(got, 8 + got.count * EVENT_LEN))
    end
  end)

  it("of a batch carries prefixes only where there are some", function()
    local batch = batch_of(65, function(event) made.any_event(r, event) event.prefix[0] = 0 end)
    ffi.copy(batch.events[64].prefix, "rule")
    local frame = sound(core.cf_frame_put_batch(room, size, 1, batch))
    assert.equal(24 + 16 + 65 * 128 + 128, frame.len)
    assert.equal(0, core.cf_frame_has_prefix(frame.bytes, 63))
    assert.equal(1, core.cf_frame_has_prefix(frame.bytes, 64))
  end)

  it("is not made where it does not fit, nor of nothing", function()
    local batch = batch_of(3, any)
    local len = tonumber(core.cf_frame_put_batch(room, size, 1, batch))
    assert.equal(0, tonumber(core.cf_frame_put_batch(room, len - 1, 1, batch)))
    assert.equal(len, tonumber(core.cf_frame_put_batch(room, len, 1, batch)))
    for _, count in ipairs({ 0, 257 }) do
      batch.count = count
      assert.equal(0, tonumber(core.cf_frame_put_batch(room, size, 1, batch)))
    end
    assert.equal(0, tonumber(core.cf_frame_put_clock(room, 23, 1, 1)))
    assert.equal(0, tonumber(core.cf_frame_put_end(room, 16, 1, 1, 1, 0)))
  end)

  it("tells what a recording is of", function()
    local meta, kept = made.meta({ generation = 9, args = { "a", "", "b=c", "d\ne", "a", "2" } })
    local frame = sound(core.cf_frame_put_meta(room, size, C.CF_FRAME_META, meta))
    local got = ffi.new("struct cf_meta")
    core.cf_frame_get_meta(frame, got)
    assert.equal(9, got.generation)
    assert.is_true(got.recording == made.RECORDING)
    assert.equal("lab-1", ffi.string(got.texts[C.CF_META_HOST]))
    assert.equal("egress.lua", ffi.string(got.texts[C.CF_META_POLICY_FILE]))
    assert.is_true(got.texts[C.CF_META_KEYSET_ID] == nil)
    local args = {}
    while got.args[#args] ~= nil do args[#args + 1] = ffi.string(got.args[#args]) end
    assert.same({ "a", "", "b=c", "d\ne", "a", "2" }, args)
    assert.is_true(#kept > 0)
  end)

  it("has no room for arguments without end, and says so", function()
    local meta, kept = made.meta({ args = { "a", ("x"):rep(size) } })
    assert.equal(0, tonumber(core.cf_frame_put_meta(room, size, C.CF_FRAME_META, meta)))
    assert.is_true(#kept > 0)
  end)

  it("passes over texts of a later version", function()
    local meta, kept = made.meta({ texts = { "1", "2" }, args = {} })
    local frame = sound(core.cf_frame_put_meta(room, size, C.CF_FRAME_META, meta))
    local text = ffi.cast("struct cf_meta_text *", ffi.cast("char *", room) + ffi.sizeof("struct cf_frame_meta"))
    text.name = 77
    assert.is_nil(wrong(frame))
    local got = ffi.new("struct cf_meta")
    core.cf_frame_get_meta(frame, got)
    assert.is_true(got.texts[1] == nil)
    assert.equal("2", ffi.string(got.texts[2]))
    assert.is_true(#kept > 0)
  end)

  it("tells of a cell, a clock, a moment, losses and the end", function()
    local cell = ffi.new("struct cf_plan_cell", { name = "web", interface = "eth7", run_id = "r", sources = 3,
      hooks = 2 })
    local frame = sound(core.cf_frame_put_cell(room, size, 4095, cell))
    local got = ffi.cast("const struct cf_frame_cell *", frame.bytes)
    assert.same({ "web", "eth7", "r", 3, 2, 4095 }, { ffi.string(got.name), ffi.string(got.interface),
      ffi.string(got.run_id), got.sources, got.hooks, got.index })
    frame = sound(core.cf_frame_put_clock(room, size, 5, -7))
    assert.is_true(ffi.cast("const struct cf_frame_clock *", frame.bytes).offset_ns == -7)
    frame = sound(core.cf_frame_put_moment(room, size, 5, 2, 10, 12))
    got = ffi.cast("const struct cf_frame_moment *", frame.bytes)
    assert.same({ 2, 10, 12 }, { got.moment, tonumber(got.lost), tonumber(got.lost_total) })
    local losses = ffi.new("struct cf_loss[2]", { { 5, 1, 4096 }, { 6, 8, 0 } })
    frame = sound(core.cf_frame_put_loss(room, size, 5, losses, 2))
    assert.equal(24 + 2 * 16, frame.len)
    assert.equal("ring_full", ffi.string(core.cf_name_loss(1)))
    frame = sound(core.cf_frame_put_end(room, size, 5, 3, 4, 1))
    got = ffi.cast("const struct cf_frame_end *", frame.bytes)
    assert.same({ 3, 4, 1 }, { tonumber(got.batches), tonumber(got.events), got.continues })
  end)

  it("of a cell is not made of texts without an end, nor of an index that cannot be", function()
    local cell = ffi.new("struct cf_plan_cell")
    assert.equal(0, tonumber(core.cf_frame_put_cell(room, size, 4096, cell)))
    ffi.fill(cell.name, ffi.sizeof(cell.name), 0x41)
    assert.equal(0, tonumber(core.cf_frame_put_cell(room, size, 0, cell)))
  end)

  for field, values in pairs({ kind = { 0, 5, 255 }, source = { 0, 4, 255 }, hook = { 10, 255 }, direction = { 0, 3 },
    family = { 0, 5, 7, 10 }, verdict = { 3, 255 }, close_reason = { 7, 255 }, flags = { 512, 0x8000 },
    witnesses = { 1, 16, 255 }, cell = { 4096, 0xffffffff }, vlan = { 4096 } }) do
    it("is refused when an event's " .. field .. " does not exist", function()
      for _, value in ipairs(values) do
        local batch = batch_of(3, any)
        batch.events[1].flags = C.CF_EVENT_VLAN
        batch.events[1][field] = value
        local frame = only(tonumber(core.cf_frame_put_batch(room, size, 1, batch)))
        local name = field == "witnesses" and "source" or field
        assert.truthy((wrong(frame) or "sound"):find("event.*" .. name), field .. " " .. value)
      end
    end)
  end

  it("is refused when its prefixes are not what it says", function()
    local batch = batch_of(3, any)
    batch.events[0].prefix[0], batch.events[1].prefix[0] = 0, 0
    ffi.fill(batch.events[2].prefix, 128, 0x41)
    local frame = only(tonumber(core.cf_frame_put_batch(room, size, 1, batch)))
    assert.truthy(wrong(frame):find("prefix is not sound", 1, true))
    batch.events[2].prefix[127] = 0
    frame = sound(core.cf_frame_put_batch(room, size, 1, batch))
    local bits = ffi.cast("uint8_t *", room) + 24
    bits[0] = bits[0] + 8 -- the fourth of three
    assert.truthy(wrong(frame):find("prefixes without events", 1, true))
    bits[0] = 0
    assert.truthy(wrong(frame):find("ends behind its events", 1, true))
  end)

  it("is refused when a count, a number or a length cannot be", function()
    local function refused(text, len, change)
      local words = ffi.cast("uint32_t *", room)
      sound(len)
      change(words)
      assert.truthy((wrong(only(words[0])) or "sound"):find(text, 1, true), text)
    end
    local batch = batch_of(2, any)
    for _, count in ipairs({ 0, 1, 3, 257, 0xffffffff }) do
      refused("a batch", core.cf_frame_put_batch(room, size, 1, batch), function(words) words[4] = count end)
    end
    refused("moment", core.cf_frame_put_moment(room, size, 1, 3, 0, 0), function(words) words[8] = 4 end)
    local loss = ffi.new("struct cf_loss[1]", { { 5, 1, 0 } })
    refused("a loss", core.cf_frame_put_loss(room, size, 1, loss, 1), function(words) words[4] = 2 end)
    for _, what in ipairs({ 0, 9 }) do
      loss[0].what = what
      local frame = only(tonumber(core.cf_frame_put_loss(room, size, 1, loss, 1)))
      assert.truthy(wrong(frame):find("a loss does not", 1, true))
    end
    refused("its length", core.cf_frame_put_clock(room, size, 1, 1), function(words)
      words[0] = 32
    end)
  end)

  it("is none where a length or a type cannot be", function()
    local frame, at = ffi.new("struct cf_frame"), ffi.new("size_t[1]")
    local words = ffi.cast("uint32_t *", room)
    for _, len in ipairs({ 0, 4, 7, 12, 32, 0xfffffff8, 0xffffffff }) do
      core.cf_frame_put_clock(room, size, 1, 1)
      words[0], at[0] = len, 0
      assert.equal(-1, core.cf_frame_next(room, 24, at, frame), len)
    end
    core.cf_frame_put_clock(room, size, 1, 1)
    words[1] = 0
    assert.equal(-1, core.cf_frame_next(room, 24, at, frame))
    words[1] = C.CF_FRAME_CLOCK
    assert.equal(-1, core.cf_frame_next(room, 7, at, frame))
    assert.equal(1, core.cf_frame_next(room, 24, at, frame))
  end)

  it("never passes, and is never read past its end, whatever bytes it has", function()
    local frame, at, got = ffi.new("struct cf_frame"), ffi.new("size_t[1]"), ffi.new("struct cf_meta")
    local passed = 0
    for round = 1, 3000 do
      local meta, kept = made.meta()
      local len = tonumber(core.cf_frame_put_meta(room, size, C.CF_FRAME_META, meta))
      local bytes = ffi.new("uint8_t[?]", len)
      ffi.copy(bytes, room, len)
      for _ = 0, r:below(3) do bytes[8 + r:below(len - 8)] = r:below(256) end
      at[0] = 0
      assert.equal(1, core.cf_frame_next(bytes, len, at, frame))
      if wrong(frame) == nil then
        passed = passed + 1
        core.cf_frame_get_meta(frame, got)
      end
      assert.is_true(#kept > 0, round)
    end
    assert.is_true(passed > 0 and passed < 3000)
  end)
end)
