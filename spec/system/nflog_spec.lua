-- SPDX-License-Identifier: MIT
--
-- The NFLOG source in a whole run: nft rules that accept, drop and only look; one record for each flow, with what the
-- rule's prefix says; the numbers; the reader's death; and the end of the cell, which the socket must not put off.
local lab = require("spec.support.lab")
local system = require("system")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")
local policy_run = require("policy_run")

local RULES = [[
table inet t {
  counter logged { }
  chain out {
    type filter hook output priority 0; policy accept;
    meta l4proto { tcp, udp } th dport 9000-9003 counter name logged log group 100 queue-threshold 64 \
      prefix "cellflow:deny:low" drop
    meta l4proto { tcp, udp } th dport 9004-9011 ct state new counter name logged log group 100 queue-threshold 64 \
      prefix "cellflow:allow:mid" accept
    meta l4proto { tcp, udp } th dport 9012-9015 ct state new counter name logged log group 100 queue-threshold 64 \
      prefix "seen " accept
  }
}]]

local function expect_record(record)
  local port = record.dst_port
  assert.equal("nflog", record.source)
  assert.equal("egress", record.direction)
  assert.equal("eth0", record.interface)
  if port <= 9003 then
    assert.same({ "logged", "deny", "drop", "low" },
      { record.kind, record.decision, record.verdict, record.nft_rule_ref })
  elseif port <= 9011 then
    assert.same({ "opened", "allow", "accept", "mid" },
      { record.kind, record.decision, record.verdict, record.nft_rule_ref })
  else
    assert.same({ "opened", "allow" }, { record.kind, record.decision })
    assert.is_nil(record.verdict)
    assert.is_nil(record.nft_rule_ref)
    assert.equal("seen ", record.prefix)
  end
end

local function of_udp(records)
  local list = {}
  for _, record in ipairs(records) do
    -- Drops make their sender try again and report: only what flowgen sent counts here.
    if record.dst_port and record.dst_port >= 9000 and record.dst_port <= 9015 then list[#list + 1] = record end
  end
  return list
end

describe("NFLOG", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function()
    here = lab.up()
    here:serve()
    here:nft(RULES)
  end)
  after_each(function()
    cellflow.stop_all()
    policy_run.remove_all()
    here:down()
  end)

  local function start(...)
    return cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--interface", "eth0", "--sources", "nflog",
      "--summary-record", ... } }):ready()
  end

  local function send(count, options)
    local path, expected = os.tmpname(), {}
    here:send(("--flows %d --mix udp4,udp6 --firewalled --list %s %s"):format(count, path, options or ""))
    flow_list.read(path, expected)
    os.remove(path)
    return expected
  end

  it("has one record for each flow, with the verdict and name of the rule that logged it", function()
    local run = start()
    local expected = send(2000)
    assert.equal(0, run:finish())
    local records = of_udp(run:records())
    local seen = {}
    for _, record in ipairs(records) do
      expect_record(record)
      local flow = flow_list.of(record)
      assert.is_nil(seen[flow])
      assert.is_truthy(expected[flow], flow)
      seen[flow] = true
    end
    assert.equal(2000, #records)
    local summary = identities.check(run:summary())
    assert.equal(tonumber(here:counters().logged.packets), summary.collector.nflog_packets)
    assert.equal(0, summary.lost)
    assert.same({ "nflog" }, summary.cells[1].sources)
    assert.equal(100, summary.cells[1].nflog_group)
  end)

  it("counts what is repeated of a flow, and tells it once", function()
    local run = start("--nflog-group", "100")
    send(16, "--packets 50")
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    local logged = tonumber(here:counters().logged.packets)
    assert.equal(16, #of_udp(run:records()))
    assert.equal(logged, summary.collector.nflog_packets)
    assert.is_true(summary.collector.nflog_flow_hit >= 4 * 49)
  end)

  it("goes on after its reader was killed: each flow has its record, or is counted as lost", function()
    local run = start()
    send(500)
    local first = run:collector()
    cellflow.kill(first, "KILL")
    cellflow.wait_for("another collector", 5, function()
      local now = run:collector()
      return now and now ~= first
    end)
    send(500, "--seed 2")
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    local logged = tonumber(here:counters().logged.packets)
    assert.equal(logged, summary.collector.nflog_packets + summary.collector.nflog_lost)
    assert.equal(1, summary.collector.restarts)
    assert.is_true(#of_udp(run:records()) >= 1000 - summary.collector.nflog_lost)
    assert.matches("collector killed by signal 9, another one takes over", run:stderr(), 1, true)
  end)

  it("goes on with its socket over reloads that change the cell, or fail, and nothing is lost for that", function()
    local CELL = 'cell "one" { netns = "%s", interface = "eth0", %s }\n'
    local OTHER = 'cell "other" { netns = "/nowhere/ns" }\n'
    local path = policy_run.write(policy_run.directory() .. "/policy.lua", CELL:format(here.cell, 'sources = "nflog"'))
    local run = cellflow.start({ args = { "-c", path, "--summary-record" } }):ready()
    local generation = 1
    for seed, words in ipairs({ 'sources = "nflog"',
      'sources = "nflog", events = { "opened", "closed", "logged" }',
      'sources = { "ebpf", "nflog" }', OTHER, 'sources = "nflog", hooks = "ingress"', OTHER }) do
      send(100, "--seed " .. seed)
      local fails = words == OTHER
      policy_run.write(path, CELL:format(here.cell, fails and 'sources = "nflog", events = "logged"' or words)
        .. (fails and OTHER or ""))
      local _, before = run:stderr():gsub("reload", "")
      run:signal("HUP")
      cellflow.wait_for("the end of a reload", 10, function()
        return select(2, run:stderr():gsub("reload[^\n]*\n", "")) > before
      end)
      generation = generation + (fails and 0 or 1)
      assert.matches(("generation %d %s in force[^\n]*\n$"):format(generation, fails and "stays" or "is"), run:stderr())
    end
    send(100, "--seed 7")
    assert.equal(0, run:finish())
    local summary = run:summary()
    assert.same({ 0, 0, true }, { summary.collector.nflog_lost, summary.lost, summary.adds_up })
    assert.equal(tonumber(here:counters().logged.packets), summary.collector.nflog_packets)
  end)

  it("does not keep a cell's namespace alive", function()
    local name = lab.name()
    lab.must("ip netns add " .. name)
    local run = cellflow.start({ args = { "--cell", "short", "--netns", name, "--sources", "nflog" } }):ready()
    local inode = lab.must("stat -Lc %i /run/netns/" .. name):match("%d+")
    lab.must("ip netns del " .. name)
    assert.equal(6, run:wait(5))
    assert.matches('cell "short": its network namespace is gone', run:stderr(), 1, true)
    assert.equal("", (lab.run("lsns -t net -n -o NS | grep -w " .. inode)))
  end)

  it("refuses group 0, and names who has the group", function()
    local run = cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--sources", "nflog", "--nflog-group",
      "0" } })
    assert.equal(2, run:wait(5))
    start()
    run = cellflow.start({ args = { "--cell", "two", "--netns", here.cell, "--sources", "nflog" } })
    assert.equal(5, run:wait(5))
    assert.matches("group 100", run:stderr(), 1, true)
    system.sleep(0)
  end)
end)
