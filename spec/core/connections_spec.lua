-- SPDX-License-Identifier: MIT
--
-- Different connections: which events open one, what is the same one again, and how far the estimate beyond the set is
-- off. What is of batches that are cut off is connections_batch_spec.lua's.
local ffi = require("ffi")
local bit = require("bit")
local core = require("spec.helper").core
local counts = require("connection_counts")
local seeded = require("seeded")

local C = ffi.C
local PORTS, ICMP, ICMP_ID, TCP = counts.PORTS, C.CF_EVENT_ICMP, C.CF_EVENT_ICMP_ID, C.CF_EVENT_TCP
local AGAIN = counts.AGAIN
local make, add, add_again, numbered, add_numbers = counts.make, counts.add, counts.add_again, counts.numbered,
  counts.add_numbers
local run, of_cell = counts.run, counts.of_cell

describe("connections", function()
  before_each(function() make() end)

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
    core.cf_connections_add(counts.set, again)
    local count, out = run()
    assert.same({ 200001, 0, 0 }, { count, out.is_estimate, out.is_missing })
  end)

  it("are the same ones whether they were expected or not", function()
    local events, size = ffi.new("struct cf_event[40]"), ffi.sizeof("struct cf_event")
    for i = 0, 39 do ffi.copy(events[i], numbered(i), size) end
    core.cf_connections_expect(counts.set, events, 40)
    for i = 0, 39 do
      if i % 3 > 0 then core.cf_connections_add(counts.set, events[i]) end
    end
    ffi.copy(events[1], numbered(77), size) -- another one, where one was expected that came
    core.cf_connections_add(counts.set, events[1])
    assert.equal(27, (run()))
    for i = 0, 77 do
      local made = numbered(i, { flags = bit.bor(PORTS, AGAIN[1]) })
      if i == 77 or i < 40 and i % 3 > 0 then core.cf_connections_add(counts.set, made) end
    end
    assert.equal(27, (run()))
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
        core.cf_connections_add(counts.set, numbered(number))
      end
    end
    assert.equal(50000, distinct)
    local count, out = run()
    assert.same({ 50000, 0, 0 }, { count, out.is_estimate, out.is_missing })
    core.cf_connections_add(counts.set, numbered(99999))
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
        core.cf_connections_add(counts.set, made)
      end
      assert.equal(20, (run()))
      assert.equal(0, select(2, run()).is_estimate)
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
