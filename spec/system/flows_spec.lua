-- SPDX-License-Identifier: MIT
-- From packet to record: real sockets in a real cell, and each flow has exactly one record that says what was sent.
local lab = require("spec.support.lab")
local system = require("system")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")

local HOOKS = { "both", "egress" }

describe("a thousand flows", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, expected
  before_each(function()
    here = lab.up()
    here:serve()
    expected = {}
  end)
  after_each(function()
    cellflow.stop_all()
    here:down()
  end)

  local function start(hooks)
    local run = cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--interface", "eth0",
      "--hooks", hooks, "--run-id", "r1", "--summary-record" } })
    return run:ready()
  end

  local function send(count, options)
    local path = os.tmpname()
    here:send(("--flows %d --list %s %s"):format(count, path, options))
    flow_list.read(path, expected)
    os.remove(path)
  end

  -- Echo requests with an id each; the flow begins with what the hooks see first.
  local function ping(hooks)
    for i, way in ipairs({ { "cell", lab.cell4, lab.peer4 }, { "cell", lab.cell6, lab.peer6 },
      { "peer", lab.peer4, lab.cell4 }, { "peer", lab.peer6, lab.cell6 } }) do
      local id, from, to = 4000 + i, way[2], way[3]
      here:exec(way[1], ("ping -n -q -e %d -c 2 -i 0.01 -W 2 %s"):format(id, to))
      if way[1] == "peer" and hooks == "egress" then from, to = to, from end
      expected[("%s %s %d %s %d"):format(from:find(":") and "icmpv6" or "icmp", from, id, to, id)] = 2
    end
  end

  local function check_record(record, hooks)
    local from_cell = record.src_addr == lab.cell4 or record.src_addr == lab.cell6
    assert.equal(from_cell and "egress" or "ingress", record.direction)
    assert.equal(from_cell and "accept" or nil, record.verdict)
    assert.equal("allow", record.decision)
    assert.equal("ebpf_flow_observed", record.reason_code)
    assert.equal("one", record.cell_id)
    assert.equal("r1", record.run_id)
    assert.equal("eth0", record.interface)
    assert.equal(1, record.packet_count)
    assert.equal(record.src_addr:find(":") and "ipv6" or "ipv4", record.family)
    assert.equal(record.protocol == "tcp" and "S" or nil, record.tcp_flags)
    if not record.icmp_id then return end
    -- Of the peer's pings the egress hook sees only the answers.
    local types = record.family == "ipv4" and { request = 8, reply = 0 } or { request = 128, reply = 129 }
    local is_reply = hooks == "egress" and record.icmp_id > 4002
    assert.equal(is_reply and types.reply or types.request, record.icmp_type)
  end

  local function finish(run, hooks)
    assert.equal(0, run:finish())
    local records = run:records()
    local found, missing = flow_list.match(records, expected)
    assert.equal(0, missing)
    for _, record in pairs(found) do check_record(record, hooks) end
    local summary = identities.check(run:summary())
    assert.equal(0, summary.lost)
    assert.equal(#records, summary.kernel.flow_new)
    assert.equal(#records, summary.worker.records)
    assert.matches("nothing lost", run:stderr(), 1, true)
  end

  for _, hooks in ipairs(HOOKS) do
    it("by " .. hooks .. " while the worker sleeps between them: one record for each", function()
      local run = start(hooks)
      system.sleep(0.1)
      send(900, "--rate 1000")
      ping(hooks)
      system.sleep(0.1)
      send(100, "--rate 100 --seed 2")
      finish(run, hooks)
    end)

    it("by " .. hooks .. " with the worker stopped for two seconds in the middle: one record for each", function()
      local run = start(hooks)
      local _, worker = run:pids()
      send(300, "")
      assert.is_true(cellflow.kill(worker, "STOP"))
      send(500, "--seed 2")
      ping(hooks)
      system.sleep(2)
      assert.is_true(cellflow.kill(worker, "CONT"))
      send(200, "--seed 3")
      finish(run, hooks)
    end)
  end
end)
