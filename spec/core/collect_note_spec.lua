-- SPDX-License-Identifier: MIT
--
-- What a collector notes for its successor: killed at any instruction of telling an event or of counting a read, the
-- numbers say what is in the host ring, and a flow's end is known as told exactly when it is there.
local ffi = require("ffi")
local helper = require("spec.helper")
local killed_at = require("killed_at")
require("core_headers")("error", "ring", "host_ring", "collect_note")

ffi.cdef([[
void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
int munmap(void *address, size_t length);
]])

local C, core = ffi.C, helper.core
local READ_WRITE, SHARED_ANONYMOUS = 3, 0x21

describe("a collector killed", function()
  local lacking = killed_at.lacking()
  if lacking then return pending(lacking) end

  local host, producer, numbers
  local size = ffi.sizeof("struct cf_collected")

  local function open()
    numbers = ffi.cast("struct cf_collected *", C.mmap(nil, size, READ_WRITE, SHARED_ANONYMOUS, -1, 0))
    host, producer = ffi.new("struct cf_host_ring"), ffi.new("struct cf_host_producer")
    assert.equal(0, core.cf_host_ring_new(host, 65536, nil))
    assert.equal(0, core.cf_host_producer_open(producer, host, nil))
  end

  local function close()
    core.cf_host_producer_close(producer)
    core.cf_host_ring_close(host)
    C.munmap(ffi.cast("void *", numbers), size)
  end

  local function flow_of(mark)
    local flow = ffi.new("struct cf_flow")
    flow.first_seen_ns = mark
    flow.key.addr[0][0], flow.key.port[0] = mark, mark
    return flow
  end

  local function event_of(mark)
    local event = ffi.new("struct cf_event")
    event.first_seen_ns, event.kind = mark, C.CF_KIND_CLOSED
    return event
  end

  local function produced() return core.cf_host_ring_produced(producer) end

  local function records() return tonumber(produced()) / (8 + C.CF_EVENT_RING_LEN) end

  -- Telling the end of a flow, in its steps.
  local function steps_of(mark)
    local flow, event = flow_of(mark), event_of(mark)
    return {
      function(call) call(core.cf_note_closed, numbers, produced(), flow) end,
      function(call) call(core.cf_note_put, numbers, produced(), C.CF_KIND_CLOSED) end,
      function(call) call(core.cf_host_ring_put, producer, event) end,
      function(call) call(core.cf_note_end, numbers, 1) end,
    }
  end

  local function now(fn, ...) return fn(...) end

  -- What a successor finds, after `steps` instructions of step `which` of telling the third flow.
  local function check_after(which, steps)
    open()
    for mark = 1, 2 do
      for _, step in ipairs(steps_of(mark)) do step(now) end
    end
    local unfinished
    for i, step in ipairs(steps_of(3)) do
      if i < which then step(now) end
      if i == which then step(function(...) unfinished = killed_at.after(steps, nil, ...) end) end
    end
    core.cf_note_recover(numbers, produced())
    local there, what = records(), ("step %d, instruction %d"):format(which, steps)
    assert.equal(there, tonumber(numbers.submitted), what)
    assert.equal(there, tonumber(numbers.told[C.CF_KIND_CLOSED]), what)
    assert.equal(0ULL, numbers.put.is_due)
    if there == 3 then
      assert.equal(1, core.cf_note_was_closed(numbers, produced()), what)
      assert.equal(3ULL, numbers.closed.first_seen_ns)
    elseif core.cf_note_was_closed(numbers, produced()) == 1 then
      -- Told, and therefore not a word of the one that was not.
      assert.equal(2ULL, numbers.closed.first_seen_ns, what)
      assert.equal(2, numbers.closed.key.port[0], what)
    end
    close()
    return unfinished, there
  end

  it("while it tells a flow's end: the numbers are those of the ring, and told is what is in it", function()
    local seen = {}
    for which = 1, 4 do
      local steps, unfinished, there = 0
      repeat
        unfinished, there = check_after(which, steps)
        seen[there] = true
        steps = steps + (steps < 60 and 1 or 5) -- after that it is checks, in a sanitizer
      until not unfinished
      assert.is_true(steps > 5)
    end
    assert.same({ [2] = true, [3] = true }, seen)
  end)

  it("while it counts a read of NFLOG: all of it is counted, or nothing", function()
    local steps, seen, unfinished = 0, {}
    local socket = ffi.new("struct cf_collected_socket", { cookie = 9, next_seq = 77, unsettled = 3 })
    local next_numbers = ffi.new("struct cf_collected_nflog", { packets = 7, parsed = 6, unparsed = 1, flow_new = 6 })
    repeat
      open()
      unfinished = killed_at.after(steps, nil, core.cf_note_nflog, numbers, next_numbers, 5, socket)
      core.cf_note_recover(numbers, produced())
      local n = numbers.nflog
      local got = table.concat({ tonumber(n.packets), tonumber(n.parsed), tonumber(n.unparsed), tonumber(n.flow_new),
        tonumber(numbers.sockets[5].next_seq), tonumber(numbers.sockets[5].unsettled) }, " ")
      assert.is_true(got == "0 0 0 0 0 0" or got == "7 6 1 6 77 3", got)
      seen[got] = true
      close()
      steps = steps + (steps < 60 and 1 or 5)
    until not unfinished
    assert.same({ ["0 0 0 0 0 0"] = true, ["7 6 1 6 77 3"] = true }, seen)
  end)

  it("while events wait in its memory: they are counted as untold, once", function()
    open()
    numbers.joining, numbers.untold = 4, 1
    core.cf_note_recover(numbers, produced())
    core.cf_note_recover(numbers, produced())
    assert.same({ 5, 0 }, { tonumber(numbers.untold), tonumber(numbers.joining) })
    close()
  end)
end)
