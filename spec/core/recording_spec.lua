-- SPDX-License-Identifier: MIT
-- Recordings: what is written is read again, all of it or as much as is whole, and never anything else.
local bit = require("bit")
local ffi = require("ffi")
local helper = require("spec.helper")
local descriptors = require("descriptors")
local file = require("recording_file")
local made = require("made_recording")
local seeded = require("seeded")

local core, C = helper.core, ffi.C
local room, size = file.room, file.room_size
local CUT_OFF, CHECKSUM, CONTENT = tonumber(C.CF_DAMAGE_CUT_OFF), tonumber(C.CF_DAMAGE_CHECKSUM),
  tonumber(C.CF_DAMAGE_CONTENT)

local frame, meta_frame, clock_frame = file.frame, file.meta_frame, file.clock_frame
local end_frame, batch_frame, strange_frame = file.end_frame, file.batch_frame, file.strange_frame

-- Write the frames through a cf_recording; `flush(i)` says whether the block is to leave behind frame i.
local function write(frames, flush, ended)
  local path = os.tmpname()
  local fd = descriptors.open(path, bit.bor(descriptors.O_RDWR, descriptors.O_TRUNC))
  local recording, context = made.writer(fd)
  for i, text in ipairs(frames) do
    assert.equal(0, core.cf_recording_add(recording, text, #text, nil))
    if flush and flush(i) then assert.equal(0, core.cf_recording_flush(recording, nil)) end
  end
  if ended then assert.equal(0, core.cf_recording_end(recording, 9, 0, nil)) end
  local numbers = ffi.new("struct cf_recording_numbers", recording.numbers)
  core.cf_recording_free(recording)
  assert(context[0] == fd)
  descriptors.close(fd)
  local handle = io.open(path, "rb")
  local bytes = handle:read("*a")
  handle:close()
  os.remove(path)
  return bytes, numbers
end

local function is_prefix(part, whole)
  for i, text in ipairs(part) do
    if text ~= whole[i] then return false end
  end
  return #part <= #whole
end

describe("a recording", function()
  local r

  before_each(function() r = seeded.new(11) end)

  it("gives back every frame as it was, whatever is in it and wherever blocks end", function()
    for round = 1, 40 do
      local frames, events, batches = { meta_frame() }, 0, 0
      for _ = 1, r:below(60) do
        local what = r:below(10)
        if what == 0 then
          frames[#frames + 1] = clock_frame(r:below(1000) + 1)
        elseif what == 1 then
          frames[#frames + 1] = frame(core.cf_frame_put_moment(room, size, 6, r:below(4), r:below(9), r:below(9)))
        else
          local count = what == 2 and 256 or r:below(what * 20) + 1
          frames[#frames + 1] = batch_frame(r, count)
          events, batches = events + count, batches + 1
        end
      end
      local often = r:below(30) + 1
      local bytes, numbers = write(frames, function() return r:below(often) == 0 end, round % 2 == 0)
      local found = file.read(bytes)
      if round % 2 == 0 then
        assert.equal(C.CF_FRAME_END, file.type(table.remove(found.frames)))
        assert.is_true(found.ended)
        assert.equal(events, tonumber(found.numbers.events))
        assert.equal(tonumber(numbers.events), events)
        assert.equal(tonumber(numbers.batches), batches)
        assert.equal(#bytes, tonumber(numbers.file_bytes))
        assert.equal(#frames, #found.frames)
      end
      assert.equal(bytes == "" and "made: is empty" or nil, found.error)
      assert.is_true(is_prefix(found.frames, frames))
    end
  end)

  it("closes its blocks before they are too long", function()
    local frames = { meta_frame() }
    for _ = 1, 70 do
      frames[#frames + 1] = batch_frame(r, 256, function(batch)
        for i = 0, 255 do ffi.copy(batch.events[i].prefix, "x") end
      end)
    end
    local bytes, numbers = write(frames, nil, true)
    assert.equal(5, tonumber(numbers.blocks)) -- 15 of 64 KiB in each
    local found = file.read(bytes)
    assert.is_true(found.ended)
    assert.equal(70 * 256, tonumber(found.numbers.events))
  end)

  it("of made-up traffic is the same bytes each time, and small", function()
    local bytes = made.bytes(20000)
    assert.equal(bytes, made.bytes(20000))
    assert.is_true(#bytes < 20000 * 24, #bytes)
    local found = file.read(bytes)
    assert.is_true(found.ended)
    assert.equal(20000, tonumber(found.numbers.events))
  end)

  it("is what docs/recordings.md says, to a reader that was made from it", function()
    local frames = { meta_frame(), clock_frame(), strange_frame(r) }
    for _ = 1, 30 do frames[#frames + 1] = batch_frame(r, r:below(100) + 1) end
    for _, bytes in ipairs({ made.bytes(3000, { flush = 3, seed = 8, cells = 90 }), (write(frames, nil, true)) }) do
      local by_the_book = require("recording_by_the_book").frames(bytes)
      local found = {}
      for _, text in ipairs(by_the_book) do
        if file.type(text) <= 8 then found[#found + 1] = text end
      end
      assert.is_true(#found > 10)
      assert.same(file.read(bytes).frames, found)
    end
  end)

  it("without an end is read as far as whole blocks go, without an error", function()
    local found = file.read(made.bytes(2000, { flush = 2, cut = true }))
    assert.is_nil(found.error)
    assert.is_false(found.ended)
    assert.equal(2000, tonumber(found.numbers.events))
  end)

  it("cut off anywhere gives whole blocks, and says so", function()
    local bytes = made.bytes(60, { batch = 4, flush = 4 })
    local whole, offsets = file.read(bytes), file.block_offsets(bytes)
    local is_end = {}
    for _, offset in ipairs(offsets) do is_end[offset] = true end
    assert.is_true(#offsets > 4)
    for len = 1, #bytes - 1 do
      local found = file.read(bytes:sub(1, len))
      assert.is_false(found.ended)
      assert.is_true(is_prefix(found.frames, whole.frames))
      if is_end[len] then
        assert.is_nil(found.error)
        assert.is_true(#found.frames > 0)
      else
        assert.equal(CUT_OFF, found.damage)
        assert.truthy(found.error:find("is cut off within a block, at byte %d+; readable before it: %d+ event"))
      end
    end
  end)

  it("with a flipped bit anywhere is read up to it, and damaged", function()
    local bytes = made.bytes(3000, { batch = 20, flush = 20 })
    local whole, offsets = file.read(bytes), file.block_offsets(bytes)
    assert.is_true(#offsets > 8)
    for _ = 1, 1000 do
      local at = r:below(#bytes) + 1
      local flipped = bit.bxor(bytes:byte(at), bit.lshift(1, r:below(8)))
      local found = file.read(bytes:sub(1, at - 1) .. string.char(flipped) .. bytes:sub(at + 1))
      local readable = 0
      for _, offset in ipairs(offsets) do
        if offset < at then readable = offset end
      end
      assert.is_true(found.damage >= tonumber(C.CF_DAMAGE_FOREIGN))
      assert.is_false(found.ended)
      assert.is_true(is_prefix(found.frames, whole.frames))
      assert.equal(readable, tonumber(found.numbers.file_bytes))
      if readable > 0 then
        assert.equal(CHECKSUM, found.damage)
        assert.truthy(found.error:find(("at byte %d; readable before it: %d event"):format(readable,
          tonumber(found.numbers.events)), 1, true), found.error)
      end
    end
  end)

  it("says that it is empty, something else, or of another version", function()
    for what, text in pairs({ ["is empty"] = "", ["is no recording of cellflow"] = "{\"schema_version\":1}\n",
      ["is a recording of version 2.7, and this cellflow reads version 1"] =
      file.block(0, meta_frame(), { major = 2, minor = 7 }) }) do
      local found = file.read(text)
      assert.equal("made: " .. what, found.error)
      assert.equal(0, #found.frames)
    end
  end)

  it("of a later minor version is read, and what is not known is passed over and counted", function()
    local frames = meta_frame() .. strange_frame(r) .. batch_frame(r, 3) .. strange_frame(r) .. end_frame(1, 3)
    local found = file.read(file.block(0, frames, { minor = 5 }))
    assert.is_nil(found.error)
    assert.equal(3, #found.frames)
    assert.equal(2, tonumber(found.numbers.skipped))
    local bytes = write({ meta_frame(), strange_frame(r), batch_frame(r, 2) }, nil, true)
    assert.equal(1, tonumber(file.read(bytes).numbers.skipped))
  end)

  it("with blocks in another order, left out, twice, or of another recording is damaged there", function()
    local bytes, other = made.bytes(600, { batch = 20, flush = 10 }), meta_frame()
    local o = file.block_offsets(bytes)
    local function block(i) return bytes:sub(o[i] + 1, o[i + 1]) end
    for _, text in ipairs({ block(1) .. block(3), block(1) .. block(1), block(1) .. block(2) .. block(2),
      block(1) .. file.block(1, clock_frame(), { recording = 5 }) }) do
      local found = file.read(text)
      assert.equal(CONTENT, found.damage)
      assert.truthy(found.error:find("another block belongs there", 1, true))
      assert.is_true(#found.frames > 0)
    end
    assert.truthy(file.read(file.block(0, other, { recording = 5 })).error:find("begins as another", 1, true))
  end)

  it("whose frames are in no order that a writer makes is damaged, and gives nothing of that block", function()
    local meta = meta_frame()
    for text, why in pairs({
      [clock_frame()] = "does not begin with what it is",
      [meta .. meta] = "begins twice",
      [meta .. end_frame(0, 0) .. clock_frame()] = "something stands behind its end",
      [meta .. batch_frame(r, 2) .. end_frame(1, 1)] = "events are missing",
      [meta .. end_frame(1, 0)] = "events are missing",
      [meta .. ("\0"):rep(8)] = "something else than frames",
      [meta .. batch_frame(r, 2, function(batch) batch.events[1].kind = 9 end)] = "an event's kind does not exist",
    }) do
      local found = file.read(file.block(0, text))
      assert.equal(CONTENT, found.damage, why)
      assert.truthy(found.error:find(why, 1, true), found.error)
      assert.same({}, found.frames)
    end
  end)

  it("goes on behind its end nowhere, not even with a whole block", function()
    local found = file.read(file.block(0, meta_frame() .. end_frame(0, 0)) .. file.block(1, clock_frame()))
    assert.equal(CONTENT, found.damage)
    assert.equal(2, #found.frames)
    assert.is_false(found.ended)
  end)

  it("whose lengths and counts lie is damaged, and costs no more memory than a block", function()
    local frames = meta_frame() .. batch_frame(r, 4)
    local zeros = ("\0"):rep(64 * 1048576)
    for _, lies in ipairs({ { raw_len = #frames - 8 }, { raw_len = #frames + 8 }, { raw_len = 0 }, { raw_len = 12 },
      { raw_len = 1048576 + 8 }, { raw_len = 0xfffffff8 }, { data_len = 0 }, { data_len = 0xffffffff }, { flags = 2 },
      { frames = 3 }, { frames = 1 }, { events = 5 }, { first_ns = 1 }, { last_ns = 1 }, { data = zeros },
      { data = zeros, raw_len = 1048576 }, { compressed = "nonsense" }, { compressed = ("z"):rep(2000) } }) do
      local found = file.read(file.block(0, frames, lies))
      assert.equal(CONTENT, found.damage, next(lies))
      assert.same({}, found.frames)
    end
    for _, lies in ipairs({ { data_hash = 1 }, { head_hash = 1 } }) do
      assert.equal(CHECKSUM, file.read(file.block(0, frames, lies)).damage)
    end
    assert.equal(CUT_OFF, file.read(file.block(0, frames, { data_len = 4000 })).damage)
  end)

  it("whose data are several pieces, or have something behind them, is damaged", function()
    local frames = meta_frame() .. clock_frame()
    local block = file.block(0, frames)
    local data, skippable = block:sub(file.HEAD_LEN + 1), "\x50\x2a\x4d\x18\4\0\0\0none"
    assert.is_nil(file.read(file.block(0, frames, { compressed = data })).error)
    for _, other in ipairs({ data .. skippable, skippable .. data, data .. "\0", data .. data }) do
      local found = file.read(file.block(0, frames, { compressed = other }))
      assert.equal(CONTENT, found.damage)
      assert.truthy(found.error:find("not compressed as it should be", 1, true))
    end
  end)

  it("may have its frames in columns or as they are", function()
    local frames = meta_frame() .. batch_frame(r, 100) .. clock_frame()
    local packed = ffi.new("uint8_t[?]", #frames + 16)
    core.cf_pack(frames, #frames, packed)
    local one = file.read(file.block(0, frames))
    local other = file.read(file.block(0, frames, { flags = 1, data = ffi.string(packed, #frames + 16) }))
    assert.is_nil(one.error)
    assert.is_nil(other.error)
    assert.same(one.frames, other.frames)
    assert.equal(3, #one.frames)
  end)

  it("whose columns are damaged before they were compressed is never read past its memory", function()
    local frames = meta_frame() .. batch_frame(r, 70) .. batch_frame(r, 3)
    local packed = ffi.new("uint8_t[?]", #frames + 16)
    local refused = 0
    for _ = 1, 2000 do
      core.cf_pack(frames, #frames, packed)
      for _ = 0, r:below(3) do packed[r:below(r:below(3) == 0 and #frames + 16 or 400)] = r:below(256) end
      local found = file.read(file.block(0, frames, { flags = 1, data = ffi.string(packed, #frames + 16) }))
      if found.error then refused = refused + 1 end
    end
    assert.is_true(refused > 500, refused)
  end)
end)
