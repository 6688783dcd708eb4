-- SPDX-License-Identifier: MIT
-- More flows than the ring holds while nobody reads it: every loss is counted, and nothing else is lost.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")

local RING = 1048576
local RECORD = 8 + 112 -- header and event
local FLOWS = 12000

describe("a ring that is too small", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    cellflow.stop_all()
    here:down()
  end)

  -- Overfill the ring of a stopped worker; returns the ended run, its exit code and the expected flows.
  local function overload(...)
    here:serve()
    local run = cellflow.start({ args = { "--netns", here.cell, "--ring-size", "1", "--summary-record", ... } }):ready()
    local _, worker = run:pids()
    assert.is_true(cellflow.kill(worker, "STOP"))
    local path = os.tmpname()
    here:send(("--mix udp4,udp6 --flows %d --list %s"):format(FLOWS, path))
    local expected = flow_list.read(path)
    assert.is_true(cellflow.kill(worker, "CONT"))
    cellflow.wait_for("the ring to be read", 10, function()
      return select(2, run:stdout():gsub("\n", "")) >= math.floor(RING / RECORD)
    end)
    here:send("--mix tcp4,tcp6 --flows 40 --list " .. path) -- there is room again
    flow_list.read(path, expected)
    os.remove(path)
    return run, run:finish(), expected
  end

  it("loses what did not fit, says how many, and goes on", function()
    local run, code, expected = overload("--fail-on", "loss")
    assert.equal(7, code)
    local summary = identities.check(run:summary())
    local k, records = summary.kernel, run:records()
    assert.equal(FLOWS + 40, k.flow_new)
    assert.is_true(k.ring_full > 0)
    assert.equal(math.floor((RING - 1) / RECORD) + 40, k.event_submitted)
    assert.equal(k.event_submitted, #records)
    assert.equal(k.ring_full, summary.lost)
    assert.equal(k.ring_full, select(2, flow_list.match(records, expected)))
    assert.matches(k.ring_full .. " LOST", run:stderr(), 1, true)
    assert.matches(("%d new = %d submitted + %d ring full"):format(k.flow_new, k.event_submitted, k.ring_full),
      run:stderr(), 1, true)
  end)

  it("is no failure unless asked to be one", function()
    local _, code = overload()
    assert.equal(0, code)
  end)

  it("and a flow table that is too small: what was forgotten is a flow anew, and nothing else", function()
    here:serve()
    local run = cellflow.start({ args = { "--netns", here.cell, "--flow-entries", "64", "--summary-record" } }):ready()
    here:send("--mix udp4,udp6 --flows 2000 --packets 1")
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    assert.is_true(summary.kernel.flow_new >= 2000)
    assert.equal(summary.kernel.flow_new - summary.lost, #run:records())
  end)
end)
