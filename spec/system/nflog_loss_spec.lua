-- SPDX-License-Identifier: MIT
--
-- More packets logged than the NFLOG socket has room for, in a whole run whose collector stands still: what was lost
-- is counted to the packet when a later packet came, and called lost when none did.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local identities = require("identities")
local policy_run = require("policy_run")

-- Eight entries for each packet, so that a few thousand packets are more than the socket's buffer.
local RULE = 'udp dport 9000-9015 counter name logged log group 100 prefix "cellflow:allow:each"\n'
local RULES = "table inet t {\n counter logged { }\n chain out {\n type filter hook output priority 0; policy accept;\n"
  .. RULE:rep(8) .. " }\n}"

describe("an NFLOG socket that is full", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function()
    here = lab.up()
    here:nft(RULES)
    here:serve()
  end)
  after_each(function()
    cellflow.stop_all()
    policy_run.remove_all()
    here:down()
  end)

  local function logged() return tonumber(here:counters().logged.packets) end

  -- A run that lost packets and has read all that was left.
  local function overrun()
    local run = policy_run.start(here, [[
      on("lost", function(lost) emit { type = "lost", count = lost.count, total = lost.total } end)
    ]], { "--sources", "nflog", "--fail-on", "loss" }):ready()
    local collector = run:collector()
    assert.is_true(cellflow.kill(collector, "STOP"))
    here:send("--mix udp4 --flows 64 --packets 600")
    -- The last batch has to be lost, too: it is kept back for a moment, to be filled.
    cellflow.wait_for("the kernel to keep no packet back", 10, function()
      return here:exec("cell", "awk '$1 == 100 { print $3 }' /proc/net/netfilter/nfnetlink_log") == "0\n"
    end)
    assert.is_true(cellflow.kill(collector, "CONT"))
    cellflow.wait_for("the loss to be told", 20, function() return run:stdout():find('"type":"lost"', 1, true) end)
    -- Until it was emptied the kernel puts nothing more into a socket that was full. (12: netfilter's; then its bytes.)
    cellflow.wait_for("the socket to be empty", 20, function()
      return here:exec("cell", "awk '$2 == 12 && $5 > 0' /proc/net/netlink") == ""
    end)
    return run
  end

  local function told(run)
    local sum, last = 0, { total = 0 }
    for _, line in ipairs(select(2, policy_run.lines(run))) do sum, last = sum + line.count, line end
    assert.equal(sum, last.total)
    return sum
  end

  it("has lost exactly what was logged and not seen, and the handler of losses hears it", function()
    local run = overrun()
    here:send("--mix udp4 --flows 1 --seed 2") -- its number shows what is missing before it
    assert.equal(7, run:finish())
    local c = identities.check(run:summary()).collector
    assert.is_true(c.nflog_lost > 0 and c.nflog_overruns > 0)
    assert.equal(0, c.nflog_unsettled)
    assert.equal(logged(), c.nflog_packets + c.nflog_lost)
    assert.equal(c.nflog_lost, told(run))
    assert.matches((" %d LOST\n"):format(c.nflog_lost), run:stderr(), 1, true)
    assert.matches(("; %d lost, 0 messages refused"):format(c.nflog_lost), run:stderr(), 1, true)
  end)

  it("has lost something also when no packet came after it to say how much", function()
    local run = overrun()
    assert.equal(7, run:finish())
    local summary = identities.check(run:summary())
    local c = summary.collector
    assert.equal(1, c.nflog_unsettled)
    assert.is_true(summary.lost >= 1 and c.nflog_packets + summary.lost < logged())
    assert.equal(summary.lost, told(run))
    assert.equal("lower bound", summary.exercised_egress_connections_are)
    assert.matches((" at least %d LOST\n"):format(summary.lost), run:stderr(), 1, true)
    assert.matches((" lost and more in 1 overrun that no packet came after, 0 messages refused"), run:stderr(), 1, true)
  end)
end)
