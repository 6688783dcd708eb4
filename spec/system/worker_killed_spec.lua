-- SPDX-License-Identifier: MIT
-- kill -9 of the worker under load, again and again: no record is doubled, no line is half, and what is missing is
-- missing in the summary as well, to the last one.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")
local system = require("system")

local KILLS = 5
local FLOWS = 30000

describe("a worker that is killed under load", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

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

  local function file()
    files[#files + 1] = os.tmpname()
    return files[#files]
  end

  local function sender(list)
    return here:start("cell", ("build/flowgen --mix udp4,udp6 --flows %d --rate 20000 --to4 %s --to6 %s --list %s")
      :format(FLOWS, lab.peer4, lab.peer6, list))
  end

  -- Returns the summary, the number of records that are missing, and the flows that were sent.
  local function kill_under_load(run, read)
    local list, worker = file(), nil
    local load = sender(list)
    for _ = 1, KILLS do
      worker = run:worker(worker)
      system.sleep(0.02 + math.random() * 0.2)
      assert.is_true(cellflow.kill(worker, "KILL"))
    end
    cellflow.wait_for("the sender to end", 20, function() return not cellflow.is_alive(load.pid) end)
    here:stop(load)
    run:worker(worker)
    assert.equal(0, run:finish(20))
    local output = read()
    local _, missing = flow_list.match(run:records(output), flow_list.read(list))
    local summary = identities.check(run:summary(output))
    assert.equal(FLOWS, summary.kernel.flow_new)
    assert.equal(FLOWS, summary.worker.consumed)
    assert.is_true(summary.worker.restarts >= KILLS)
    assert.is_true(summary.worker.skipped <= KILLS)
    return summary, missing
  end

  -- Of a file nothing is doubtful, and nothing is lost but an event over which two workers died.
  local function check_file(summary, missing)
    assert.equal(missing, summary.lost)
    assert.equal(missing, summary.worker.skipped)
    assert.equal(FLOWS - missing, summary.outputs[1].written)
  end

  it("with stdout a file", function()
    local run = cellflow.start({ args = { "--netns", here.cell, "--summary-record" } }):ready()
    check_file(kill_under_load(run, function() return run.stdout_path end))
  end)

  local function start_with(text)
    local policy = file()
    local out = assert(io.open(policy, "w"))
    out:write(text)
    out:close()
    lab.must("chmod 644 " .. policy)
    return cellflow.start({ args = { "-c", policy, "--netns", here.cell, "--interface", "eth0",
      "--summary-record" } }):ready()
  end

  it("with a file of the policy's, appended to", function()
    local output = file()
    local run = start_with(('output "json" { path = "%s" }\n'):format(output))
    check_file(kill_under_load(run, function() return output end))
  end)

  it("and while it drains the ring at the end", function()
    here:serve()
    -- Slow enough that the kill comes before the end.
    local run = start_with([[function verdict(ev)
      local n = 0
      for i = 1, 5000 do n = n + i % 7 end
      return n > 0 and "allow" or "deny", "slow"
    end]])
    local _, worker = run:pids()
    local list = file()
    assert.is_true(cellflow.kill(worker, "STOP"))
    here:send(("--mix udp4,udp6 --flows %d --list %s"):format(FLOWS, list))
    run:signal("TERM")
    assert.is_true(cellflow.kill(worker, "CONT"))
    cellflow.wait_for("the first records", 10, function() return #run:stdout() > 0 end)
    assert.is_true(cellflow.kill(worker, "KILL"))
    assert.equal(0, run:wait(20))
    local _, missing = flow_list.match(run:records(), flow_list.read(list))
    local summary = identities.check(run:summary())
    check_file(summary, missing)
    assert.equal(1, summary.worker.restarts)
  end)

  -- What a pipe took of a write that was cut off, nobody can say: a line may be half, but stands alone.
  local function without_halves(from)
    local to, halves = file(), 0
    local out = assert(io.open(to, "w"))
    for line in io.lines(from) do
      if line:match("^{.*}$") then out:write(line, "\n") else halves = halves + 1 end
    end
    out:close()
    assert.is_true(halves <= 2 * KILLS)
    return to
  end

  it("with stdout a pipe", function()
    local pipe, output = file(), file()
    lab.must(("rm %s && mkfifo %s"):format(pipe, pipe))
    local reader = here:start("peer", ("sh -c 'exec cat %s >%s'"):format(pipe, output))
    local run = cellflow.start({ args = { "--netns", here.cell, "--summary-record" }, stdout = pipe }):ready()
    local summary, missing = kill_under_load(run, function()
      cellflow.wait_for("the reader to end", 10, function() return not cellflow.is_alive(reader.pid) end)
      return without_halves(output)
    end)
    local doubtful = summary.outputs[1].uncertain
    assert.equal(doubtful + summary.worker.skipped, summary.lost)
    assert.is_true(missing <= summary.lost)
    assert.is_true(doubtful <= KILLS * 256) -- a batch for each
  end)
end)
