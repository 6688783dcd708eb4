-- SPDX-License-Identifier: MIT
--
-- Root in a cell can take a clsact filter off (not a tcx link): that is noticed, said, and put right, and no count is
-- called exact afterwards.
local cellflow = require("cellflow")
local identities = require("identities")
local lab = require("spec.support.lab")
local other_program = require("other_program")
local sockets = require("sockets")

local WARNING = "somebody took cellflow's clsact filter off eth0"

describe("a clsact filter that somebody takes off", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    sockets.close_all()
    cellflow.stop_all()
    here:down()
  end)

  local function start()
    return cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--interface", "eth0", "--tc", "clsact",
      "--hooks", "both", "--summary-record" } }):ready()
  end

  local function filter() return here:exec("cell", "tc filter show dev eth0 egress") end
  local function qdiscs() return here:exec("cell", "tc qdisc show dev eth0") end

  local function finish(run, times)
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    local cell = summary.cells[1]
    assert.equal(times, cell.taken_off)
    assert.same({ "lower bound", "lower bound" }, { cell.connections_are, summary.exercised_egress_connections_are })
    return summary
  end

  for name, command in pairs({ ["with its qdisc"] = "tc qdisc del dev eth0 clsact",
    ["alone"] = "tc filter del dev eth0 egress pref 207" }) do
    it(name .. " is put back, and said", function()
      local before = qdiscs()
      local run = start()
      here:exec("cell", command)
      run:says('warning: cell "one": ' .. WARNING .. "; it is put back, what passed meanwhile was not seen\n", 10)
      assert.matches("cellflow_egress", filter(), 1, true)
      assert.matches("cellflow_ingres", here:exec("cell", "tc filter show dev eth0 ingress"), 1, true)
      here:send("--mix udp4,udp6 --flows 10")
      assert.equal(10, finish(run, 1).exercised_egress_connections)
      assert.equal(before, qdiscs())
    end)
  end

  it("in the last moment is noticed as well", function()
    local run = start()
    assert.is_true(cellflow.kill(run.pid, "STOP"))
    here:exec("cell", "tc qdisc del dev eth0 clsact")
    run:signal("TERM")
    assert.is_true(cellflow.kill(run.pid, "CONT"))
    finish(run, 1)
    assert.matches(WARNING, run:stderr(), 1, true)
  end)

  it("and whose place is taken is put back when the place is free", function()
    local run = start()
    assert.is_true(cellflow.kill(run.pid, "STOP"))
    here:exec("cell", "tc qdisc del dev eth0 clsact")
    local other = other_program.load()
    sockets.inside(here.cell, function()
      local index = sockets.index("eth0")
      other_program.make_clsact(index)
      other:clsact(index, 207, 0xcf000002)
    end)
    assert.is_true(cellflow.kill(run.pid, "CONT"))
    run:says('error: cell "one": is not watched by eBPF until this is over: ', 10)
    assert.matches("has cellflow's place on the egress hook", run:stderr(), 1, true)
    here:exec("cell", "tc filter del dev eth0 egress pref 207")
    cellflow.wait_for("the filter", 10, function() return filter():find("cellflow_egress", 1, true) end)
    here:send("--mix udp4,udp6 --flows 10")
    assert.equal(10, finish(run, 1).exercised_egress_connections)
    local _, errors = run:stderr():gsub("cellflow: error: ", "")
    assert.equal(1, errors)
  end)
end)
