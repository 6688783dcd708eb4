-- SPDX-License-Identifier: MIT
-- window: what counts, for how long, and what is forgotten first. Time is the events' own.
require("spec.helper")
local recording = require("recording_core")

local SECOND = 1000000000ULL

-- Runs verdict once for each { seconds, dst_port }; returns what was emitted.
local function at_times(text, times)
  local events = {}
  for i, time in ipairs(times) do
    events[i] = { last_seen_ns = SECOND * 1000 + (time[1] * 16) * (SECOND / 16), dst_port = time[2] or 1 }
  end
  local _, out = recording.run(text, events)
  assert.same({}, out.log)
  return out.extra
end

local ADD = 'local w = window(16) function verdict(ev) emit(tostring(w:add(ev.dst_port))) end'

describe("a window", function()
  it("counts each key by itself", function()
    assert.same({ "1", "2", "1", "3" }, at_times(ADD, { { 0, 1 }, { 1, 1 }, { 2, 2 }, { 3, 1 } }))
  end)
  it("forgets what is older than its seconds, and nothing that is younger than 15 sixteenths of them", function()
    assert.same({ "1", "2", "2", "1" }, at_times(ADD, { { 0 }, { 15 }, { 16 }, { 64 } }))
    assert.same({ "1", "1" }, at_times(ADD, { { 0.9375 }, { 16 } }))
    assert.same({ "1", "2" }, at_times(ADD, { { 0.9375 }, { 15.875 } }))
  end)
  it("adds amounts, and counts a late event as of now", function()
    assert.same({ "5.5", "11" }, at_times("local w = window(16) function verdict() emit(tostring(w:add('k', 5.5))) end",
      { { 20 }, { 3 } }))
  end)
  it("counts without adding", function()
    assert.same({ "0", "1", "0" }, at_times([[local w = window(16)
      function verdict(ev) emit(tostring(w:count("k"))) if ev.dst_port == 1 then w:add("k") end end]],
      { { 0, 1 }, { 1, 2 }, { 40, 2 } }))
  end)
  it("lists the largest, and of equals always the same ones first", function()
    local extra = at_times([[local w = window(16)
      function verdict(ev)
        w:add(ev.dst_port)
        if ev.seq == 7 then emit { top = w:top(2) } emit { all = w:top() } end
      end]], { { 0, 9 }, { 1, 3 }, { 2, 5 }, { 3, 3 }, { 4, 8 }, { 5, 5 }, { 6, 3 } })
    assert.same({ '{"top":[{"count":3,"key":3},{"count":2,"key":5}]}',
      '{"all":[{"count":3,"key":3},{"count":2,"key":5},{"count":1,"key":8},{"count":1,"key":9}]}' }, extra)
  end)
  it("tops out among keys that count the same, in the order of their names", function()
    local extra = at_times([[local w = window(16)
      function verdict(ev)
        w:add(ev.dst_port)
        if ev.seq == 7 then emit { top = w:top(2) } end
      end]], { { 0, 1 }, { 1, 2 }, { 2, 3 }, { 3, 4 }, { 4, 5 }, { 5, 6 }, { 6, 1 } })
    assert.same({ '{"top":[{"count":2,"key":1},{"count":1,"key":2}]}' }, extra)
  end)
  it("in a timer has the timer's time", function()
    local host, out, batch = recording.host([[local w = window(10)
      on("opened", function() w:add("k") end)
      every(1, function() emit(tostring(w:count("k"))) end)]])
    recording.fill(batch.events[0], { last_seen_ns = 100 * SECOND })
    host.moment("start", 100, 0, 0)
    host.batch(1)
    host.moment("timer", 105, 0, 0)
    host.moment("timer", 111, 0, 0)
    assert.same({ "1", "0" }, out.extra)
  end)
  it("forgets small keys when there are too many, keeps large ones, and says how many went", function()
    local host, out = recording.host([[local w = window(1000)
      every(1, function()
        w:add("large", 1000)
        for key = 1, 60000 do w:add(key) end
        emit { large = w:count("large"), last = w:count(60000), top = w:top(1)[1].key, forgotten = w:forgotten() }
      end)]])
    host.moment("start", 1, 0, 0)
    host.moment("timer", 2, 0, 0)
    assert.same({ '{"forgotten":10001,"large":1000,"last":1,"top":"large"}' }, out.extra)
  end)
  it("reuses the room of keys that are over without calling them forgotten", function()
    local host, out = recording.host([[local w, base = window(10), 0
      every(100, function()
        for key = 1, 50000 do w:add(base + key) end
        base = base + 50000
        emit(tostring(w:forgotten()))
      end)]])
    host.moment("start", 1, 0, 0)
    host.moment("timer", 101, 0, 0)
    host.moment("timer", 201, 0, 0)
    assert.same({ "0", "0" }, out.extra)
  end)
  local WRONG = {
    { "w:add()", "window:add takes a key (text or number), got nil" },
    { "w:add(ev)", "window:add takes a key (text or number), got a flow event" },
    { "w:add('k', -1)", "window:add takes a number that is not negative, got -1" },
    { "w:count({})", "window:count takes a key (text or number), got a table" },
    { "w:top(0)", "window:top takes a whole number from 1 to 1000, got 0" },
    { "w:tob(1)", 'a window has no member "tob" (did you mean "top"?)' },
    { "w.x = 1", "a window cannot be changed" },
    { "window(0)", "window takes a number of seconds above 0, at most 31622400, got 0" },
  }
  for _, case in ipairs(WRONG) do
    it("refuses " .. case[1], function()
      local endings, out = recording.run("local w = window(10) function verdict(ev)\n" .. case[1] .. " end")
      assert.equal("cellflow.lua:2", endings[1].error_place)
      assert.matches(case[2], out.log[1].text, 1, true)
    end)
  end
  it("is of no use while the file is read", function()
    assert.equal("cellflow.lua:1: a window may only be used in functions, not while the file is read",
      recording.load_error('window(1):add("k")'))
  end)
end)
