-- SPDX-License-Identifier: MIT
-- on: which handler hears of what, in which order, and what an error in one costs.
require("spec.helper")
local recording = require("recording_core")

local run = recording.run

local function told(out)
  local texts = {}
  for _, line in ipairs(out.extra) do texts[#texts + 1] = line end
  return table.concat(texts, " ")
end

describe("on", function()
  it("tells of events of its kind only, in the order written, before dedup", function()
    local _, out = run([[
      on("opened", function(ev) emit("a" .. ev.seq) end)
      on("closed", function(ev) emit("c" .. ev.seq) end)
      on("opened", function(ev) emit("b" .. ev.seq) end)
      function dedup(ev) emit("dedup") return 1 end]], { {}, { kind = 3 }, { kind = 4 } })
    assert.equal("a1 b1 dedup c2 dedup dedup", told(out))
  end)
  it("tells of an event that is then deduplicated, but not of its decision", function()
    local endings, out = run([[
      on("opened", function(ev) emit("opened") end)
      on("decision", function(record) emit("decision") end)
      function dedup(ev) return 1 end]], { {}, {} })
    assert.equal("deduplicated", endings[2].how)
    assert.equal("opened decision opened", told(out))
  end)
  it("tells of the decision as it is written, before format", function()
    local endings, out = run([[
      on("decision", function(r) emit(r.decision .. " " .. r.reason_code .. " " .. r.rule) end)
      function verdict() return "deny", "x", "r" end
      function reason(_, _, code) return code .. "y" end
      function format(r) emit("format") return nil end]])
    assert.equal("deny xy r format", told(out))
    assert.equal("suppressed", endings[1].how)
  end)
  it("matches exact values, lists and both kinds of truth", function()
    local _, out = run([[
      on("opened", { dst_port = 22 }, function() emit("ssh") end)
      on("opened", { dst_port = { 22, 23 }, protocol = "tcp" }, function() emit("either") end)
      on("opened", { fragment = false, dst_addr = "192.0.2.7" }, function() emit("whole") end)
      on("opened", { icmp_type = 8 }, function() emit("never") end)
      on("decision", { dst_port = 23 }, function() emit("decided") end)]], { { dst_port = 22 }, { dst_port = 23 },
      { dst_port = 24, dst = "10.0.0.1" } })
    assert.equal("ssh either whole either whole decided", told(out))
  end)
  it("matches ranges and networks", function()
    local _, out = run([[
      on("opened", { dst_port = { 22, "8000-8100" }, dst_addr = "192.0.2.0/24" }, function(ev)
        emit(ev.dst_port .. "")
      end)]], { { dst_port = 8050 }, { dst_port = 8101 }, { dst_port = 22 }, { dst_port = 22, dst = "192.0.3.1" } })
    assert.equal("8050 22", told(out))
  end)
  it("makes an emitted record the one that core writes", function()
    local _, out = run([[
      function verdict() return "deny", "x", "r" end
      on("decision", function(record) emit(record) end)]], { {}, {} })
    assert.same({ decision = "deny", reason = "x", rule = "r", place = "cellflow.lua:1", seq = 2 }, out.extra[2])
  end)
  it("keeps a decided record as it is", function()
    local endings, out = run('on("decision", function(record)\n record.rule = "mine" end)')
    assert.equal("cellflow.lua:2", endings[1].error_place)
    assert.matches("a record can be changed in format only", out.log[1].text, 1, true)
  end)
  it("with handlers only, every event still has its record", function()
    local endings = run('on("closed", function() end)', { {}, { verdict = 2 } })
    assert.same({ "ebpf_flow_observed", "ebpf_xdp_drop" }, { endings[1].reason, endings[2].reason })
  end)
end)

local WRONG = {
  { "on('opend', print)", 'on: there is no kind "opend" (did you mean "opened"?); the kinds are opened, updated,' },
  { "on(1, print)", "on: there is no kind 1; the kinds are" },
  { "on('opened')", 'on "opened" takes a function, got nil' },
  { "on('opened', 'x', print)", 'on "opened" takes a function, or a match table and a function; got "x"' },
  { "on('opened', {}, 5)", 'on "opened" takes a function, got 5' },
  { "on('start', { dst_port = 1 }, print)", 'on "start" has no event that a match table could match' },
  { "on('opened', { dst_prt = 1 }, print)",
    'on "opened": a match has no field "dst_prt" (did you mean "dst_port"?)' },
  { "for i = 1, 65 do on('opened', print) end", 'on "opened" is one too many; there can be 64 handlers' },
  { "every(0, print)", "every takes a number of seconds from 0.01 to 31622400, got 0" },
  { "every('1', print)", 'every takes a number of seconds from 0.01 to 31622400, got "1"' },
  { "every(1)", "every takes seconds and a function, got nil" },
  { "for i = 1, 65 do every(1, print) end", "every is used once too often; there can be 64 timers" },
  { "emit('x')", "emit() may only be used in functions, not while the file is read" },
}

describe("a wrong declaration", function()
  for _, case in ipairs(WRONG) do
    it("is refused: " .. case[1], function()
      local err = recording.load_error("\n" .. case[1])
      assert.equal("cellflow.lua:2: " .. case[2], err:sub(1, #case[2] + 16))
    end)
  end
  it("is refused once the file was read", function()
    local _, out = run([[function verdict() on("opened", print) end
      function reason() every(1, print) end]])
    assert.matches("cellflow.lua:1: on() may only be used while the file is read", out.log[1].text, 1, true)
    assert.matches("cellflow.lua:2: every() may only be used while the file is read", out.log[2].text, 1, true)
  end)
end)

describe("an error in a handler", function()
  it("costs that event that handler; the others, the hooks and the record stay", function()
    local endings, out = run([[
      on("opened", function() emit("1") end)
      on("opened", function(ev) if ev.seq == 1 then error("boom") end emit("2") end)
      on("opened", function() emit("3") end)
      function verdict() return "deny", "x" end]], { {}, {} })
    assert.equal("1 3 1 2 3", told(out))
    assert.same({ how = "record", seq = 1, decision = "deny", reason = "script_error", place = "cellflow.lua:4",
      error_place = "cellflow.lua:2" }, endings[1])
    assert.same({ "x", nil }, { endings[2].reason, endings[2].error_place })
    assert.equal(1, out.script_errors)
    assert.equal('cellflow.lua:2: boom [in on "opened"; cellflow.lua:2]', out.log[1].text)
  end)
  it("of a decision leaves the ones after it and format", function()
    local endings, out = run([[
      on("decision", function() error("boom") end)
      on("decision", function(r) emit(r.reason_code) end)
      function format(r) emit("format") return r.error_at end]])
    assert.equal("script_error format", told(out))
    assert.equal("cellflow.lua:1", endings[1].line)
  end)
  it("and in every other place names the first", function()
    local endings, out = run([[
      on("opened", function() error("a") end)
      on("opened", function() error("b") end)
      function dedup() error("c") end
      on("decision", function() error("d") end)
      function format() error("e") end]])
    assert.same({ "record", "script_error", "cellflow.lua:1" },
      { endings[1].how, endings[1].reason, endings[1].error_place })
    assert.equal(5, out.script_errors)
  end)
  it("a thousand times in a row ends it, and only it", function()
    local host, out, batch = recording.host([[
      on("opened", function() error("boom") end)
      on("opened", function() counter("second"):add() end)]])
    for i = 0, 255 do recording.fill(batch.events[i]) end
    for _ = 1, 5 do host.batch(256) end
    assert.equal(1000, out.script_errors)
    assert.equal(1280, out.counters.second)
    assert.equal('cellflow.lua:1: on "opened" failed 1000 times in a row and is not asked again until the policy is '
      .. "reloaded", out.log[2].text)
  end)
  it("is forgotten by a success in between", function()
    local host, out, batch = recording.host('on("opened", function(ev) if ev.seq < 200 then error("x") end end)')
    for i = 0, 255 do recording.fill(batch.events[i], { seq = i + 1 }) end
    for _ = 1, 10 do host.batch(256) end
    assert.equal(1990, out.script_errors)
  end)
end)

describe("moments", function()
  it("start and stop are told without anything, lost with what was lost", function()
    local host, out = recording.host([[
      on("start", function(...) emit("start" .. select("#", ...)) end)
      on("lost", function(lost) emit(lost.count .. "/" .. lost.total) lost.count = 0 end)
      on("lost", function(lost) emit(lost) end)
      on("stop", function() emit("stop") end)]])
    assert.equal(1, out.plan.limits.wants_lost)
    host.moment("start", 5, 0, 0)
    host.moment("lost", 6, 3, 10)
    host.moment("stop", 7, 0, 0)
    assert.equal('start1 3/10 {"count":3,"total":10} stop', told(out))
  end)
  it("an error is counted and logged, and the next is told all the same", function()
    local host, out = recording.host('on("start", function() error("x") end) on("start", function() emit("y") end)')
    host.moment("start", 5, 0, 0)
    assert.equal("y", told(out))
    assert.equal(1, out.script_errors)
    assert.equal('cellflow.lua:1: x [in on "start"; cellflow.lua:1]', out.log[1].text)
  end)
  it("the plan wants no losses without a handler", function()
    local _, out = recording.host('on("start", function() end)')
    assert.equal(0, out.plan.limits.wants_lost)
  end)
end)

describe("every", function()
  local function fired(out, host, now)
    local before = #out.extra
    local nearest = host.moment("timer", now, 0, 0)
    local names = {}
    for i = before + 1, #out.extra do names[#names + 1] = out.extra[i] end
    return table.concat(names, " "), nearest
  end
  it("fires when due, and says when the next is", function()
    local host, out = recording.host('every(1, function() emit("a") end) every(2.5, function() emit("b") end)')
    assert.equal(11, host.moment("start", 10, 0, 0))
    assert.same({ "", 11 }, { fired(out, host, 10.9) })
    assert.same({ "a", 12 }, { fired(out, host, 11) })
    assert.same({ "a", 12.5 }, { fired(out, host, 12) })
    assert.same({ "b", 13 }, { fired(out, host, 12.5) })
  end)
  it("fires once when late, and keeps its beat", function()
    local host, out = recording.host('every(1, function() emit("a") end)')
    host.moment("start", 10, 0, 0)
    assert.same({ "a", 18 }, { fired(out, host, 17.3) })
    assert.same({ "a", 19 }, { fired(out, host, 18) })
  end)
  it("is given seconds since 1970", function()
    local host, out = recording.host('every(1, function(now) emit(tostring(now)) end)')
    host.moment("start", 10, 0, 0)
    host.moment("timer", 11, 0, 0)
    local wall = require("spec.helper").core.cf_wall_seconds(11000000000ULL)
    assert.is_true(math.abs(tonumber(out.extra[1]) - wall) < 1)
  end)
  it("says that there is none", function()
    local host = recording.host("")
    assert.equal(0, host.moment("start", 10, 0, 0))
  end)
  it("fails like a handler: counted, and ended after a thousand times in a row", function()
    local host, out = recording.host('every(1, function() error("x") end) every(1, function() emit("y") end)')
    host.moment("start", 0, 0, 0)
    for now = 1, 1100 do host.moment("timer", now, 0, 0) end
    assert.equal(1000, out.script_errors)
    assert.equal(1100, #out.extra)
    assert.matches("cellflow.lua:1: every(1) failed 1000 times in a row", out.log[2].text, 1, true)
  end)
end)

describe("check", function()
  it("finds mistakes in every kind of handler and in timers", function()
    local found = recording.host([[
      on("opened", function(ev) return ev.nope end)
      on("closed", { protocol = "udp" }, function(ev) return ev.close_reason + nil end)
      on("decision", function(record) return record.nope end)
      on("lost", function(lost) return lost.count .. nil end)
      on("start", function() nonsense() end)
      every(1, function() emit(5) end)
      on("stop", function() window("x") end)]]).check()
    table.sort(found)
    assert.equal(7, #found)
    for line, text in ipairs(found) do assert.equal(("cellflow.lua:%d: "):format(line), text:sub(1, 16)) end
  end)
  it("is satisfied by what is right", function()
    assert.same({}, recording.host([[
      local talkers, seen = window(60), counter("seen")
      on("opened", function(ev) talkers:add(ev.dst_addr) seen:add() emit(ev:copy()) end)
      on("decision", function(record) emit(record) end)
      every(1, function(now) emit { type = "top", now = now, list = talkers:top(3) } end)]]).check())
  end)
  it("comes back from a handler that does not", function()
    local found = recording.host('on("opened", function() while true do end end)').check()
    assert.matches("is there a loop without an end", found[1], 1, true)
  end)
end)
