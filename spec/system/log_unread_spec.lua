-- SPDX-License-Identifier: MIT
-- A policy that logs every event, and nobody who reads stderr: events are decided all the same, orders are heard, and
-- the lines that were lost are counted.
local cellflow = require("cellflow")
local lab = require("spec.support.lab")

local FLOWS = 3000
local POLICY = [[
on("start", function() emit { type = "here" } end)
function verdict(ev) log.info(("x"):rep(500)) return "deny", "said" end
]]

describe("a log that nobody reads", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, policy, fifo
  before_each(function()
    here, policy, fifo = lab.up(), os.tmpname(), os.tmpname()
    here:serve()
    os.remove(fifo)
    lab.must("mkfifo " .. fifo)
    local file = assert(io.open(policy, "w"))
    file:write(POLICY)
    file:close()
  end)
  after_each(function()
    cellflow.stop_all()
    here:down()
    os.remove(policy)
    os.remove(fifo)
  end)

  it("holds up neither events nor orders", function()
    local run = cellflow.start({ before = ([[sh -c 'exec "$@" 2<>"$0"' %s]]):format(fifo), args = { "-c", policy,
      "--cell", "one", "--netns", here.cell, "--interface", "eth0", "--summary-record" } })
    local function lines() return select(2, run:stdout():gsub("\n", "")) end
    cellflow.wait_for("the start", 10, function() return lines() == 1 end)
    here:send(("--mix udp4,udp6 --flows %d"):format(FLOWS))
    cellflow.wait_for("the records", 60, function() return lines() >= FLOWS + 1 end)
    assert.equal(0, run:finish(20))
    local summary = run:summary()
    assert.same({ FLOWS, FLOWS, 0, true }, { summary.flows, summary.worker.records, summary.lost, summary.adds_up })
    assert.is_true(summary.log_lost > FLOWS / 2, summary.log_lost)
  end)
end)
