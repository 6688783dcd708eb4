-- SPDX-License-Identifier: MIT
-- What LuaJIT's compiler did in a run: in the summary at the end and live, over all its workers, and nothing at all
-- where the policy is interpreted. How it comes to rest under steady traffic is scripts/soak's question.
local cellflow = require("cellflow")
local lab = require("spec.support.lab")
local policy_run = require("policy_run")

local FLOWS = 3000
local POLICY = "function verdict(ev) if ev.dst_port == 3003 then return 'deny', 'said' end return 'allow', 'said' end\n"
local LINE = "  compiler  (%d+) traces compiled, (%d+) aborted, (%d+) flushes\n"

describe("the compiler's numbers", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function()
    here = lab.up()
    here:serve("--port-base 3000 --ports 8 --seconds 60")
  end)
  after_each(function()
    cellflow.stop_all()
    policy_run.remove_all()
    here:down()
  end)

  -- Every line of the run's log that tells them: { { compiled =, aborted =, flushed = } }.
  local function told(run)
    local list = {}
    for compiled, aborted, flushed in run:stderr():gmatch(LINE) do
      list[#list + 1] = { compiled = tonumber(compiled), aborted = tonumber(aborted), flushed = tonumber(flushed) }
    end
    return list
  end

  local function send(run, expected, mix)
    here:send(("--mix " .. (mix or "udp4") .. " --flows %d --port-base 3000 --ports 8"):format(FLOWS))
    cellflow.wait_for("the records", 30, function()
      return select(2, run:stdout():gsub('"network_flow_decision"', "")) >= expected
    end)
  end

  local function ask(run)
    local before = #told(run)
    run:signal("USR1")
    return cellflow.wait_for("the summary", 10, function()
      local list = told(run)
      return #list > before and list[#list]
    end)
  end

  it("are in the summary, live and at the end, as text and as JSON", function()
    local run = policy_run.start(here, POLICY)
    run:ready()
    send(run, FLOWS)
    local live = ask(run)
    assert.is_true(live.compiled > 0)
    assert.equal(0, run:finish())
    local list = told(run)
    local last = list[#list]
    assert.is_true(last.compiled >= live.compiled and last.aborted >= live.aborted)
    assert.same(last, run:summary().compiler)
    assert.equal(0, last.flushed)
  end)

  it("add up over the workers of a run", function()
    local run = policy_run.start(here, POLICY)
    run:ready()
    send(run, FLOWS)
    local first, worker = ask(run), run:worker()
    assert.is_true(first.compiled > 0)
    cellflow.kill(worker, "KILL")
    run:worker(worker)
    send(run, 2 * FLOWS, "udp6") -- other flows than before
    assert.equal(0, run:finish())
    local summary = run:summary()
    assert.equal(1, summary.worker.restarts)
    assert.is_true(summary.compiler.compiled > first.compiled)
    assert.is_true(summary.compiler.aborted >= first.aborted)
    assert.equal(0, summary.compiler.flushed)
  end)

  it("are 0 where the policy is interpreted", function()
    local run = policy_run.start(here, "limits { interpreted = true }\n" .. POLICY)
    run:ready()
    send(run, FLOWS)
    assert.equal(0, run:finish())
    assert.same({ compiled = 0, aborted = 0, flushed = 0 }, run:summary().compiler)
  end)
end)
