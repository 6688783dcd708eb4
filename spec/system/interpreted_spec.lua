-- SPDX-License-Identifier: MIT
-- limits { interpreted = true }, seen from outside a real worker: LuaJIT's machine code is the only memory of it that
-- is executable and belongs to no file. The same policy without the setting shows that it would be seen.
local cellflow = require("cellflow")
local lab = require("spec.support.lab")
local policy_run = require("policy_run")

local FLOWS = 3000
local POLICY = [[
local talkers, last = window(60), nil
on("opened", function(ev) last = ev.dst_port end)
on("decision", function(record) counter("seen"):add() end)
every(0.05, function() local n = 0 for i = 1, 1000 do n = n + i end counter("ticks"):add(n) end)
function dedup(ev) return false end
function verdict(ev)
  for i = 1, 20 do talkers:add(ev.src_port + i) end
  if ev.dst_port == 3003 then while last do end end
  return "allow", "said"
end
function reason(ev, decision, code) if ev.mark == 9 then return code .. "!" end end
function format(record) return record.decision .. " " .. record.reason_code end]]

-- Sizes of the anonymous executable mappings of a process.
local function machine_code(pid)
  local found = {}
  for line in assert(io.lines(("/proc/%d/maps"):format(pid))) do
    local from, to = line:match("^(%x+)%-(%x+) [-r][-w]x[-p] %x+ 00:00 0%s*$")
    if from then found[#found + 1] = tonumber(to, 16) - tonumber(from, 16) end
  end
  return found
end

describe("a policy that is to be interpreted", function()
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

  local function records(run) return select(2, run:stdout():gsub("allow %S*\n", "")) end

  -- Sends flows that do not get stuck, waits for their records; returns the worker's mappings.
  local function after_flows(run, seed)
    local before = records(run)
    here:send(("--mix udp4,udp6 --flows %d --port-base 3000 --ports 3 --seed %d"):format(FLOWS, seed))
    cellflow.wait_for("the records", 30, function() return records(run) >= before + FLOWS end)
    return machine_code(run:worker())
  end

  -- One flow over which the worker hangs and is ended; its successor has taken events one by one when this returns.
  local function replace_worker(run)
    local old = run:worker()
    here:send("--mix udp4 --flows 1 --port-base 3003 --ports 1 --seed 7")
    run:says("switched off until the policy is read again", 10)
    run:worker(old)
  end

  it("has no machine code, whatever the worker went through", function()
    local run = policy_run.start(here, "limits { interpreted = true, stuck_s = 1, slow_ms = 10000 }\n" .. POLICY)
    run:ready()
    assert.same({}, after_flows(run, 1))
    replace_worker(run)
    assert.same({}, after_flows(run, 2))
    run:signal("HUP")
    run:says("generation 2 is in force", 5)
    assert.same({}, after_flows(run, 3))
    assert.equal(0, run:finish())
    assert.is_true(policy_run.counters(cellflow.parse_lines(run:stdout():match("([^\n]*\n)$"))[1]).ticks > 0)
  end)

  it("has it without the setting, also after it was interpreted for a while", function()
    local run = policy_run.start(here, "limits { stuck_s = 1, slow_ms = 10000 }\n" .. POLICY):ready()
    assert.is_true(#after_flows(run, 1) > 0)
    replace_worker(run)
    assert.is_true(#after_flows(run, 2) > 0)
    assert.equal(0, run:finish())
  end)
end)
