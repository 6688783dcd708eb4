-- SPDX-License-Identifier: MIT
--
-- Connections of batches: what is undone of one that was cut off, wherever a worker is killed and however often, and
-- that nothing a worker leaves behind leads another out of bounds.
local ffi = require("ffi")
local bit = require("bit")
local helper = require("spec.helper")
local core = helper.core
local counts = require("connection_counts")
local killed_at = require("killed_at")
local seeded = require("seeded")
ffi.cdef("int usleep(unsigned int microseconds);")

local C = ffi.C
local PORTS, AGAIN = counts.PORTS, counts.AGAIN
local SIGKILL = 9
local STRIDE = helper.sanitized and 7 or 1 -- instructions from one kill to the next: a sanitizer's are many more
local make, numbered, run, of_cell = counts.make, counts.numbered, counts.run, counts.of_cell

describe("connections", function()
  before_each(function() make() end)

  -- Everything that is said of the run and of a cell.
  local function numbers(slot)
    local all, total = run()
    local cell, cells = of_cell(slot)
    return { all, cell, total.is_missing, cells.is_missing, total.is_estimate, cells.is_estimate }
  end

  -- A batch, as a worker does it.
  local function count(attempt, batch)
    core.cf_connections_begin(counts.set, attempt)
    for _, made in ipairs(batch) do core.cf_connections_add(counts.set, made) end
  end

  local function numbers_from(first, last, fields)
    local batch = {}
    for i = first, last do batch[#batch + 1] = numbered(i, fields) end
    return batch
  end

  -- With a tuple that is used again, one that is not new, and one of another cell.
  local function mixed()
    local again = numbered(2)
    again.first_seen_ns = 99999
    return { numbered(11), again, numbered(1, { flags = bit.bor(PORTS, AGAIN[1]) }), numbered(12, { cell = 4 }),
      numbered(13) }
  end

  describe("of a batch that is undone", function()
    it("are those that were before it, and the batch counts as before", function()
      make(20)
      count(1, numbers_from(1, 10))
      local before = numbers(0)
      for attempt = 2, 5 do
        count(attempt, mixed())
        assert.same({ 14, 13, 1 }, { (run()), (of_cell(0)), (of_cell(4)) })
        core.cf_connections_undo(counts.set, attempt)
        core.cf_connections_undo(counts.set, attempt) -- nothing is left to undo
        assert.same({ before[1], before[2], 0 }, { (run()), (of_cell(0)), (of_cell(4)) })
      end
      count(6, mixed())
      assert.same({ 14, 13, 1 }, { (run()), (of_cell(0)), (of_cell(4)) })
      count(7, numbers_from(20, 26)) -- the cap is 20 keys, and 13 are there
      assert.same({ 21, 0 }, { (run()), select(2, run()).is_estimate })
      count(8, numbers_from(27, 27))
      assert.equal(1, select(2, run()).is_estimate)
    end)

    it("are all there when it is another batch", function()
      count(1, numbers_from(1, 10))
      count(3, mixed())
      for _, attempt in ipairs({ 0, 1, 2, 4 }) do core.cf_connections_undo(counts.set, attempt) end
      assert.equal(14, (run()))
      core.cf_connections_begin(counts.set, 4) -- and killed
      for _, attempt in ipairs({ 3, 4 }) do core.cf_connections_undo(counts.set, attempt) end
      assert.equal(14, (run()))
    end)

    it("are exact also when keys lie where others belong, and when the batch is as large as any", function()
      make(300)
      local random = seeded.new(77)
      count(1, numbers_from(1, 40))
      local batch = {}
      for i = 1, C.CF_BATCH_MAX do batch[i] = numbered(random:below(100), { cell = i % 5 }) end
      for attempt = 2, 9 do
        count(attempt, batch)
        assert.equal(40 + C.CF_BATCH_MAX, (run()))
        core.cf_connections_undo(counts.set, attempt)
        assert.same({ 40, 40, 0, 0 }, { (run()), (of_cell(0)), (of_cell(1)), (of_cell(4)) })
      end
      count(10, numbers_from(1, 40, { flags = bit.bor(PORTS, AGAIN[1]) })) -- all of them are known
      assert.same({ 40, 1 }, { (run()), select(2, run()).is_missing })
      count(11, numbers_from(101, 360)) -- and no other
      assert.same({ 300, 0 }, { (run()), select(2, run()).is_estimate })
    end)

    it("are not those of an earlier cell in the slot", function()
      count(1, { numbered(1, { cell = 5 }), numbered(2, { cell = 5 }) })
      local other = 5 + 4096
      count(2, { numbered(3, { cell = 5 }), numbered(4, { cell = other }), numbered(5, { cell = other }) })
      assert.same({ 0, 2 }, { (of_cell(5)), (of_cell(other)) })
      core.cf_connections_undo(counts.set, 2)
      assert.same({ 2, 0, 0 }, { (run()), (of_cell(5)), (of_cell(other)) })
    end)
  end)

  it("stay within bounds whatever a worker left in the memory", function()
    local random = seeded.new(99)
    make(100000)
    local words = ffi.cast("uint32_t **", counts.set)[0] -- sums, area, and the log behind them
    count(1, mixed())
    assert.same({ 1, 5 }, { words[6], words[7] }) -- the log's attempt and length
    for round = 1, 200 do
      count(round, mixed())
      for i = 0, 2000 do
        if random:below(4) == 0 then words[i] = random:below(2) == 0 and 0xffffffff or random:below(2 ^ 32) end
      end
      core.cf_connections_undo(counts.set, words[6])
      words[7] = random:below(C.CF_BATCH_MAX) + 1
      core.cf_connections_undo(counts.set, words[6])
      count(round, mixed())
      run()
      of_cell(random:below(2 ^ 32))
    end
  end)

  describe("after a worker was killed", function()
    local lacking = killed_at.lacking()
    local function by_instruction(name, fn)
      it(name, function() return lacking and pending(lacking) or fn() end)
    end

    -- fresh() makes the set; kill(steps) kills somebody and says whether that was before the end; check(steps) looks.
    local function at_every_instruction(fresh, kill, check, least)
      local steps = 0
      repeat
        fresh()
        local unfinished = kill(steps)
        check(steps)
        steps = steps + STRIDE
      until not unfinished
      assert.is_true(steps > least)
    end

    -- Kill it in the last event of `batch`; undo that as its successor does, and count the batch again.
    local function in_add(cap, first, batch)
      local last = table.remove(batch)
      local before, expected
      local function fresh()
        make(cap)
        core.cf_connections_seed(counts.set, 4) -- whose estimates are the same each time
        count(1, first)
        before = { (run()), (of_cell(first[1].cell)) }
        count(2, batch)
      end
      local function finish()
        count(3, batch)
        core.cf_connections_add(counts.set, last)
        local all = numbers(last.cell)
        for _, made in ipairs(first) do -- are all known
          made.flags = bit.bor(made.flags, AGAIN[1])
          core.cf_connections_add(counts.set, made)
          made.flags = bit.band(made.flags, bit.bnot(AGAIN[1]))
        end
        all[#all + 1] = (run())
        return all
      end
      fresh()
      core.cf_connections_undo(counts.set, 2)
      expected = finish()
      assert.equal(expected[1], expected[7])
      at_every_instruction(fresh, function(steps)
        return killed_at.after(steps, core.cf_hash64, core.cf_connections_add, counts.set, last)
      end, function(steps)
        core.cf_connections_undo(counts.set, 2)
        if expected[5] == 0 and first[1].cell == last.cell then
          assert.same(before, { (run()), (of_cell(last.cell)) }, "killed after " .. steps)
        end
        assert.same(expected, finish(), "killed after " .. steps)
      end, 30)
    end

    by_instruction("at any instruction of a new one", function()
      in_add(10, numbers_from(1, 2), numbers_from(3, 4))
    end)

    by_instruction("at any instruction of a tuple used again", function()
      local again = numbered(2)
      again.first_seen_ns = 99999
      in_add(10, numbers_from(1, 3), { numbered(4), again })
      in_add(10, numbers_from(1, 3), { again })
    end)

    by_instruction("at any instruction of a new one that would not count if it were known", function()
      local flagged = { flags = bit.bor(PORTS, AGAIN[1]) }
      in_add(10, numbers_from(1, 2), { numbered(3), numbered(4, flagged) })
      in_add(10, numbers_from(1, 2), { numbered(4, flagged) })
    end)

    by_instruction("at any instruction of one beyond the cap", function()
      in_add(3, numbers_from(1, 3), numbers_from(4, 4))
    end)

    by_instruction("at any instruction of the first of another cell in its slot", function()
      in_add(20, numbers_from(1, 3, { cell = 5 }), { numbered(4, { cell = 5 }), numbered(5, { cell = 5 + 4096 }) })
    end)

    by_instruction("at any instruction of a beginning", function()
      at_every_instruction(function() count(1, numbers_from(1, 10)) end, function(steps)
        return killed_at.after(steps, nil, core.cf_connections_begin, counts.set, 2)
      end, function(steps)
        core.cf_connections_undo(counts.set, 2)
        assert.same({ 10, 10 }, { (run()), (of_cell(0)) }, "killed after " .. steps)
        make()
      end, 10)
    end)

    by_instruction("at any instruction of an undoing, however often", function()
      at_every_instruction(function()
        make(20)
        count(1, numbers_from(1, 10))
        count(2, mixed())
      end, function(steps)
        killed_at.after(math.floor(steps / 2), nil, core.cf_connections_undo, counts.set, 2)
        return killed_at.after(steps, nil, core.cf_connections_undo, counts.set, 2)
      end, function(steps)
        core.cf_connections_undo(counts.set, 2)
        assert.same({ 10, 10, 0 }, { (run()), (of_cell(0)), (of_cell(4)) }, "killed after " .. steps)
        count(3, mixed())
        assert.same({ 14, 13, 1 }, { (run()), (of_cell(0)), (of_cell(4)) }, "killed after " .. steps)
        count(4, numbers_from(20, 26))
        assert.same({ 21, 0 }, { (run()), select(2, run()).is_estimate }, "killed after " .. steps)
      end, 40)
    end)

    -- As many as the first area takes but for one batch: the next beginning moves them.
    local FULL = C.CF_CONNECTION_FIRST / 4 * 3 - C.CF_BATCH_MAX + 1

    local function make_events(fields)
      local events = ffi.new("struct cf_event[?]", FULL)
      for i = 0, FULL - 1 do ffi.copy(events[i], numbered(i, fields), ffi.sizeof("struct cf_event")) end
      return events
    end
    local events, known

    local function add_all(of)
      for i = 0, FULL - 1 do
        if i % C.CF_BATCH_MAX == 0 then core.cf_connections_begin(counts.set, i) end
        core.cf_connections_add(counts.set, of[i])
      end
    end

    local function make_full()
      make(200000)
      events = events or make_events()
      add_all(events)
    end

    local function check_full(what)
      core.cf_connections_undo(counts.set, 1000001)
      count(1000002, numbers_from(FULL, FULL + 9))
      core.cf_connections_undo(counts.set, 1000002)
      assert.same({ FULL, FULL }, { (run()), (of_cell(0)) }, what)
      known = known or make_events({ flags = bit.bor(PORTS, AGAIN[1]) })
      add_all(known)
      assert.same({ FULL, FULL }, { (run()), (of_cell(0)) }, what)
    end

    it("at any instant while the set moves into a larger area", function()
      make_full()
      for round = 1, 12 do
        local pid = C.fork()
        if pid == 0 then
          core.cf_connections_begin(counts.set, 1000001)
          C._exit(0)
        end
        C.usleep(round * 60)
        C.kill(pid, SIGKILL)
        assert(C.waitpid(pid, ffi.new("int[1]"), 0) == pid)
      end
      check_full("killed while it moved")
    end)

    it("or went in peace, with a set that has moved twice", function()
      make(1000000)
      local last = C.CF_CONNECTION_FIRST * 3 + 1000
      local pid = C.fork()
      if pid == 0 then
        for i = 1, last do
          if i % C.CF_BATCH_MAX == 1 then core.cf_connections_begin(counts.set, i) end
          core.cf_connections_add(counts.set, numbered(i))
        end
        C._exit(0)
      end
      assert(C.waitpid(pid, ffi.new("int[1]"), 0) == pid)
      count(last + 1, numbers_from(last - 200, last, { flags = bit.bor(PORTS, AGAIN[1]) }))
      assert.same({ last, last, 1 }, { (run()), (of_cell(0)), select(2, run()).is_missing })
    end)

    by_instruction("at any instruction between the move and its end", function()
      at_every_instruction(make_full, function(steps)
        return killed_at.after(steps, core.cf_connection_set_copy, core.cf_connections_begin, counts.set, 1000001)
      end, function(steps) check_full("killed after " .. steps) end, 20)
    end)

    -- What a worker does with batches, until all are committed.
    local function work(shared, batches)
      local attempt = shared.attempt
      if attempt ~= core.cf_outcome_current(shared).attempt then core.cf_connections_undo(counts.set, attempt) end
      while true do
        local batch = batches[tonumber(core.cf_outcome_current(shared).batches) + 1]
        if not batch then return end
        local next = core.cf_outcome_begin(shared)
        count(next.attempt, batch)
        core.cf_outcome_commit(shared, next)
      end
    end

    it("at any instant of a run, again and again", function()
      make(15000)
      local shared = ffi.gc(core.cf_shared_new(), core.cf_shared_free)
      local batches, random = {}, seeded.new(4242)
      for i = 1, 80 do
        batches[i] = {}
        for k = 1, 150 do batches[i][k] = numbered(random:below(4000), { cell = k % 3 }) end
      end
      local round = 0
      while core.cf_outcome_current(shared).batches < 80 do
        local pid = C.fork()
        if pid == 0 then
          work(shared, batches)
          C._exit(0)
        end
        round = round + 1
        C.usleep(round * 100)
        C.kill(pid, SIGKILL)
        assert(C.waitpid(pid, ffi.new("int[1]"), 0) == pid)
      end
      work(shared, batches)
      -- Every event is a connection of its own here.
      assert.same({ 12000, 4000, 4000, 4000 }, { (run()), (of_cell(0)), (of_cell(1)), (of_cell(2)) })
      assert.equal(0, select(2, run()).is_missing)
    end)
  end)
end)
