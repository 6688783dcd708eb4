-- SPDX-License-Identifier: MIT
-- The count of different connections of a real run: parallel ones, tuples that go on, live and at the end, with workers
-- that are killed meanwhile, beyond the cap, and where events were lost.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local identities = require("identities")
local policy_run = require("policy_run")
local system = require("system")

local NAME = "exercised_egress_connections"

describe("the count of connections", function()
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

  local function start(...)
    return cellflow.start({ args = { "--netns", here.cell, "--summary-record", ... } }):ready()
  end

  local function finish(run)
    assert.equal(0, run:finish(20))
    local summary = identities.check(run:summary())
    return summary, summary.cells[1]
  end

  it("is exact, live and in the summary, and has answers and packets of known flows in it only once", function()
    local run = start()
    here:send("--mix tcp4,tcp6 --ports 1 --flows 40 --packets 3") -- at once, to one destination of each family
    here:send("--mix udp4 --ports 1 --flows 5 --packets 50 --seed 3")
    here:send("--mix udp4 --ports 1 --flows 5 --packets 50 --seed 3") -- the same tuples
    here:exec("cell", "ping -q -c 3 -i 0.05 " .. lab.peer4)
    here:exec("peer", "ping -q -c 3 -i 0.05 " .. lab.cell4) -- the cell only answers
    cellflow.wait_for("46 connections", 10, function()
      run:signal("USR1")
      system.sleep(0.05)
      return run:stderr():find("  egress    46 connections (exact)", 1, true)
    end)
    local summary, cell = finish(run)
    assert.same({ 46, "exact" }, { summary[NAME], summary[NAME .. "_are"] })
    assert.same({ 46, "exact" }, { cell.connections, cell.connections_are })
    assert.is_nil(summary[NAME .. "_error"])
    assert.is_true(summary.flows > 46)
  end)

  it("is the same when workers are killed", function()
    local FLOWS = 8000
    local run, worker = start(), nil
    local load = here:start("cell", ("build/flowgen --mix udp4,udp6 --flows %d --rate 8000 --to4 %s --to6 %s")
      :format(FLOWS, lab.peer4, lab.peer6))
    for _ = 1, 4 do
      worker = run:worker(worker)
      system.sleep(0.02 + math.random() * 0.15)
      assert.is_true(cellflow.kill(worker, "KILL"))
    end
    cellflow.wait_for("the sender to end", 20, function() return not cellflow.is_alive(load.pid) end)
    run:worker(worker)
    local summary, cell = finish(run)
    assert.is_true(summary.worker.restarts >= 4)
    assert.same({ FLOWS, "exact" }, { summary[NAME], summary[NAME .. "_are"] }) -- those of events skipped as well
    assert.same({ FLOWS, "exact" }, { cell.connections, cell.connections_are })
  end)

  it("is a lower bound where events were lost", function()
    local run = start("--ring-size", "1")
    local _, worker = run:pids()
    assert.is_true(cellflow.kill(worker, "STOP"))
    here:send("--mix udp4,udp6 --flows 12000")
    assert.is_true(cellflow.kill(worker, "CONT"))
    local summary, cell = finish(run)
    assert.is_true(summary.kernel.ring_full > 0)
    assert.equal("lower bound", summary[NAME .. "_are"])
    assert.equal("lower bound", cell.connections_are)
    -- Neighbour discovery is among the events, but not among the connections.
    assert.is_true(summary[NAME] <= summary.kernel.event_submitted)
    assert.is_true(summary[NAME] >= summary.kernel.event_submitted - 20)
    assert.matches(("egress    %d connections (lower bound)"):format(summary[NAME]), run:stderr(), 1, true)
  end)

  it("is an estimate beyond the cap, with its error", function()
    local run = start("--connections-cap", "1000")
    here:send("--mix udp4,udp6 --flows 6000")
    local summary, cell = finish(run)
    assert.equal("estimate", summary[NAME .. "_are"])
    assert.is_false(summary[NAME .. "_missing"])
    local off = summary[NAME .. "_error"]
    assert.is_true(off > 0 and off <= 0.0082)
    assert.is_true(math.abs(summary[NAME] - 6000) < 5 * off * 6000)
    assert.equal("estimate", cell.connections_are)
    assert.is_true(math.abs(cell.connections - 6000) < 5 * cell.connections_error * 6000)
    assert.matches(("egress    %d connections (estimate, standard error"):format(summary[NAME]), run:stderr(), 1, true)
  end)

  for what, go in pairs({ ["the namespace"] = "ip netns del %s", ["the interface"] = "ip -n %s link del eth0" }) do
    it("is as exact as it was when " .. what .. " of a cell goes", function()
      local run = start()
      here:send("--mix udp4,udp6 --flows 10")
      lab.must(go:format(here.cell))
      assert.equal(6, run:wait(10))
      local summary = identities.check(run:summary())
      assert.same({ 10, "exact" }, { summary[NAME], summary[NAME .. "_are"] })
      assert.same({ true, 10, "exact" }, { summary.cells[1].gone, summary.cells[1].connections,
        summary.cells[1].connections_are })
    end)
  end

  -- Of a cell as it was and as it is after a reload (nil: no longer there): what the counts of the run and of that cell
  -- are. Another one is there all the time.
  for name, case in pairs({
    ["by eBPF all the time"] = { 'run_id = "a"', 'run_id = "b"', "exact", "exact" },
    ["and was removed"] = { 'run_id = "a"', nil, "exact" },
    ["by NFLOG, and was removed"] = { 'sources = "nflog"', nil, "lower bound" },
    ["by NFLOG, and then by eBPF"] = { 'sources = "nflog"', 'sources = "ebpf"', "lower bound", "lower bound" },
    ["by eBPF, and then its ingress alone"] = { 'hooks = "egress"', 'hooks = "ingress"', "lower bound", "lower bound" },
    ["by clsact, which is taken off for another"] = { 'tc = "clsact"', 'tc = "clsact", events = "opened"',
      "lower bound", "lower bound" },
  }) do
    it("knows over a reload whether a cell was watched " .. name, function()
      local CELL = 'cell "one" { netns = "%s", %s }\n'
      local OTHER = ('cell "other" { netns = "%s" }\n'):format(here.peer)
      local path = policy_run.write(policy_run.directory() .. "/policy.lua", OTHER .. CELL:format(here.cell, case[1]))
      local run = cellflow.start({ args = { "-c", path, "--summary-record" } }):ready()
      policy_run.write(path, OTHER .. (case[2] and CELL:format(here.cell, case[2]) or ""))
      run:signal("HUP")
      run:says("generation 2 is in force")
      assert.equal(0, run:finish())
      local summary = run:summary()
      assert.equal(case[3], summary[NAME .. "_are"])
      local are = {}
      for _, cell in ipairs(summary.cells) do are[cell.cell_id] = cell.connections_are end
      assert.same({ other = "exact", one = case[4] }, are)
    end)
  end

  it("goes on over a reload, and takes its cap from the environment", function()
    local run = cellflow.start({ args = { "--netns", here.cell, "--summary-record" },
      env = { CELLFLOW_CONNECTIONS_CAP = "300" } }):ready()
    here:send("--mix udp4 --flows 200 --seed 5")
    run:signal("HUP")
    run:says("generation 2 is in force")
    here:send("--mix udp4 --flows 90 --seed 6")
    assert.equal(0, run:finish())
    local summary = run:summary()
    assert.equal("exact", summary[NAME .. "_are"])
    local tuples, count = {}, 0
    for _, record in ipairs(run:records()) do
      local tuple = record.protocol == "udp" and record.src_port .. " " .. record.dst_port
      if tuple and not tuples[tuple] then tuples[tuple], count = true, count + 1 end
    end
    assert.is_true(count > 200)
    assert.same({ count, count }, { summary[NAME], summary.cells[1].connections })
  end)
end)
