-- SPDX-License-Identifier: MIT
--
-- The end of a flow, by source: what netfilter let pass is closed once, also where both sources saw it, and with tc's
-- totals then; what netfilter dropped was no connection, and has no end.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")
local lifetimes = require("lifetimes")

local FLOWS = 400
local PACKETS = 4
local RULES = [[
table inet t {
  chain out {
    type filter hook output priority 0; policy accept;
    udp dport 9000-9003 log group 100 queue-threshold 16 prefix "cellflow:deny:low" drop
    udp dport 9004-9007 log group 100 queue-threshold 16 prefix "cellflow:allow:each" accept
    udp dport 9008-9011 ct state new log group 100 queue-threshold 16 prefix "cellflow:allow:first" accept
  }
}]]

describe("the end of a flow", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, files
  before_each(function()
    here, files = lab.up(), {}
    here:serve()
    here:nft(RULES)
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

  -- Runs, sends, waits until nothing is open; returns the lives of what was sent, those that were dropped, the summary.
  local function watch(sources)
    local run = cellflow.start({ args = { "-c", file("flows { udp_idle = 1 }\n"), "--cell", "one", "--netns", here.cell,
      "--interface", "eth0", "--sources", sources, "--events", "opened,closed,logged", "--summary-record" } }):ready()
    local path = file()
    here:send(("--mix udp4,udp6 --flows %d --packets %d --firewalled --list %s"):format(FLOWS, PACKETS, path))
    cellflow.wait_for("all to be closed", 10, function()
      local _, opened = run:stdout():gsub('"kind":"opened"', "")
      local _, closed = run:stdout():gsub('"kind":"closed"', "")
      return opened > 0 and closed >= opened
    end)
    assert.equal(0, run:finish())
    local summary, expected, dropped = identities.check(run:summary()), flow_list.read(path), {}
    assert.equal(0, summary.lost)
    local passed, records = {}, run:records()
    for flow in pairs(expected) do
      local port = tonumber(flow:match("(%d+)$"))
      if port <= 9003 then dropped[flow] = 0 else passed[flow] = port end
    end
    for _, record in ipairs(records) do
      local flow = flow_list.of(record)
      if dropped[flow] then
        assert.same({ flow, "logged", "deny" }, { flow, record.kind, record.decision })
        dropped[flow] = dropped[flow] + 1
      end
    end
    for flow, count in pairs(dropped) do assert.equal(1, count, flow) end
    local lives = lifetimes.of(records, passed)
    assert.equal(0, summary.collector.ended.shutdown)
    return lives, passed, summary
  end

  it("is told by NFLOG of what its rules let pass, with the packets that they logged", function()
    local lives, passed = watch("nflog")
    for flow, port in pairs(passed) do
      if port <= 9007 then
        assert.equal(1, #lives[flow])
        local opened, closed = lives[flow][1].opened, lives[flow][1].closed
        assert.same({ "nflog", "each" }, { opened.source, opened.nft_rule_ref })
        assert.same({ "nflog", "idle", PACKETS }, { closed.source, closed.close_reason, closed.packet_count })
      elseif port > 9011 then
        assert.is_nil(lives[flow]) -- no rule logs it
      end
    end
  end)

  it("is told once where both saw it, with tc's totals", function()
    local lives, passed, summary = watch("ebpf,nflog")
    for flow, port in pairs(passed) do
      assert.equal(1, #(lives[flow] or {}), flow)
      local opened, closed = lives[flow][1].opened, lives[flow][1].closed
      assert.same({ flow, port <= 9011 and "ebpf,nflog" or "" },
        { flow, table.concat(opened.witnesses or {}, ",") })
      assert.same({ "ebpf", "idle", PACKETS }, { closed.source, closed.close_reason, closed.packet_count })
    end
    assert.equal(0, summary.collector.conflicts)
  end)

  it("comes after its beginning also when the cell goes while that waits for its other witness", function()
    local run = cellflow.start({ args = { "--netns", here.cell, "--interface", "eth0", "--sources", "ebpf,nflog",
      "--events", "opened,closed", "--summary-record" } }):ready()
    local path = file()
    here:send("--mix udp4,udp6 --port-base 9012 --ports 4 --flows 200 --list " .. path)
    lab.must(("ip -n %s link del eth0 && ip netns del %s"):format(here.cell, here.cell))
    assert.equal(6, run:wait(10))
    identities.check(run:summary())
    local lives, count = lifetimes.of(run:records(), flow_list.read(path)) -- an error for an end before its beginning
    assert.equal(200, count)
    assert.same({ cell_gone = 200 }, lifetimes.reasons(lives))
  end)

  it("is told by NFLOG of what passes where tc does not look", function()
    local run = cellflow.start({ args = { "-c", file("flows { udp_idle = 1 }\n"), "--netns", here.cell, "--interface",
      "eth0", "--sources", "ebpf,nflog", "--events", "opened,closed", "--summary-record" } }):ready()
    here:exec("cell", "ip link set lo up")
    for _, to in ipairs({ "127.0.0.1", lab.peer4 }) do
      here:exec("cell", ("bash -c 'echo x >/dev/udp/%s/9004'"):format(to))
    end
    cellflow.wait_for("both to be closed", 10, function()
      return select(2, run:stdout():gsub('"kind":"closed"', "")) == 2
    end)
    assert.equal(0, run:finish())
    identities.check(run:summary())
    local told = {}
    for _, record in ipairs(run:records()) do
      table.insert(told, ("%s %s %s"):format(record.dst_addr, record.kind, record.source))
    end
    table.sort(told)
    assert.same({ lab.peer4 .. " closed ebpf", lab.peer4 .. " opened ebpf", "127.0.0.1 closed nflog",
      "127.0.0.1 opened nflog" }, told)
  end)
end)
