-- SPDX-License-Identifier: MIT
--
-- The recorder's files: parts that each begin with what is in force, and a write that was cut off told from a whole
-- one.
local ffi = require("ffi")
local helper = require("spec.helper")
local descriptors = require("descriptors")
local made = require("recording_file")
local seeded = require("seeded")
require("core_headers")("error", "recording", "frame", "recording_write", "recorded", "recorder_file")

local core, C = helper.core, ffi.C

describe("the recorder's files", function()
  local recorded, file, err, fds, r
  local gave_up = ffi.cast("cf_recorder_patience_fn *", function() return 0 end)

  local function open()
    local opened = ffi.new("struct cf_recorder_file")
    assert.equal(0, core.cf_recorder_file_open(opened, recorded, 77, err))
    opened.patience = gave_up
    return opened
  end

  -- Our descriptor of the file, as the supervisor has one.
  local function part(number, fd)
    fd = fd or descriptors.memory(0)
    fds[number % 2] = fd
    assert.equal(0, core.cf_recorder_file_part(file, descriptors.duplicate(fd), number, err))
  end

  before_each(function()
    r = seeded.new(9)
    err, fds = ffi.new("struct cf_error"), ffi.new("int[2]", -1, -1)
    recorded = core.cf_recorded_new()
    file = open()
  end)

  after_each(function()
    core.cf_recorder_file_close(file)
    core.cf_recorded_free(recorded)
    for i = 0, 1 do if fds[i] >= 0 then descriptors.close(fds[i]) end end
  end)

  local position = 0
  local function add(text)
    local frame = ffi.new("struct cf_frame")
    local bytes = ffi.new("uint64_t[?]", #text / 8)
    ffi.copy(bytes, text, #text)
    frame.bytes, frame.len = ffi.cast("const uint8_t *", bytes), #text
    frame.type = ffi.cast("const struct cf_frame_head *", bytes).type
    position = position + #text
    return core.cf_recorder_file_add(file, frame, position, err)
  end

  local function generation()
    local text = made.meta_frame()
    local head = ffi.new("struct cf_frame_head", #text, C.CF_FRAME_GENERATION)
    return ffi.string(head, 8) .. text:sub(9)
  end

  local function cell()
    return made.frame(core.cf_frame_put_cell(made.room, made.room_size, 0, ffi.new("struct cf_plan_cell")))
  end

  local function now() return core.cf_recorded_current(recorded) end

  local function contents(fd)
    C.lseek(fd, 0, 0)
    return descriptors.drain(fd)
  end

  local function read(fd) return made.read(contents(fd)) end

  local function types(got)
    local list = {}
    for i, text in ipairs(got.frames) do list[i] = text:byte(5) end
    return list
  end

  local function begin()
    position = 0
    part(0)
    for _, text in ipairs({ generation(), cell(), made.clock_frame() }) do assert.equal(0, add(text)) end
  end

  it("begin with META, made of the first GENERATION, and repeat it in the next part", function()
    begin()
    add(made.batch_frame(r, 5))
    local first = fds[0]
    part(1)
    add(made.batch_frame(r, 6))
    add(generation())
    assert.equal(0, core.cf_recorder_file_end(file, 9, 0, err))
    assert.same({ 1, 2, 4, 5, 8 }, types(read(first)))
    local second = read(fds[1])
    assert.same({ 1, 2, 4, 5, 3, 8 }, types(second))
    assert.is_true(second.ended)
    local meta = ffi.cast("const struct cf_frame_meta *", ffi.cast("const char *", second.frames[1]))
    assert.equal(77, tonumber(meta.recording))
    assert.equal(1, meta.part)
    assert.equal(11, tonumber(now().events))
    assert.equal(position, tonumber(now().position))
  end)

  it("leave a block that is not in the file to a successor", function()
    begin()
    add(made.batch_frame(r, 5))
    assert.equal(0, core.cf_recorder_file_flush(file, err))
    local at = tonumber(now().position)
    add(made.batch_frame(r, 7))
    assert.equal(at, tonumber(now().position))
    core.cf_recorder_file_close(file) -- killed
    core.cf_recorded_recover(recorded, fds)
    file = open()
    assert.equal(at, tonumber(file.state.position))
    assert.equal(5, tonumber(file.state.events))
    local first = fds[0]
    part(1)
    add(made.batch_frame(r, 7))
    core.cf_recorder_file_end(file, 9, 0, err)
    assert.same({ 1, 2, 4, 5 }, types(read(first)))
    assert.same({ 1, 2, 4, 5, 8 }, types(read(fds[1])))
    assert.equal(12, tonumber(now().events))
  end)

  -- As it lies there when a recorder was killed with `kept` bytes of its second block in the file.
  local function killed_with(kept)
    begin()
    assert.equal(0, core.cf_recorder_file_flush(file, err))
    local before, at = tonumber(now().part_bytes), tonumber(now().position)
    add(made.batch_frame(r, 7))
    assert.equal(0, core.cf_recorder_file_flush(file, err))
    local len = tonumber(now().part_bytes) - before
    recorded.current, recorded.is_flying = 1 - recorded.current % 2, 1
    assert.equal(0, C.ftruncate(fds[0], before + math.floor(kept * len)))
    core.cf_recorded_recover(recorded, fds)
    assert.equal(0, recorded.is_flying)
    return before, at
  end

  for _, kept in ipairs({ 0, 0.5 }) do
    it(("take %g of a block back"):format(kept), function()
      local before, at = killed_with(kept)
      assert.equal(at, tonumber(now().position))
      assert.equal(0, tonumber(now().events))
      assert.equal(before, #contents(fds[0]))
    end)
  end

  it("keep a block that is whole, though nobody came to say so", function()
    local _, at = killed_with(1)
    assert.equal(position, tonumber(now().position))
    assert.is_true(at < position)
    assert.equal(7, tonumber(now().events))
  end)

  it("give up what cannot be written, when told to", function()
    position = 0
    local full = descriptors.memory_that_cannot_grow()
    part(0, full)
    add(generation())
    assert.equal(-1, core.cf_recorder_file_flush(file, err))
    assert.equal(1, tonumber(recorded.errors))
    core.cf_recorded_recover(recorded, fds)
    assert.equal(0, tonumber(now().position))
  end)

  it("hold nothing that no reader would take, and count its events", function()
    begin()
    add(made.batch_frame(r, 5, function(batch) batch.events[4].direction = 7 end))
    add(made.meta_frame())
    assert.equal(0, core.cf_recorder_file_end(file, 9, 0, err))
    assert.equal(5, tonumber(now().given_up))
    assert.same({ 1, 2, 4, 8 }, types(read(fds[0])))
  end)

  it("tell each loss once, and what was given up at the end", function()
    local totals = ffi.new("uint64_t[?]", C.CF_LOSSES)
    local function losses(is_last) assert.equal(0, core.cf_recorder_file_losses(file, 5, totals, is_last, err)) end
    begin()
    losses(0) -- nothing
    totals[C.CF_LOSS_RING_FULL], totals[C.CF_LOSS_UNRECORDED] = 3, 2
    losses(0)
    losses(0)
    totals[C.CF_LOSS_RING_FULL] = 4
    losses(0)
    add(made.batch_frame(r, 5, function(batch) batch.events[4].direction = 7 end))
    losses(1)
    assert.equal(0, core.cf_recorder_file_end(file, 9, 0, err))
    assert.equal(4, tonumber(now().told[C.CF_LOSS_RING_FULL]))
    assert.equal(7, tonumber(now().told[C.CF_LOSS_UNRECORDED]))
    assert.same({ 1, 2, 4, 7, 7, 7, 8 }, types(read(fds[0])))
  end)
end)
