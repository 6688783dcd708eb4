-- SPDX-License-Identifier: MIT
--
-- A flow table that is far too small: what had to make room is told as evicted, a flow that comes back says that it may
-- have been there before, and the count of connections says that it is none.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")
local lifetimes = require("lifetimes")

local ENTRIES = 480 -- 32 sets of 15
local FLOWS = 8 * ENTRIES
local ROUNDS = 3

describe("a flow table with an eighth of the room", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, path
  before_each(function()
    here, path = lab.up(), os.tmpname()
    here:serve()
  end)
  after_each(function()
    cellflow.stop_all()
    here:down()
    os.remove(path)
  end)

  local function start(...)
    return cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--interface", "eth0", "--summary-record",
      "--flow-entries", tostring(ENTRIES), ... } }):ready()
  end

  -- Of TCP, a SYN begins another connection; what has none must say that it is older.
  local function says_so(record)
    if record.protocol == "tcp" then return record.tcp_flags:find("S", 1, true) or record.midstream end
    return record.reopened
  end

  -- Returns how many opened records were there for each flow, and how many of all say that they may be none; all but
  -- a flow's first must.
  local function check_flags(records, expected)
    local opened, flagged = {}, 0
    for _, record in ipairs(records) do
      local flow = flow_list.of(record)
      if record.kind == "opened" and expected[flow] then
        if opened[flow] and not says_so(record) then error("opened again, without saying so: " .. flow) end
        opened[flow] = (opened[flow] or 0) + 1
        flagged = flagged + (record.reopened and 1 or 0)
      end
    end
    return opened, flagged
  end

  local function check_connections(summary)
    local are = summary.exercised_egress_connections_are
    assert.is_true(are == "lower bound" or are == "estimate", are)
    assert.equal(are, summary.cells[1].connections_are)
    assert.is_true(summary.exercised_egress_connections <= FLOWS * 1.1)
  end

  it("opens no flow twice without saying so, and tells each that made room as evicted", function()
    local run = start("--hooks", "both", "--events", "opened,closed")
    for _ = 1, ROUNDS do
      here:send(("--mix udp4,udp6 --flows %d --list %s"):format(FLOWS, path))
    end
    assert.equal(0, run:finish(20))
    local summary, expected = identities.check(run:summary()), flow_list.read(path)
    local records = run:records()
    local opened, flagged = check_flags(records, expected)
    local count = 0
    for flow in pairs(expected) do
      assert.is_true(opened[flow] >= 1, flow)
      count = count + opened[flow]
    end
    assert.is_true(count > FLOWS and flagged >= count - FLOWS)
    assert.equal(0, summary.lost)
    -- A closed for each opened, and the packets of a flow's lives are those that were sent.
    local lives, all = lifetimes.of(records, expected)
    assert.equal(count, all)
    local reasons = lifetimes.reasons(lives)
    assert.equal(all, reasons.evicted + reasons.shutdown)
    assert.is_true(reasons.shutdown <= ENTRIES)
    for flow, list in pairs(lives) do
      assert.same({ flow, ROUNDS }, { flow, lifetimes.totals(list).egress.packets })
    end
    check_connections(summary)
    assert.is_true(summary.kernel.flow_evicted >= reasons.evicted)
  end)

  it("of opened events alone tells no fewer, and what they are", function()
    local run = start()
    for _ = 1, 2 do
      here:send(("--mix tcp4,udp4,tcp6,udp6 --flows %d --list %s"):format(FLOWS / 2, path))
    end
    assert.equal(0, run:finish(20))
    local summary, expected = identities.check(run:summary()), flow_list.read(path)
    local opened = check_flags(run:records(), expected)
    for flow in pairs(expected) do assert.is_true((opened[flow] or 0) >= 1, flow) end
    assert.equal(0, summary.lost)
    assert.is_true(summary.kernel.event_unwanted > 0)
    check_connections(summary)
  end)
end)
