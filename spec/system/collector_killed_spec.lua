-- SPDX-License-Identifier: MIT
--
-- kill -9 of worker and collector under load, again and again, with the ends of flows asked for: nothing is told twice,
-- what is missing is counted, and the numbers add up.
local lab = require("spec.support.lab")
local system = require("system")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")
local lifetimes = require("lifetimes")

local KILLS = 4
local FLOWS = 30000
local RULES = [[
table inet t {
  chain out {
    type filter hook output priority 0; policy accept;
    udp dport 9000-9003 log group 100 queue-threshold 64 prefix "cellflow:deny:low" drop
    udp dport 9004-9015 log group 100 queue-threshold 64 prefix "cellflow:allow:high" accept
  }
}]]

describe("collector and worker, killed under load", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, files
  before_each(function()
    here, files = lab.up(), {}
    here:serve()
  end)
  after_each(function()
    cellflow.stop_all()
    here:down()
    for _, path in ipairs(files) do os.remove(path) end
  end)

  local function file(text)
    local path = os.tmpname()
    files[#files + 1] = path
    if text then
      local out = assert(io.open(path, "w"))
      out:write(text)
      out:close()
      lab.must("chmod 644 " .. path)
    end
    return path
  end

  local function start(...)
    return cellflow.start({ args = { "-c", file("flows { udp_idle = 1 }\n"), "--cell", "one", "--netns", here.cell,
      "--interface", "eth0", "--summary-record", ... } }):ready()
  end

  local function another(run, name, old)
    return cellflow.wait_for("another " .. name, 10, function()
      local now = run[name](run)
      return now and now ~= old and now
    end)
  end

  -- Returns the flows that were sent.
  local function kill_under_load(run, options)
    local list, worker, collector = file(), nil, nil
    local load = here:start("cell", ("build/flowgen --mix udp4,udp6 --flows %d --rate 5000 --to4 %s --to6 %s --list %s "
      .. "%s"):format(FLOWS, lab.peer4, lab.peer6, list, options or ""))
    for _ = 1, KILLS do
      collector = another(run, "collector", collector)
      worker = run:worker(worker)
      system.sleep(0.05 + math.random() * 0.4)
      assert.is_true(cellflow.kill(worker, "KILL"))
      system.sleep(math.random() * 0.1)
      assert.is_true(cellflow.kill(collector, "KILL"))
    end
    cellflow.wait_for("the sender to end", 20, function() return not cellflow.is_alive(load.pid) end)
    here:stop(load)
    another(run, "collector", collector)
    assert.equal(0, run:finish(20))
    return flow_list.read(list)
  end

  -- How many of these flows were not told as opened, and as closed. By tuple, not by first_seen: where one witness's
  -- word died with its collector, the beginning has the other's time.
  local function count_missing(records, expected)
    local told, missing = { opened = {}, closed = {} }, { opened = 0, closed = 0 }
    for _, record in ipairs(records) do
      local flow = flow_list.of(record)
      if expected[flow] then
        assert.is_nil(told[record.kind][flow], flow .. " " .. record.kind .. " twice")
        told[record.kind][flow] = true
      end
    end
    for kind, flows in pairs(told) do
      for flow in pairs(expected) do
        if not flows[flow] then missing[kind] = missing[kind] + 1 end
      end
    end
    return missing.opened, missing.closed
  end

  it("tell each flow's beginning and end once", function()
    local run = start("--hooks", "both", "--events", "opened,closed")
    local expected = kill_under_load(run)
    local records = run:records()
    local opened, closed = count_missing(records, expected)
    lifetimes.of(records, expected, { lossy = true })
    local summary = identities.check(run:summary())
    assert.equal(summary.lost, opened + closed)
    assert.equal(summary.lost, summary.worker.skipped + summary.collector.untold)
    assert.is_true(summary.worker.skipped <= KILLS)
    assert.is_true(summary.collector.restarts >= KILLS)
  end)

  for _, sources in ipairs({ "nflog", "ebpf,nflog" }) do
    it("tell nothing twice by " .. sources .. ", and count what they cannot tell", function()
      here:nft(RULES)
      local run = start("--sources", sources, "--events", "opened,closed,logged")
      local expected = kill_under_load(run, "--firewalled")
      local passed, dropped = {}, {}
      for flow in pairs(expected) do
        if tonumber(flow:match("(%d+)$")) < 9004 then dropped[flow] = 0 else passed[flow] = true end
      end
      local records = run:records()
      local opened, closed = count_missing(records, passed)
      for _, record in ipairs(records) do
        local flow = flow_list.of(record)
        if dropped[flow] then dropped[flow] = dropped[flow] + 1 end
      end
      local logged = 0
      for flow, count in pairs(dropped) do
        assert.is_true(count <= 1, flow)
        logged = logged + 1 - count
      end
      local summary = identities.check(run:summary())
      assert.is_true(opened + logged <= summary.lost)
      assert.is_true(closed <= opened + summary.worker.skipped + summary.collector.untold)
    end)
  end
end)
