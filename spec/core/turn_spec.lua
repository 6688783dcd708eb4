-- SPDX-License-Identifier: MIT
--
-- One turn of the worker over a ring made by hand, where no event gets as far as a policy: what is given back to the
-- producers, what is counted, and what is of workers that are killed before they decide.
local ffi = require("ffi")
local helper = require("spec.helper")
local killed_at = require("killed_at")
local made_ring = require("made_ring")
local recording_core = require("recording_core")
require("core_headers")("error", "confine", "ring", "feed", "outcome", "sink", "turn")

local core = helper.core
local dedup = require("output_core")

describe("a turn", function()
  local made, turn, shared

  before_each(function()
    made = made_ring.new()
    shared = ffi.gc(core.cf_shared_new(), core.cf_shared_free)
    turn = core.cf_turn_new(shared, 1000000)
    assert(core.cf_ring_open(turn.feed.rings[0], made.fd, made_ring.SIZE, nil) == 0)
  end)

  after_each(function()
    core.cf_ring_close(turn.feed.rings[0])
    ffi.C.close(turn.clock_fd)
    made:close()
  end)

  local function outcome() return core.cf_outcome_current(shared) end

  local function event(cell)
    local made_event = ffi.new("struct cf_event")
    made_event.cell = cell
    return made_event
  end

  it("gives discarded records back, also where nothing else comes", function()
    for _ = 1, 5 do made:produce(1, 64, made_ring.DISCARD) end
    assert.equal(0, core.cf_turn_once(turn))
    assert.equal(5 * 72, tonumber(made:consumer()[0]))
    assert.equal(5 * 72, tonumber(outcome().position[0]))
    assert.equal(0, tonumber(outcome().consumed))
    assert.equal(shared.attempt, outcome().attempt)
  end)

  it("does not take part of its caution for them", function()
    shared.careful, shared.attempt_count = 7, 0
    made:produce(1, 64, made_ring.DISCARD)
    shared.attempt = shared.attempt + 1 -- killed between begin and commit
    core.cf_turn_recover(turn)
    assert.equal(7, shared.careful)
    core.cf_turn_once(turn)
    assert.equal(7, shared.careful)
  end)

  it("carries on how many keys of dedup were forgotten early, also those of an attempt that was cut off", function()
    local size = tonumber(dedup.cf_dedup_size(8))
    local mem = ffi.new("uint64_t[?]", (size + 7) / 8)
    assert(dedup.cf_dedup_bind(mem, size) == 0)
    finally(function() dedup.cf_dedup_bind(nil, 0) end)
    for i = 1, 10 do core.cf_dedup_seen("key" .. i, #("key" .. i), 60, 1000000000ULL) end
    core.cf_outcome_begin(shared)
    made:produce(event(3))
    assert.equal(1, core.cf_turn_once(turn))
    assert.equal(2, tonumber(outcome().dedup_forgotten))
    made:produce(event(3))
    assert.equal(1, core.cf_turn_once(turn))
    assert.equal(2, tonumber(outcome().dedup_forgotten))
  end)

  it("writes nothing while there is nothing", function()
    assert.equal(0, core.cf_turn_once(turn))
    assert.equal(0, shared.attempt)
  end)

  it("refuses events of cells that it was not told of", function()
    made:produce(event(3))
    made:produce(event(0xffffffff))
    assert.equal(2, core.cf_turn_once(turn))
    assert.equal(2, tonumber(outcome().refused))
  end)

  it("refuses events of a cell whose slot another one has by now", function()
    core.cf_turn_set_slot(turn, 3 + 2 * 4096, 0)
    for epoch = 0, 3 do
      if epoch ~= 2 then made:produce(event(3 + epoch * 4096)) end
    end
    assert.equal(3, core.cf_turn_once(turn))
    assert.equal(3, tonumber(outcome().refused))
    assert.equal(-1, core.cf_turn_set_slot(turn, 3, 4096))
  end)

  it("counts a connection once, also of an event that is skipped, wherever workers are killed", function()
    local lacking = killed_at.lacking()
    if lacking then return pending(lacking) end
    local EVENTS = 4
    local WHERE = { "cf_outcome_begin", "cf_connections_begin", "cf_connections_add", "cf_dedup_begin" }
    local connections = ffi.gc(core.cf_connections_new(100), core.cf_connections_free)
    local count = ffi.new("struct cf_connection_count")
    turn.connections = connections
    core.cf_turn_set_slot(turn, 3, 0)
    local function check(expected)
      core.cf_connections_of_run(connections, count)
      assert.equal(expected, tonumber(count.count))
      core.cf_connections_of_cell(connections, 3, count)
      assert.equal(expected, tonumber(count.count))
    end
    local function kill_after(name, fn) assert.is_true(killed_at.after(0, core[name], fn, turn)) end

    for port = 1, EVENTS do
      made:produce(recording_core.fill(ffi.new("struct cf_event"), { cell = 3, src_port = port }))
    end
    local deaths = 0
    while outcome().skipped < EVENTS do
      assert.is_true(deaths < 10 * EVENTS)
      kill_after(WHERE[deaths % #WHERE + 1], core.cf_turn_once)
      deaths = deaths + 1
      kill_after("cf_connections_undo", core.cf_turn_recover)
      check(tonumber(outcome().consumed))
      if deaths % 3 == 0 and shared.careful > 0 and shared.attempt_count == 1 then -- over skipping it
        kill_after("cf_connections_add", core.cf_turn_recover)
      end
      core.cf_turn_recover(turn)
      check(tonumber(outcome().consumed))
    end
    assert.equal(EVENTS, tonumber(outcome().consumed))
    check(EVENTS)
  end)
end)
