-- SPDX-License-Identifier: MIT
--
-- The worker's end of a recording: what is committed is in the record ring, once and in order, whoever dies; what finds
-- no room is counted, and told when there is some.
local ffi = require("ffi")
local helper = require("spec.helper")
require("descriptors") -- declares read(2)
local made = require("made_recording")
local output = require("output_core")
local seeded = require("seeded")
require("core_headers")("error", "plan_check", "confine", "recording", "frame", "host_ring", "outcome", "ring",
  "record_stream", "script")

local core, C = helper.core, ffi.C
local SIZE = 262144
local TYPES = { "meta", "cell", "generation", "clock", "batch", "moment", "loss", "end" }

describe("the record ring", function()
  local host, ring, shared, stream, plan, r
  local batch, meta = ffi.new("struct cf_batch"), ffi.new("struct cf_meta")

  local function open()
    local opened = ffi.new("struct cf_record_stream")
    assert.equal(0, core.cf_record_stream_open(opened, host, nil))
    assert.equal(0, core.cf_record_stream_announce(opened, meta, plan, nil))
    return opened
  end

  before_each(function()
    r = seeded.new(5)
    host, ring = ffi.new("struct cf_host_ring"), ffi.new("struct cf_ring")
    assert.equal(0, core.cf_host_ring_new(host, SIZE, nil))
    assert.equal(0, core.cf_ring_open_host(ring, host, nil))
    shared = core.cf_shared_new()
    plan = core.cf_plan_new()
    for i = 1, 2 do ffi.copy(core.cf_plan_add_cell(plan).name, "cell-" .. i) end
    output.cf_clock_set_offset(1000)
    stream = open()
  end)

  after_each(function()
    output.cf_clock_follow()
    core.cf_record_stream_close(stream)
    core.cf_plan_free(plan)
    core.cf_shared_free(shared)
    core.cf_ring_close(ring)
    core.cf_host_ring_close(host)
  end)

  local function done() return core.cf_outcome_current(shared) end

  local function fill(count, seq)
    batch.count = count
    for i = 0, count - 1 do
      made.any_event(r, batch.events[i])
      batch.events[i].seq = seq + i
    end
  end

  -- A transaction of events numbered from `seq`, or of a moment; `dies`: before its commit.
  local function batch_of(count, seq, dies)
    fill(count, seq)
    local next_outcome = core.cf_outcome_begin(shared)
    core.cf_record_stream_batch(stream, next_outcome, 5000 + seq, batch)
    if dies then return end
    core.cf_outcome_commit(shared, next_outcome)
    core.cf_record_stream_publish(stream, done())
  end

  local function moment(kind, now)
    local at = ffi.new("struct cf_script_moment")
    at.moment, at.now_ns = kind, now
    local next_outcome = core.cf_outcome_begin(shared)
    core.cf_record_stream_moment(stream, next_outcome, at)
    core.cf_outcome_commit(shared, next_outcome)
    core.cf_record_stream_publish(stream, done())
  end

  -- What can be seen: types of the frames, and the events' numbers; every frame is one that a reader takes.
  local function take()
    local from, to = tonumber(core.cf_ring_position(ring)), tonumber(core.cf_ring_producer(ring))
    local at, frame = ffi.new("size_t[1]"), ffi.new("struct cf_frame")
    local memory = ring.producer_page + ring.page + from % SIZE
    local types, seqs, losses = {}, {}, 0
    while core.cf_frame_next(memory, to - from, at, frame) == 1 do
      assert.is_true(core.cf_frame_check(frame) == nil)
      types[#types + 1] = TYPES[tonumber(frame.type)]
      if types[#types] == "batch" then
        local now, got = ffi.new("uint64_t[1]"), ffi.new("struct cf_batch")
        core.cf_frame_get_batch(frame, now, got)
        for i = 0, got.count - 1 do seqs[#seqs + 1] = tonumber(got.events[i].seq) end
      elseif types[#types] == "loss" then
        losses = losses + tonumber(ffi.cast("const struct cf_loss *", frame.bytes + 24).lost)
      end
    end
    assert.equal(to - from, tonumber(at[0]))
    core.cf_ring_release(ring, to)
    return table.concat(types, " "), seqs, losses
  end

  local function numbers(from, to)
    local list = {}
    for i = from, to do list[#list + 1] = i end
    return list
  end

  it("begins with who decides, and the clock that it goes by", function()
    moment(0, 1)
    batch_of(3, 1)
    local types, seqs = take()
    assert.equal("generation cell cell clock moment batch", types)
    assert.same({ 1, 2, 3 }, seqs)
    assert.equal(3, tonumber(done().recorded))
  end)

  it("has a clock again only when it changed", function()
    batch_of(1, 1)
    batch_of(1, 2)
    output.cf_clock_set_offset(-7)
    batch_of(1, 3)
    moment(3, 9)
    assert.equal("generation cell cell clock batch batch clock batch moment", (take()))
  end)

  it("shows nothing of what was not committed, also when its worker died over it", function()
    batch_of(2, 1)
    take()
    batch_of(5, 3, "dies")
    assert.equal("", (take()))
    core.cf_record_stream_close(stream)
    stream = open()
    core.cf_record_stream_publish(stream, done())
    assert.equal("", (take()))
    batch_of(1, 3) -- one by one then
    batch_of(1, 4)
    local types, seqs = take()
    assert.equal("generation cell cell clock batch batch", types)
    assert.same({ 3, 4 }, seqs)
    assert.equal(4, tonumber(done().recorded))
  end)

  it("shows what was committed by a worker that died before it could", function()
    fill(4, 1)
    local next_outcome = core.cf_outcome_begin(shared)
    core.cf_record_stream_batch(stream, next_outcome, 1, batch)
    core.cf_outcome_commit(shared, next_outcome)
    assert.equal("", (take()))
    core.cf_record_stream_close(stream)
    stream = open()
    core.cf_record_stream_publish(stream, done())
    local types, seqs = take()
    assert.equal("generation cell cell clock batch", types)
    assert.same({ 1, 2, 3, 4 }, seqs)
  end)

  it("counts what finds no room, keeps some for moments, and tells of it before anything else", function()
    local seq, put_in = 1, 0
    while tonumber(done().unrecorded) == 0 do
      put_in = tonumber(done().recorded)
      batch_of(100, seq)
      seq = seq + 100
    end
    assert.equal(put_in, seq - 101)
    batch_of(100, seq)
    assert.equal(200, tonumber(done().unrecorded))
    moment(3, 1) -- tells it, as it fits
    batch_of(100, seq + 100)
    local types, seqs, lost = take()
    assert.equal("loss moment", types:match("%S+ %S+$"))
    assert.equal(200, lost)
    assert.same(numbers(1, put_in), seqs)
    batch_of(3, seq + 200)
    types, seqs, lost = take()
    assert.equal("loss batch", types)
    assert.equal(100, lost)
    assert.same(numbers(seq + 200, seq + 202), seqs)
    assert.equal(300, tonumber(done().unrecorded))
    assert.equal(300, tonumber(done().unrecorded_told))
  end)

  it("goes round, at every alignment of the end", function()
    local seq, got = 1, 0
    for _ = 1, 60 do
      local count = 1 + r:below(256)
      batch_of(count, seq)
      local _, seqs = take()
      assert.same(numbers(seq, seq + count - 1), seqs)
      seq, got = seq + count, got + count
    end
    assert.is_true(tonumber(done().record_head) > 4 * SIZE)
    assert.equal(got, tonumber(done().recorded))
  end)

  it("announces nobody twice, and somebody who found no room as soon as there is some", function()
    core.cf_ring_release(ring, 2 ^ 40) -- nonsense: nothing fits
    batch_of(2, 1)
    moment(0, 1)
    core.cf_ring_release(ring, 0)
    batch_of(2, 3)
    batch_of(2, 5)
    local types, seqs, lost = take()
    assert.equal("generation cell cell loss clock batch batch", types)
    assert.same({ 3, 4, 5, 6 }, seqs)
    assert.equal(2, lost)
  end)

  it("has no batch that nothing is left of", function()
    batch_of(0, 1)
    assert.equal("", (take()))
  end)

  it("wakes the recorder when much is there, and not for each batch", function()
    local times = ffi.new("uint64_t[1]")
    local function woken() return C.read(host.event_fd, times, 8) == 8 end
    batch_of(10, 1)
    assert.is_false(woken())
    for i = 1, 4 do batch_of(250, 250 * i) end
    assert.is_true(woken())
  end)

  it("does nothing where nothing is recorded", function()
    local off, next_outcome = ffi.new("struct cf_record_stream"), core.cf_outcome_begin(shared)
    fill(5, 1)
    core.cf_record_stream_batch(off, next_outcome, 1, batch)
    core.cf_record_stream_moment(off, next_outcome, ffi.new("struct cf_script_moment"))
    core.cf_record_stream_publish(off, next_outcome)
    core.cf_record_stream_close(off)
    assert.equal(0, tonumber(next_outcome.record_head + next_outcome.unrecorded + next_outcome.recorded))
  end)
end)
