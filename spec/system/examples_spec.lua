-- SPDX-License-Identifier: MIT
-- Example policies on real traffic.
local cellflow = require("cellflow")
local identities = require("identities")
local lab = require("spec.support.lab")
local policy_run = require("policy_run")

describe("on real traffic, example", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function()
    here = lab.up()
    here:serve()
  end)
  after_each(function()
    cellflow.stop_all()
    here:down()
  end)

  local function start(name, ...)
    return cellflow.start({ args = { "-c", ("lua/examples/%s.lua"):format(name), "--cell", "one", "--netns", here.cell,
      "--interface", "eth0", "--summary-record", ... } }):ready()
  end

  local function first_of(run, type)
    local _, extra = policy_run.lines(run)
    for _, line in ipairs(extra) do
      if line.type == type then return line end
    end
  end

  it("top_talkers says whom the cell spoke to", function()
    local run = start("top_talkers", "-a", "interval=0.2")
    here:send("--flows 60 --mix udp4,udp6")
    local function tops()
      local _, extra = policy_run.lines(run)
      for _, line in ipairs(extra) do
        local found = {}
        for _, entry in ipairs(line.top) do found[entry.key] = entry.count end
        if (found[lab.peer4] or 0) + (found[lab.peer6] or 0) >= 60 then return found end
      end
    end
    local found = cellflow.wait_for("all sixty to be counted", 10, tops)
    assert.is_true(found[lab.peer4] >= 30 and found[lab.peer6] >= 30)
    assert.equal(0, run:finish())
    assert.equal(0, #policy_run.lines(run))
    identities.check(run:summary())
  end)

  it("port_scan_detector denies the rest of a scan", function()
    local run = start("port_scan_detector")
    here:send("--flows 40 --mix udp4 --ports 40")
    assert.equal(0, run:finish())
    local denied = 0
    for _, record in ipairs((policy_run.lines(run))) do
      if record.reason_code == "port_scan" then denied = denied + 1 end
    end
    assert.equal(20, denied)
    local scan = first_of(run, "port_scan")
    assert.same({ lab.cell4, lab.peer4, 21 }, { scan.from, scan.to, scan.ports })
    assert.equal(20, identities.check(run:summary()).decisions.deny)
  end)

  it("first_seen_destinations writes each destination once", function()
    local run = start("first_seen_destinations")
    here:send("--flows 40 --mix udp4,tcp4 --ports 5")
    assert.equal(0, run:finish())
    local seen = {}
    for _, record in ipairs(run:records()) do
      local to = ("%s %s %s"):format(record.dst_addr, record.protocol, record.dst_port)
      assert.is_nil(seen[to], to .. " twice")
      assert.is_true(record.first_contact)
      seen[to] = true
    end
    local summary = identities.check(run:summary())
    local counted = policy_run.counters(summary)
    assert.equal(#run:records(), counted["new destinations"])
    assert.equal(summary.kernel.flow_new, counted["new destinations"] + counted["flows to known destinations"])
  end)

  it("csv is read by Python as a table with a record for each flow", function()
    local path = os.tmpname()
    local run = cellflow.start({ stdout = path, args = { "-c", "lua/examples/csv.lua", "--cell", "a,b", "--netns",
      here.cell, "--interface", "eth0" } }):ready()
    here:send("--flows 20 --mix udp4,tcp6")
    assert.equal(0, run:finish())
    local count = lab.must(([[python3 -c '
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
assert all(row["cell_id"] == "a,b" and None not in row for row in rows)
print(sum(1 for row in rows if row["protocol"] in ("udp", "tcp") and 9000 <= int(row["dst_port"]) < 9016))
' %s]]):format(path))
    os.remove(path)
    assert.equal(20, tonumber(count))
  end)

  it("declared_versus_exercised tells what was declared for nothing, and used without", function()
    local run = start("declared_versus_exercised")
    here:send("--flows 16 --mix udp4 --ports 16")
    assert.equal(0, run:finish())
    local found = first_of(run, "declared_versus_exercised")
    assert.same({ "dns", "https" }, found.unused)
    local used = {}
    for _, entry in ipairs(found.undeclared) do used[entry.key] = entry.count end
    for port = 9000, 9015 do
      assert.equal(port >= 9008 and 1 or nil, used[("udp %s %d"):format(lab.peer4, port)])
    end
    identities.check(run:summary())
  end)

  it("rate_alarm is raised by a burst, once", function()
    local run = start("rate_alarm", "-a", "limit=50")
    here:send("--flows 200 --mix udp4")
    assert.equal(0, run:finish())
    local alarm = first_of(run, "rate_alarm")
    assert.same({ "one", 51 }, { alarm.cell, alarm.flows })
    assert.equal(1, select(2, run:stdout():gsub('"rate_alarm"', "")))
    identities.check(run:summary())
  end)
end)
