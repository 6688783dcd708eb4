-- SPDX-License-Identifier: MIT
--
-- A cell with both sources: tc sees what leaves, netfilter says what it dropped and by which rule. Each flow has
-- exactly one record, whoever saw it.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")

local FLOWS = 10000
local DROPPED_TCP = 750 -- the rest of TCP is accepted, or rejected

describe("both sources", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function()
    here = lab.up()
    here:serve("--ports 20")
  end)
  after_each(function()
    cellflow.stop_all()
    here:down()
  end)

  local function start()
    return cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--interface", "eth0", "--sources",
      "ebpf,nflog", "--hooks", "egress", "--summary-record" } }):ready()
  end

  it("give one record for each of 10,000 flows: drops are deny with the rule's name, the rest allow", function()
    here:nft([[
      table inet t {
        counter dropped { }
        chain out {
          type filter hook output priority 0; policy accept;
          udp dport 9000-9004 log group 100 queue-threshold 64 prefix "cellflow:deny:low-udp" drop
          tcp dport 9000-9002 counter name dropped log group 100 queue-threshold 64 prefix "cellflow:deny:low-tcp" drop
          tcp dport 9003-9004 log group 100 queue-threshold 64 prefix "cellflow:deny:low-tcp" reject with tcp reset
          meta l4proto { tcp, udp } th dport 9005-9009 ct state new log group 100 queue-threshold 64 \
            prefix "cellflow:allow:mid" accept
        }
      }]])
    local run = start()
    local expected = {}
    local function list(path)
      flow_list.read(path, expected)
      os.remove(path)
    end
    -- SYNs that are dropped are sent again: each at least twice.
    local path = os.tmpname()
    local knocking = here:start("cell", ("build/flowgen --to4 %s --to6 %s --mix tcp4,tcp6 --ports 3 --flows %d "
      .. "--end unanswered --list %s"):format(lab.peer4, lab.peer6, DROPPED_TCP, path))
    for _, options in ipairs({ "--mix udp4,udp6 --ports 20 --flows 5000", "--mix tcp4,tcp6 --port-base 9003 --ports 17 "
      .. "--flows " .. 5000 - DROPPED_TCP }) do
      local one = os.tmpname()
      here:send(("%s --rate 4000 --firewalled --list %s"):format(options, one))
      list(one)
    end
    lab.wait_for("SYNs to be sent again", 20, function() return here:counters().dropped.packets >= 2 * DROPPED_TCP end)
    here:stop(knocking)
    list(path)
    assert.equal(0, run:finish())
    local seen, count, allowed = {}, 0, 0
    for _, record in ipairs(run:records()) do
      local flow = flow_list.of(record)
      if expected[flow] then
        allowed = allowed + (record.decision == "allow" and 1 or 0)
        assert.is_nil(seen[flow], "two records of " .. flow)
        seen[flow] = true
        count = count + 1
        local port = record.dst_port
        if port <= 9004 then
          assert.same({ "deny", "drop", "low-" .. record.protocol },
            { record.decision, record.verdict, record.nft_rule_ref })
        elseif port <= 9009 then
          assert.same({ "allow", "mid" }, { record.decision, record.nft_rule_ref })
          assert.same({ "ebpf", "nflog" }, record.witnesses)
          assert.equal("ebpf", record.source)
        else
          assert.equal("allow", record.decision)
          assert.is_nil(record.nft_rule_ref)
        end
        assert.is_nil(record.conflict)
      end
    end
    assert.equal(FLOWS, count)
    local summary = identities.check(run:summary())
    assert.equal(0, summary.lost)
    assert.equal(FLOWS, summary.flows)
    assert.same({ allowed, "exact" }, { summary.exercised_egress_connections,
      summary.exercised_egress_connections_are })
    assert.same({ "ebpf", "nflog" }, summary.cells[1].sources)
  end)

  it("say so when netfilter drops what tc saw leave", function()
    here:nft([[
      table inet t {
        chain out {
          type filter hook output priority 0; policy accept;
          udp dport 9000 numgen inc mod 10 > 2 log group 100 queue-threshold 1 prefix "cellflow:deny:late" drop
        }
      }]])
    local run = start()
    local path = os.tmpname()
    here:send("--ports 20 --flows 1 --mix udp4 --packets 10 --firewalled --list " .. path)
    local expected = flow_list.read(path)
    os.remove(path)
    assert.equal(0, run:finish())
    local conflicts = 0
    for _, record in ipairs(run:records()) do
      if expected[flow_list.of(record)] and record.conflict then
        conflicts = conflicts + 1
        assert.same({ "deny", "drop", "late" }, { record.decision, record.verdict, record.nft_rule_ref })
        assert.same({ "ebpf", "nflog" }, record.witnesses)
      end
    end
    assert.equal(1, conflicts)
    assert.equal(1, identities.check(run:summary()).collector.conflicts)
  end)

  it("do not when it drops what tc saw come in, before netfilter", function()
    here:nft([[
      table inet t {
        chain input {
          type filter hook input priority 0; policy accept;
          udp dport 7777 log group 100 queue-threshold 1 prefix "cellflow:deny:in" drop
        }
      }]])
    local run = cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--interface", "eth0", "--sources",
      "ebpf,nflog", "--hooks", "ingress", "--summary-record" } }):ready()
    here:exec("peer", ("bash -c 'echo x >/dev/udp/%s/7777'"):format(lab.cell4))
    assert.equal(0, run:finish())
    local found = {}
    for _, record in ipairs(run:records()) do
      if record.dst_port == 7777 then found[#found + 1] = record end
    end
    assert.equal(1, #found)
    assert.same({ "deny", "drop", "in" }, { found[1].decision, found[1].verdict, found[1].nft_rule_ref })
    assert.same({ "ebpf", "nflog" }, found[1].witnesses)
    assert.is_nil(found[1].conflict)
    identities.check(run:summary())
  end)
end)
