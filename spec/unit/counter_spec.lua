-- SPDX-License-Identifier: MIT
-- counter: names, labels and amounts. How exact the numbers are is spec/core's and spec/system's.
local ffi = require("ffi")
require("spec.helper")
local recording = require("recording_core")

local function counted(text, events)
  local endings, out = recording.run(text, events)
  return out.counters, out, endings
end

describe("a counter", function()
  it("counts one, or what it is told, and says how much", function()
    local counters, out = counted([[
      local a = counter("a")
      function verdict() a:add() a:add(5) a:add(0) emit(tostring(a:get())) end]])
    assert.same({ a = 6 }, counters)
    assert.same({ "6" }, out.extra)
  end)
  it("of one name and label is one, wherever it is named", function()
    local counters = counted([[
      local port = counter("port", 443)
      function verdict(ev)
        port:add()
        counter("port", ev.dst_port):add()
        counter("port", ev.protocol):add()
        counter("port"):add()
      end]], { {}, {} })
    assert.same({ ["port[443]"] = 4, ["port[tcp]"] = 2, port = 2 }, counters)
  end)
  it("that was declared is known from the start", function()
    local host, out = recording.host('counter("a") counter("a", "x")')
    assert.same({}, out.counters)
    host.moment("start", 1, 0, 0)
    assert.same({ a = 0, ["a[x]"] = 0 }, out.counters)
  end)
  it("makes a bounded number of objects", function()
    local core, out = recording.new()
    local slots, last = {}, 0
    function core.cf_counter_slot(_, _, label) slots[#slots + 1] = label return #slots end
    function core.cf_counter_add(slot) last = slot end
    local host, batch = require("cellflow.host").new(core), core.cf_batch_get()
    host.load('function verdict(ev) counter("a", ev.seq):add() end', "p.lua", {}, ffi.new("struct cf_plan"))
    for batch_number = 0, 3 do
      for i = 0, 255 do recording.fill(batch.events[i], { seq = batch_number * 256 + i + 1 }) end
      host.batch(256)
    end
    assert.equal(0, out.script_errors)
    assert.equal(512, #slots)
    assert.equal(511, last)
  end)
  local WRONG = {
    { "counter()", "counter takes a name, got nil" },
    { "counter('')", "counter: the name must not be empty" },
    { "counter(('x'):rep(64))", "counter: the name is 64 bytes long, at most 63 fit" },
    { "counter('a', true)", "counter: the label must be text or a number, got true" },
    { "counter('a'):add(-1)", "counter:add takes a whole number, not negative, got -1" },
    { "counter('a'):add(0.5)", "counter:add takes a whole number, not negative, got 0.5" },
    { "counter('a'):add('1')", 'counter:add takes a whole number, not negative, got "1"' },
    { "counter('a'):add(0/0)", "counter:add takes a whole number, not negative" },
    { "counter('a'):ad()", 'a counter has no member "ad"' },
    { "counter('a').value = 3", "a counter cannot be changed; use :add(n)" },
  }
  for _, case in ipairs(WRONG) do
    it("refuses " .. case[1], function()
      local _, out, endings = counted("function verdict(ev)\n" .. case[1] .. " end")
      assert.equal("cellflow.lua:2", endings[1].error_place)
      assert.matches(case[2], out.log[1].text, 1, true)
    end)
  end
  it("does not count while the file is read", function()
    assert.equal("cellflow.lua:1: a counter may only be used in functions, not while the file is read",
      recording.load_error('counter("a"):add()'))
  end)
end)
