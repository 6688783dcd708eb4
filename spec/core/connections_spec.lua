-- SPDX-License-Identifier: MIT
--
-- Different connections: which events open one, what is the same one again, what a killed worker leaves behind, and
-- how far the estimate beyond the set is off.
local ffi = require("ffi")
local bit = require("bit")
local helper = require("spec.helper")
local core = helper.core
local killed_at = require("killed_at")
local recording_core = require("recording_core")
local seeded = require("seeded")
require("core_headers")("hash", "sketch", "connection_set", "connections", "outcome")
ffi.cdef("int usleep(unsigned int microseconds);")

local C = ffi.C
local PORTS, ICMP, ICMP_ID, TCP = C.CF_EVENT_PORTS, C.CF_EVENT_ICMP, C.CF_EVENT_ICMP_ID, C.CF_EVENT_TCP
local AGAIN = { C.CF_EVENT_REOPENED, C.CF_EVENT_MIDSTREAM }
local SIGKILL = 9
local STRIDE = helper.sanitized and 7 or 1 -- instructions from one kill to the next: a sanitizer's are many more

describe("connections", function()
  local set

  local function make(cap)
    set = ffi.gc(core.cf_connections_new(cap or 1000), core.cf_connections_free)
    assert(set ~= nil)
    return set
  end
  before_each(function() make() end)

  local function event(fields) return recording_core.fill(ffi.new("struct cf_event"), fields) end
  local function add(fields) core.cf_connections_add(set, event(fields)) end

  -- The same tuple, which is no other connection.
  local function add_again(fields)
    local made = event(fields)
    made.flags = bit.bor(made.flags, AGAIN[1])
    core.cf_connections_add(set, made)
  end

  local function run()
    local out = ffi.new("struct cf_connection_count")
    core.cf_connections_of_run(set, out)
    return tonumber(out.count), out
  end

  local function of_cell(slot)
    local out = ffi.new("struct cf_connection_count")
    core.cf_connections_of_cell(set, slot, out)
    return tonumber(out.count), out
  end

  -- An event that differs from others by `number`: its ports, its time.
  local function numbered(number, fields)
    local made = event(fields)
    made.src_port, made.dst_port = number % 65536, math.floor(number / 65536)
    made.first_seen_ns = 1000 + number
    return made
  end

  local function add_numbers(first, last, fields)
    for i = first, last do core.cf_connections_add(set, numbered(i, fields)) end
  end

  it("are none at first, and that is exact", function()
    local count, out = run()
    assert.same({ 0, 0, 0, 0 }, { count, out.error, out.is_estimate, out.is_missing })
    assert.equal(0, (of_cell(0)))
    assert.equal(0, (of_cell(5)))
  end)

  it("count N in parallel to one destination as N", function()
    for port = 40000, 40099 do add({ src_port = port }) end
    assert.equal(100, (run()))
    assert.equal(100, (of_cell(0)))
  end)

  it("are counted exactly while the set grows from area to area, and known in each of them", function()
    make(200000)
    for n = 1, 4 do
      local last = n * 50000
      add_numbers(last - 49999, last)
      assert.equal(last, (run()))
    end
    add_numbers(1, 200000, { flags = bit.bor(PORTS, AGAIN[1]) })
    assert.equal(200000, (run()))
    assert.equal(1, select(2, run()).is_missing)
    make(200000)
    add_numbers(1, 200000)
    local again = numbered(7) -- in the third area by now
    again.first_seen_ns = 500000
    core.cf_connections_add(set, again)
    local count, out = run()
    assert.same({ 200001, 0, 0 }, { count, out.is_estimate, out.is_missing })
  end)

  it("differ by anything in the tuple, and by cell", function()
    add()
    local others = { { src = "10.0.0.2" }, { dst = "192.0.2.8" }, { src_port = 1 }, { dst_port = 1 }, { cell = 1 },
      { protocol = 17, flags = PORTS }, { src = "fd00::1", dst = "fd00::2" },
      { cell = 4096 }, { protocol = 47, flags = 0 }, { protocol = 50, flags = 0 } }
    for i, fields in ipairs(others) do
      add(fields)
      assert.equal(i + 1, (run()))
      add_again(fields)
      assert.equal(i + 1, (run()))
    end
  end)

  it("do not differ by what else an event says, or by fields that are absent", function()
    add()
    for _, fields in ipairs({ { mark = 7 }, { ifindex = 9 }, { vlan = 3 }, { seq = 99 }, { cpu = 3 }, { bytes = 1 },
      { icmp_id = 4 }, { last_seen_ns = 5 }, { first_seen_ns = 5 } }) do
      add_again(fields)
    end
    assert.equal(1, (run()))
    add({ protocol = 47, flags = 0 })
    add_again({ protocol = 47, flags = 0, src_port = 5, dst_port = 6, icmp_id = 7 })
    assert.equal(2, (run()))
  end)

  it("are told apart by the echo identifier, and are no other ICMP", function()
    local six = { src = "fd00::1", dst = "fd00::2" }
    for id = 1, 3 do
      add({ protocol = 1, flags = ICMP + ICMP_ID, icmp_type = 8, icmp_id = id })
      add({ protocol = 58, flags = ICMP + ICMP_ID, icmp_type = 128, icmp_id = id, src = six.src, dst = six.dst })
    end
    assert.equal(6, (run()))
    add({ protocol = 1, flags = ICMP + ICMP_ID, icmp_type = 0, icmp_id = 9 }) -- an answer
    add({ protocol = 1, flags = ICMP, icmp_type = 3, icmp_code = 3 })
    add({ protocol = 58, flags = ICMP + ICMP_ID, icmp_type = 129, icmp_id = 9, src = six.src, dst = six.dst })
    add({ protocol = 58, flags = ICMP, icmp_type = 135, src = six.src, dst = six.dst })
    assert.equal(6, (run()))
  end)

  it("are not closes, updates, ingress, drops, later fragments, or answers", function()
    for _, kind in ipairs({ C.CF_KIND_CLOSED, C.CF_KIND_UPDATED, C.CF_KIND_LOGGED }) do add({ kind = kind }) end
    add({ direction = C.CF_DIRECTION_INGRESS })
    add({ verdict = C.CF_VERDICT_DROP })
    add({ flags = C.CF_EVENT_FRAGMENT })
    for _, flags in ipairs({ 0x12, 0x04, 0x14, 0x52 }) do add({ tcp_flags = flags }) end
    assert.equal(0, (run()))
    assert.equal(0, select(2, run()).is_missing)
    add({ verdict = C.CF_VERDICT_UNKNOWN, tcp_flags = 0x42 }) -- SYN with ECN
    assert.equal(1, (run()))
    add({ kind = C.CF_KIND_CLOSED, first_seen_ns = 2e9 })
    assert.equal(1, (run()))
  end)

  it("are new ones when a tuple is used again, whatever the times say", function()
    for i = 1, 5 do add({ first_seen_ns = i * 1000 }) end
    assert.equal(5, (run()))
    add({ first_seen_ns = 3000 })
    add({ first_seen_ns = 3000 })
    assert.equal(7, (run()))
    assert.equal(0, select(2, run()).is_missing)
  end)

  it("are the same ones when a record that has no kind is told again", function()
    for _ = 1, 3 do
      for i = 1, 5 do add({ bytes = 0, packets = 3, first_seen_ns = i * 1000 }) end
    end
    assert.equal(5, (run()))
    assert.equal(0, select(2, run()).is_missing)
  end)

  for _, flag in ipairs(AGAIN) do
    it(("count once under flag %d, and are a lower bound only when one was passed over"):format(flag), function()
      local flags = bit.bor(PORTS, TCP, flag)
      add({ flags = flags, first_seen_ns = 1000 })
      assert.same({ 1, 0 }, { (run()), select(2, run()).is_missing })
      add({ flags = flags, first_seen_ns = 2000 })
      add({ flags = flags, first_seen_ns = 2000 })
      assert.same({ 1, 1 }, { (run()), select(2, run()).is_missing })
      add({ first_seen_ns = 3000 })
      assert.equal(2, (run()))
    end)
  end

  it("are counted for each cell, by slot and epoch", function()
    make(20)
    add_numbers(1, 7, { cell = 3 })
    add_numbers(1, 5, { cell = 4095 })
    assert.same({ 12, 7, 5, 0, 0 }, { (run()), (of_cell(3)), (of_cell(4095)), (of_cell(4)), (of_cell(3 + 4096)) })
    add_numbers(8, 300, { cell = 3 })
    assert.equal(1, select(2, of_cell(3)).is_estimate)
    assert.equal(0, select(2, of_cell(4095)).is_estimate) -- all of its are in the set
    add_numbers(1000, 1200, { cell = 3 + 4096 }) -- another cell in that slot
    assert.equal(0, (of_cell(3)))
    local count, out = of_cell(3 + 4096)
    assert.is_true(math.abs(count - 201) < 5 * out.error * count)
    assert.equal(0, out.is_missing)
  end)

  it("saturate in a field of 32 bits", function()
    for _, case in ipairs({ { 0ULL, 0 }, { 1ULL, 1 }, { 0xfffffffeULL, 4294967294 }, { 0xffffffffULL, 4294967295 },
      { 0x100000000ULL, 4294967295 }, { 0xffffffffffffffffULL, 4294967295 } }) do
      assert.equal(case[2], core.cf_connections_field(case[1]))
    end
  end)

  it("are exact up to the cap, whatever the order", function()
    make(50000)
    local random = seeded.new(7)
    local seen, distinct = {}, 0
    for _ = 1, 200000 do
      local number = random:below(70000)
      if not seen[number] and distinct < 50000 then
        seen[number], distinct = true, distinct + 1
        core.cf_connections_add(set, numbered(number))
      end
    end
    assert.equal(50000, distinct)
    local count, out = run()
    assert.same({ 50000, 0, 0 }, { count, out.is_estimate, out.is_missing })
    core.cf_connections_add(set, numbered(99999))
    assert.equal(1, select(2, run()).is_estimate)
    assert.equal(50001, (run()))
  end)

  describe("beyond the cap", function()
    -- The key is random, so each set is a draw of its own: of 5 sigma, one of a million is outside.
    for _, total in ipairs({ 1500, 5000, 60000 }) do
      it(("are estimated as said: %d"):format(total), function()
        for _ = 1, 5 do
          make(1000)
          add_numbers(1, total, { cell = 9 })
          local again = (run())
          for _, look in ipairs({ { run() }, { of_cell(9) } }) do
            local count, out = look[1], look[2]
            assert.same({ 1, 0 }, { out.is_estimate, out.is_missing })
            assert.is_true(math.abs(count - total) <= 5 * out.error * total + 1)
            assert.is_true(out.error > 0 and out.error < 0.033)
          end
          add_numbers(1001, 1500, { cell = 9 })
          assert.equal(again, (run()))
        end
      end)
    end

    it("count flagged ones once, and none whose beginning was counted", function()
      for _ = 1, 3 do
        make(100)
        add_numbers(1, 20000)
        local before, out = run()
        local flagged = { flags = bit.bor(PORTS, AGAIN[1]), first_seen_ns = 9e9 }
        assert.equal(0, out.is_missing)
        add_numbers(1, 10000, flagged)
        assert.equal(before, (run()))
        add_numbers(20001, 30000, flagged)
        local count
        count, out = run()
        assert.equal(1, out.is_missing)
        assert.is_true(math.abs(count - 30000) < 5 * out.error * 30000)
      end
    end)

    it("are no less exact for tuples of the set that are used again", function()
      make(10)
      add_numbers(1, 10)
      for i = 1, 10 do
        local made = numbered(i)
        made.first_seen_ns = 5000
        core.cf_connections_add(set, made)
      end
      assert.equal(20, (run()))
      assert.equal(0, select(2, run()).is_estimate)
    end)
  end)

  -- Everything that is said of the run and of a cell.
  local function numbers(slot)
    local all, total = run()
    local cell, cells = of_cell(slot)
    return { all, cell, total.is_missing, cells.is_missing, total.is_estimate, cells.is_estimate }
  end

  -- A batch, as a worker does it.
  local function count(attempt, batch)
    core.cf_connections_begin(set, attempt)
    for _, made in ipairs(batch) do core.cf_connections_add(set, made) end
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
        core.cf_connections_undo(set, attempt)
        core.cf_connections_undo(set, attempt) -- nothing is left to undo
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
      for _, attempt in ipairs({ 0, 1, 2, 4 }) do core.cf_connections_undo(set, attempt) end
      assert.equal(14, (run()))
      core.cf_connections_begin(set, 4) -- and killed
      for _, attempt in ipairs({ 3, 4 }) do core.cf_connections_undo(set, attempt) end
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
        core.cf_connections_undo(set, attempt)
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
      core.cf_connections_undo(set, 2)
      assert.same({ 2, 0, 0 }, { (run()), (of_cell(5)), (of_cell(other)) })
    end)
  end)

  it("stay within bounds whatever a worker left in the memory", function()
    local random = seeded.new(99)
    make(100000)
    local words = ffi.cast("uint32_t **", set)[0] -- sums, area, and the log behind them
    count(1, mixed())
    assert.same({ 1, 5 }, { words[6], words[7] }) -- the log's attempt and length
    for round = 1, 200 do
      count(round, mixed())
      for i = 0, 2000 do
        if random:below(4) == 0 then words[i] = random:below(2) == 0 and 0xffffffff or random:below(2 ^ 32) end
      end
      core.cf_connections_undo(set, words[6])
      words[7] = random:below(C.CF_BATCH_MAX) + 1
      core.cf_connections_undo(set, words[6])
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
        core.cf_connections_seed(set, 4) -- whose estimates are the same each time
        count(1, first)
        before = { (run()), (of_cell(first[1].cell)) }
        count(2, batch)
      end
      local function finish()
        count(3, batch)
        core.cf_connections_add(set, last)
        local all = numbers(last.cell)
        for _, made in ipairs(first) do -- are all known
          made.flags = bit.bor(made.flags, AGAIN[1])
          core.cf_connections_add(set, made)
          made.flags = bit.band(made.flags, bit.bnot(AGAIN[1]))
        end
        all[#all + 1] = (run())
        return all
      end
      fresh()
      core.cf_connections_undo(set, 2)
      expected = finish()
      assert.equal(expected[1], expected[7])
      at_every_instruction(fresh, function(steps)
        return killed_at.after(steps, core.cf_hash64, core.cf_connections_add, set, last)
      end, function(steps)
        core.cf_connections_undo(set, 2)
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
        return killed_at.after(steps, nil, core.cf_connections_begin, set, 2)
      end, function(steps)
        core.cf_connections_undo(set, 2)
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
        killed_at.after(math.floor(steps / 2), nil, core.cf_connections_undo, set, 2)
        return killed_at.after(steps, nil, core.cf_connections_undo, set, 2)
      end, function(steps)
        core.cf_connections_undo(set, 2)
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
        if i % C.CF_BATCH_MAX == 0 then core.cf_connections_begin(set, i) end
        core.cf_connections_add(set, of[i])
      end
    end

    local function make_full()
      make(200000)
      events = events or make_events()
      add_all(events)
    end

    local function check_full(what)
      core.cf_connections_undo(set, 1000001)
      count(1000002, numbers_from(FULL, FULL + 9))
      core.cf_connections_undo(set, 1000002)
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
          core.cf_connections_begin(set, 1000001)
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
          if i % C.CF_BATCH_MAX == 1 then core.cf_connections_begin(set, i) end
          core.cf_connections_add(set, numbered(i))
        end
        C._exit(0)
      end
      assert(C.waitpid(pid, ffi.new("int[1]"), 0) == pid)
      count(last + 1, numbers_from(last - 200, last, { flags = bit.bor(PORTS, AGAIN[1]) }))
      assert.same({ last, last, 1 }, { (run()), (of_cell(0)), select(2, run()).is_missing })
    end)

    by_instruction("at any instruction between the move and its end", function()
      at_every_instruction(make_full, function(steps)
        return killed_at.after(steps, core.cf_connection_set_copy, core.cf_connections_begin, set, 1000001)
      end, function(steps) check_full("killed after " .. steps) end, 20)
    end)

    -- What a worker does with batches, until all are committed.
    local function work(shared, batches)
      local attempt = shared.attempt
      if attempt ~= core.cf_outcome_current(shared).attempt then core.cf_connections_undo(set, attempt) end
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

describe("a sketch", function()
  it("is empty at first, and finite whatever is in it", function()
    for _, bits in ipairs({ 4, 10, 14 }) do
      local registers = ffi.new("uint8_t[?]", 2 ^ bits)
      assert.equal(0, core.cf_sketch_estimate(registers, bits))
      for _, byte in ipairs({ 1, 64 - bits, 65 - bits, 255 }) do
        ffi.fill(registers, 2 ^ bits, byte)
        local estimate = core.cf_sketch_estimate(registers, bits)
        assert.is_true(estimate > 0 and estimate <= 2 ^ 64)
      end
    end
  end)
end)
