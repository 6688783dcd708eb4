-- SPDX-License-Identifier: MIT
-- More keys of dedup than there is room for: the summary says how many were forgotten early, as a loss of
-- deduplication and of nothing else.
local cellflow = require("cellflow")
local identities = require("identities")
local lab = require("spec.support.lab")
local policy_run = require("policy_run")

-- 32,768 sets of eight: of so many keys some hundred find their set full, whatever the hash's key is.
local FLOWS = 110000
local DEDUP = [[
function dedup(ev) return ev.src_addr .. ev.src_port .. ev.dst_port, 3600 end
function format(record) return nil end]]

describe("keys of dedup that are forgotten early", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    cellflow.stop_all()
    policy_run.remove_all()
    here:down()
  end)

  local function run_with(flows)
    local run = policy_run.start(here, DEDUP, { "--ring-size", "32" }):ready()
    here:send(("--mix udp4,udp6 --flows %d --ports 16"):format(flows))
    assert.equal(0, run:finish(30))
    return identities.check(run:summary()), run:stderr()
  end

  it("are counted in the summary, and are no loss of records", function()
    local summary, log = run_with(FLOWS)
    local forgotten = summary.worker.dedup_forgotten
    assert.is_true(forgotten > 0 and forgotten < FLOWS / 20, forgotten)
    assert.equal(FLOWS, summary.worker.consumed)
    assert.equal(0, summary.lost)
    assert.matches("nothing lost", log, 1, true)
    assert.matches(("\ncellflow:   dedup     %d keys forgotten early, for want of room: duplicates may have become " ..
      "records, no record is lost\n"):format(forgotten), log, 1, true)
  end)

  it("are none in a run with few keys, which does not speak of it", function()
    local summary, log = run_with(200)
    assert.equal(0, summary.worker.dedup_forgotten)
    assert.is_nil(log:find("forgotten", 1, true))
  end)
end)
