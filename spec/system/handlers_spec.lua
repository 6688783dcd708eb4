-- SPDX-License-Identifier: MIT
-- Handlers, timers, extra lines and counters in a real run: they fire, and their numbers survive what ends a worker.
local cellflow = require("cellflow")
local identities = require("identities")
local lab = require("spec.support.lab")
local policy_run = require("policy_run")
local system = require("system")

local lines, counters = policy_run.lines, policy_run.counters

describe("a policy with handlers and timers", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function()
    here = lab.up()
    here:serve()
  end)
  after_each(function()
    cellflow.stop_all()
    policy_run.remove_all()
    here:down()
  end)

  local function extra_of(run, type)
    local _, extra = lines(run)
    local found = {}
    for _, line in ipairs(extra) do
      if line.type == type then found[#found + 1] = line end
    end
    return found
  end

  it("has its timers called in an idle run, with the time of day", function()
    local before = os.time()
    local run = policy_run.start(here, [[
      every(0.2, function(now) emit { type = "beat", now = now } end)]]):ready()
    cellflow.wait_for("three beats", 10, function() return #extra_of(run, "beat") >= 3 end)
    assert.equal(0, run:finish())
    local beats = extra_of(run, "beat")
    for i, beat in ipairs(beats) do
      assert.is_true(beat.now >= before and beat.now <= os.time() + 1)
      assert.is_true(i == 1 or beat.now > beats[i - 1].now)
    end
    local summary = identities.check(run:summary())
    assert.equal(#beats, summary.worker.extra)
    assert.equal(#beats, summary.outputs[1].extra)
    assert.equal(#beats + summary.worker.records, summary.outputs[1].written)
  end)

  it("has timers called while events come without a pause", function()
    local run = policy_run.start(here, 'every(0.05, function() emit { type = "beat" } end)'):ready()
    here:send("--flows 2000 --rate 4000")
    assert.equal(0, run:finish())
    assert.is_true(#extra_of(run, "beat") >= 3)
    identities.check(run:summary())
  end)

  it("runs a timer that was late once", function()
    local run = policy_run.start(here, 'every(0.1, function() emit { type = "beat" } end)'):ready()
    local _, worker = run:pids()
    cellflow.wait_for("a beat", 10, function() return #extra_of(run, "beat") > 0 end)
    assert.is_true(cellflow.kill(worker, "STOP"))
    local before = #extra_of(run, "beat")
    system.sleep(2)
    assert.is_true(cellflow.kill(worker, "CONT"))
    system.sleep(0.05)
    assert.is_true(#extra_of(run, "beat") < before + 10) -- not twenty
    assert.equal(0, run:finish())
  end)

  it("does not wake up without a timer", function()
    local run = policy_run.start(here, 'on("opened", function() end)'):ready()
    local _, worker = run:pids()
    system.sleep(1.5) -- three times it looks by itself
    local function switches()
      return tonumber(lab.read_file("/proc/" .. worker .. "/status"):match("\nvoluntary_ctxt_switches:%s*(%d+)"))
    end
    local before = switches()
    system.sleep(1)
    assert.equal(before, switches())
  end)

  it("hears of start, opened, decision and stop, each once and in order", function()
    local run = policy_run.start(here, [[
      on("start", function() emit { type = "note", what = "start" } end)
      on("opened", { dst_port = 9000 }, function(ev) emit { type = "note", what = "opened", flow = ev.seq } end)
      on("decision", { dst_port = 9000 }, function(record)
        emit { type = "note", what = "decision", decision = record.decision, reason = record.reason_code }
      end)
      on("stop", function() emit { type = "note", what = "stop" } end)
      function verdict(ev) if ev.dst_port == 9000 then return "deny", "test" end end
    ]]):ready()
    here:send("--flows 1 --mix udp4 --port-base 9000 --ports 1")
    cellflow.wait_for("the decision", 10, function() return #extra_of(run, "note") >= 3 end)
    assert.equal(0, run:finish())
    local said = {}
    for _, note in ipairs(extra_of(run, "note")) do
      said[#said + 1] = note.what .. (note.decision and " " .. note.decision .. " " .. note.reason or "")
    end
    assert.same({ "start", "opened", "decision deny test", "stop" }, said)
    identities.check(run:summary())
  end)

  it("hears what the kernel lost, as much as was lost", function()
    local run = policy_run.start(here, [[
      on("lost", function(lost) emit { type = "lost", count = lost.count, total = lost.total } end)
    ]], { "--ring-size", "1" }):ready()
    local _, worker = run:pids()
    assert.is_true(cellflow.kill(worker, "STOP"))
    here:send("--flows 16000 --mix udp4,udp6 --ports 64")
    system.sleep(0.4)
    assert.is_true(cellflow.kill(worker, "CONT"))
    cellflow.wait_for("the loss", 10, function() return run:stdout():find('"type":"lost"', 1, true) end)
    assert.equal(0, run:finish())
    local sum, last = 0, nil
    for _, line in ipairs(extra_of(run, "lost")) do sum, last = sum + line.count, line end
    local summary = identities.check(run:summary())
    assert.is_true(summary.kernel.ring_full > 0)
    assert.equal(summary.kernel.ring_full + summary.kernel.flow_full, sum)
    assert.equal(sum, last.total)
  end)

  it("counts exactly over kill -9 of the worker and SIGHUP", function()
    local text = [[
      local seen, unused = counter("seen"), counter("unused")
      on("opened", function(ev)
        seen:add()
        counter("by protocol", ev.protocol):add()
      end)
      function format() return nil end]]
    local run = policy_run.start(here, text):ready()
    local sent = 0
    for round = 1, 6 do
      sent = sent + here:send(("--flows 400 --seed %d"):format(round)).flows
      local _, worker = run:pids()
      if round % 2 == 1 then
        assert.is_true(cellflow.kill(worker, "KILL"))
      else
        run:signal("HUP")
      end
      run:worker(worker)
    end
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    local counted = counters(summary)
    assert.equal(0, summary.worker.skipped)
    assert.equal(summary.kernel.flow_new, counted.seen)
    assert.is_true(counted.seen >= sent)
    local by_protocol = 0
    for name, value in pairs(counted) do
      if name:match("^by protocol") then by_protocol = by_protocol + value end
    end
    assert.equal(counted.seen, by_protocol)
    assert.equal(0, counted.unused)
    assert.matches("counters  .*seen " .. counted.seen, run:stderr())
  end)

  it("keeps the other handlers, the record and the worker when one fails", function()
    local run = policy_run.start(here, [[
      on("opened", function(ev) error("first") end)
      on("opened", function(ev) emit { type = "second" } end)
      every(0.05, function() error("timer") end)
    ]]):ready()
    here:send("--flows 8")
    system.sleep(0.2)
    assert.equal(0, run:finish())
    local summary, records = identities.check(run:summary()), lines(run)
    assert.equal(#records, summary.reasons.script_error)
    assert.equal(#records, #extra_of(run, "second"))
    assert.is_true(summary.worker.script_errors > #records)
    assert.equal(0, summary.worker.restarts)
    assert.matches("policy%.lua:1$", records[1].error_at)
    assert.matches('first [in on "opened"', run:stderr(), 1, true)
    assert.matches("timer [in every(0.05)", run:stderr(), 1, true)
  end)
end)
