-- SPDX-License-Identifier: MIT
-- More flows than the ring holds while nobody reads it, more records than an output takes: every loss is counted, and
-- nothing else is lost.
local helper = require("spec.helper")
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")
local lifetimes = require("lifetimes")
local policy_run = require("policy_run")
require("core_headers")("error", "ring")

local FIT = helper.core.cf_ring_slot_limit(1048576 / 128) -- events that the ring holds
local FLOWS = 12000

describe("a ring that is too small", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    cellflow.stop_all()
    policy_run.remove_all()
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
      return select(2, run:stdout():gsub("\n", "")) >= FIT
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
    assert.equal(FIT + 40, k.event_submitted)
    assert.equal(k.event_submitted, #records)
    assert.equal(k.ring_full, summary.lost)
    assert.equal(k.ring_full, select(2, flow_list.match(records, expected)))
    assert.matches(k.ring_full .. " LOST", run:stderr(), 1, true)
    assert.matches(("%d new + 0 evicted + 0 reused = %d submitted + %d ring full"):format(k.flow_new, k.event_submitted,
      k.ring_full),
      run:stderr(), 1, true)
  end)

  -- The ring of a cell with both sources is its own, and read by the collector.
  for size, fits in pairs({ ["1"] = false, ["4"] = true }) do
    it("is one of a cell with both sources too, as large as --ring-size says: " .. size .. " MiB", function()
      local run = cellflow.start({ args = { "--netns", here.cell, "--sources", "ebpf,nflog", "--ring-size", size,
        "--summary-record" } }):ready()
      local collector = run:collector()
      assert.is_true(cellflow.kill(collector, "STOP"))
      here:send(("--mix udp4 --flows %d"):format(FLOWS))
      assert.is_true(cellflow.kill(collector, "CONT"))
      assert.equal(0, run:finish())
      local k = identities.check(run:summary()).kernel
      assert.equal(fits and 0 or FLOWS - FIT, k.ring_full)
    end)
  end

  it("is no failure unless asked to be one", function()
    local _, code = overload()
    assert.equal(0, code)
  end)

  it("loses beginnings and no totals: what comes later of a flow has all its packets", function()
    here:serve()
    local run, list = policy_run.start(here, "flows { udp_idle = 3, update = 1 }\n", { "--ring-size", "1", "--events",
      "opened,updated,closed" }):ready(), os.tmpname()
    local worker = run:worker()
    assert.is_true(cellflow.kill(worker, "STOP"))
    here:send(("--mix udp4,udp6 --flows %d --packets 3 --payload 100 --list %s"):format(FLOWS, list))
    assert.is_true(cellflow.kill(worker, "CONT"))
    local expected = flow_list.read(list)
    os.remove(list)
    cellflow.wait_for("all to be closed", 30, function()
      return select(2, run:stdout():gsub('"kind":"closed"', "")) >= FLOWS
    end)
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    local lives, count = lifetimes.of(run:records(), expected, { lossy = true })
    assert.equal(FLOWS, count)
    local unopened = 0
    for flow, life in pairs(lives) do
      local bytes = 3 * (100 + (flow:find(":", 1, true) and 48 or 28))
      assert.same({ flow, 3, bytes }, { flow, life[1].closed.packet_count, life[1].closed.byte_count })
      unopened = unopened + (life[1].opened and 0 or 1)
    end
    assert.is_true(unopened > 0 and unopened <= summary.kernel.ring_full)
    assert.equal(summary.kernel.ring_full, summary.lost)
  end)

  it("and a flow table that is too small: what was forgotten is a flow anew, and nothing else", function()
    here:serve()
    local run = cellflow.start({ args = { "--netns", here.cell, "--flow-entries", "64", "--summary-record" } }):ready()
    here:send("--mix udp4,udp6 --flows 2000 --packets 1")
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    assert.is_true(summary.kernel.flow_new >= 2000)
    assert.equal(summary.kernel.flow_evicted, summary.kernel.event_unwanted) -- nobody asked for `closed`
    assert.is_true(summary.kernel.flow_evicted >= 2000 - 8 * 15)
    assert.equal(summary.kernel.flow_new - summary.lost, #run:records())
  end)
end)

describe("a reader that is slower than the worker", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local BURST = 25000 -- three times the bytes of an output's buffer
  local here, files
  before_each(function()
    here = lab.up()
    files = {}
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

  -- cellflow with stdout a pipe to cat(1): the run, the reader and the file that it writes.
  local function start(...)
    local pipe, output = file(), file()
    lab.must(("rm %s && mkfifo %s"):format(pipe, pipe))
    local reader = here:start("peer", ("sh -c 'exec cat %s >%s'"):format(pipe, output))
    local run = cellflow.start({ args = { "--netns", here.cell, "--interface", "eth0", "--summary-record", ... },
      stdout = pipe }):ready()
    return run, reader, output
  end

  -- All flows of the burst are in the ring before the worker sees the first.
  local function burst(run)
    local _, worker = run:pids()
    local path = file()
    assert.is_true(cellflow.kill(worker, "STOP"))
    here:send(("--mix udp4,udp6 --flows %d --list %s"):format(BURST, path))
    return worker, flow_list.read(path)
  end

  for _, moment in ipairs({ "while it runs", "at its end" }) do
    it("gets all records of a burst, " .. moment, function()
      local run, reader, output = start()
      local worker, expected = burst(run)
      if moment == "at its end" then run:signal("TERM") end
      assert.is_true(cellflow.kill(worker, "CONT"))
      if moment == "while it runs" then
        cellflow.wait_for("all records", 20, function() return lab.must("wc -l <" .. output) + 0 >= BURST end)
        run:signal("TERM")
      end
      assert.equal(0, run:wait(20))
      cellflow.wait_for("the reader to end", 10, function() return not cellflow.is_alive(reader.pid) end)
      assert.equal(0, select(2, flow_list.match(run:records(output), expected)))
      assert.equal(0, identities.check(run:summary(output)).lost)
    end)
  end

  it("and takes nothing at all costs its own output records, and no other output any", function()
    local other = file("")
    local run, reader = start("--drain-timeout", "1", "-c", file(
      ('output "json" { path = "-" }\noutput "json" { path = "%s" }\n'):format(other)))
    assert.is_true(cellflow.kill(reader.pid, "STOP"))
    local worker, expected = burst(run)
    assert.is_true(cellflow.kill(worker, "CONT"))
    cellflow.wait_for("all records in the file", 20, function() return lab.must("wc -l <" .. other) + 0 >= BURST end)
    assert.equal(0, run:finish(20))
    assert.equal(0, select(2, flow_list.match(run:records(other), expected)))
    local summary = identities.check(run:summary(other))
    assert.equal(BURST, summary.outputs[2].written)
    assert.is_true(summary.outputs[1].dropped > 0)
    assert.equal(summary.lost, summary.outputs[1].dropped + summary.outputs[1].unwritten)
    assert.is_true(cellflow.kill(reader.pid, "CONT"))
  end)
end)
