-- SPDX-License-Identifier: MIT
-- cellflow run --record: what the policy was given is in the recording, each event once and in the order of the
-- records, whoever is killed, stopped or out of space.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local identities = require("identities")
local recorded = require("recorded")
local system = require("system")

local lacking = lab.lacking()
local here, path

local function up()
  here, path = lab.up(), os.tmpname()
  os.remove(path)
end

local function down()
  cellflow.stop_all()
  here:down()
  for _, part in ipairs(recorded.parts(path)) do os.remove(part) end
end

local function start(...)
  return cellflow.start({ args = { "--netns", here.cell, "--interface", "eth0", "--record", path, "--summary-record",
    ... } }):ready()
end

local function sender(flows, rate, mix)
  return here:start("cell", ("build/flowgen --mix %s --flows %d --rate %d --to4 %s --to6 %s"):format(mix or "udp4,udp6",
    flows, rate, lab.peer4, lab.peer6))
end

local function wait_for(process)
  cellflow.wait_for("the sender to end", 30, function() return not cellflow.is_alive(process.pid) end)
  here:stop(process)
end

local function recorder(run, old)
  return cellflow.wait_for("a recorder", 10, function()
    local pid = cellflow.child(run.pid, "cf-recorder")
    return pid ~= old and pid
  end)
end

-- Ends the run; returns what was recorded, the summary and the records.
local function finish(run)
  assert.equal(0, run:finish(30))
  local all, summary = recorded.read(unpack(recorded.parts(path))), identities.check(run:summary())
  assert.equal(#all.events, summary.recording.events)
  assert.equal(#all.files, summary.recording.parts)
  assert.is_true(all.files[#all.files].ended)
  assert.is_false(all.files[#all.files].continues)
  return all, summary, recorded.of_output(run:stdout())
end

describe("a run that is recorded", function()
  if lacking then return pending(lacking) end
  before_each(up)
  after_each(down)

  it("has every event in the recording, once, in order, with the time that its record has", function()
    local run = start()
    wait_for(sender(50000, 50000))
    local all, summary, records = finish(run)
    assert.is_true(#records >= 50000)
    recorded.same(records, all.events)
    assert.same({ "cell" }, all.cells)
    assert.same({ "start", "stop" }, all.moments)
    assert.same({}, all.generations)
    assert.same({}, all.lost)
    assert.equal(0, summary.recording.unrecorded + summary.recording.unwritten + summary.recording.errors)
    assert.equal("rw-------", lab.must("stat -c %A " .. path):match("^.(%S+)"))
    assert.equal(lab.must("stat -c %s " .. path) + 0, summary.recording.bytes)
    local order = all.files[1].order
    assert.equal("meta cell clock moment", table.concat(order, " ", 1, 4))
    assert.same({ "moment", "end" }, { order[#order - 1], order[#order] })
  end)

  it("is recorded by a process that can do nothing else", function()
    local run = start()
    local pid = recorder(run)
    local status = lab.read_file(("/proc/%d/status"):format(pid))
    assert.matches("\nSeccomp:%s+2\n", status)
    assert.matches("\nCapEff:%s+0+\n", status)
    assert.matches("\nNoNewPrivs:%s+1\n", status)
    assert.not_matches("\nUid:%s+0%s", status)
    finish(run)
  end)

  it("of which workers are killed: nothing is there twice, and what a successor decided is there", function()
    local run, worker = start(), nil
    local load = sender(30000, 20000)
    for _ = 1, 5 do
      worker = run:worker(worker)
      system.sleep(0.02 + math.random() * 0.2)
      assert.is_true(cellflow.kill(worker, "KILL"))
    end
    wait_for(load)
    run:worker(worker)
    local all, summary, records = finish(run)
    recorded.same(records, all.events)
    assert.equal(summary.worker.skipped, all.lost.skipped or 0)
    assert.is_true(#all.generations >= 5)
    for _, generation in ipairs(all.generations) do assert.equal(1, generation.generation) end
  end)

  it("of which recorders are killed: each successor goes on where the last whole block ended", function()
    local run, pid = start(), nil
    local load = sender(60000, 15000)
    for _ = 1, 3 do
      pid = recorder(run, pid)
      system.sleep(0.2 + math.random() * 0.5)
      assert.is_true(cellflow.kill(pid, "KILL"))
    end
    wait_for(load)
    recorder(run, pid)
    local all, summary, records = finish(run)
    recorded.same(records, all.events)
    assert.equal(3, summary.recording.restarts)
    for i, file in ipairs(all.files) do
      assert.equal(0, file.damage)
      assert.equal(i == #all.files, file.ended)
      assert.equal(i - 1, all.parts[i].part)
      assert.is_true(all.parts[i].recording == all.parts[1].recording)
    end
  end)

  it("and killed at once leaves a file that can be read but for its last second", function()
    local run = start()
    local load = sender(60000, 20000)
    cellflow.wait_for("some blocks", 10, function() return recorded.read(path).files[1].blocks > 5 end)
    local children = cellflow.children(run.pid)
    assert.equal(3, #children)
    run:signal("KILL")
    run:wait()
    wait_for(load)
    for _, child in ipairs(children) do
      cellflow.wait_for("its processes to end", 5, function() return not cellflow.is_alive(child) end)
    end
    local all, records = recorded.read(path), recorded.of_output(run:stdout())
    assert.is_false(all.files[1].ended)
    assert.is_true(#all.events > 0)
    if #all.events > #records then records, all.events = all.events, records end
    recorded.same(records, all.events, true)
  end)

  it("whose recorder does not keep up: what is missing is counted and told, and no record is", function()
    local run = start()
    local pid = recorder(run)
    assert.is_true(cellflow.kill(pid, "STOP"))
    wait_for(sender(160000, 50000))
    cellflow.wait_for("the ring to be read", 20, function()
      return select(2, run:stdout():gsub("\n", "")) >= 160000
    end)
    assert.is_true(cellflow.kill(pid, "CONT"))
    system.sleep(0.5)
    here:serve()
    wait_for(sender(1000, 1000, "tcp4,tcp6"))
    local all, summary, records = finish(run)
    assert.equal(0, summary.lost)
    assert.is_true(#records >= 161000 and summary.recording.unrecorded > 0)
    assert.equal(summary.recording.unrecorded, all.lost.unrecorded)
    assert.equal(#records - #all.events, all.lost.unrecorded)
    local at = {}
    for i, event in ipairs(records) do at[event] = i end
    for i = 2, #all.events do assert(at[all.events[i - 1]] < at[all.events[i]]) end
    assert.equal(records[#records], all.events[#all.events])
  end)

  it("whose recorder is merely slow at the end, when all flows end at once, has them all", function()
    local run = start("--events", "closed", "--drain-timeout", "60")
    wait_for(sender(200000, 100000, "udp4"))
    local pid = recorder(run)
    assert.is_true(cellflow.kill(pid, "STOP"))
    run:signal("TERM")
    system.sleep(1)
    assert.is_true(cellflow.kill(pid, "CONT"))
    assert.equal(0, run:wait(60))
    local summary = identities.check(run:summary())
    assert.equal(0, summary.recording.unrecorded + summary.recording.unwritten)
    assert.equal(summary.worker.consumed, summary.recording.events)
    assert.is_true(summary.worker.consumed >= 200000)
  end)

  it("goes on in other parts, of which each begins with what is in force", function()
    local run = start("--record-time", "1")
    wait_for(sender(20000, 5000))
    local all, summary, records = finish(run)
    recorded.same(records, all.events)
    assert.is_true(summary.recording.parts >= 3)
    assert.same({}, all.generations)
    for i, file in ipairs(all.files) do
      assert.is_true(file.ended)
      assert.equal(i < #all.files, file.continues)
      assert.equal(i - 1, all.parts[i].part)
      assert.equal("meta cell clock", table.concat(file.order, " ", 1, 3))
    end
  end)

  it("goes on in other parts once one is large enough", function()
    local run = start("--record-size", "1")
    -- Datagrams of which nothing compresses: ports, lengths and moments.
    local datagrams = here:start("cell", ([[timeout 60 python3 -c '
import os, random, socket
all = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(200)]
while not os.path.exists("%s.1"):
    for _ in range(1000):
        random.choice(all).sendto(b"x" * random.randrange(1200), ("%s", random.randrange(1, 65536)))
']]):format(path, lab.peer4))
    wait_for(datagrams)
    local all, summary, records = finish(run)
    recorded.same(records, all.events)
    assert.is_true(summary.recording.parts >= 2)
    for i, part in ipairs(recorded.parts(path)) do
      local size = lab.must("stat -c %s " .. part) + 0
      assert.is_true(i == #all.files or size >= 2 ^ 20 and size < 2 ^ 21, size)
      assert.equal(i < #all.files, all.files[i].continues)
    end
  end)

  it("stays in the part that there is where another one cannot be made", function()
    lab.must(("printf %%s \"somebody's\" >%s.1"):format(path))
    local run = start("--record-time", "1")
    wait_for(sender(12000, 5000))
    assert.equal(0, run:finish())
    assert.matches(path .. ".1: exists already", run:stderr(), 1, true)
    local all = recorded.read(path)
    recorded.same(recorded.of_output(run:stdout()), all.events)
    assert.is_true(all.files[1].ended)
    assert.equal("somebody's", lab.read_file(path .. ".1"))
  end)

  it("says who decides from when on, when the policy is read again", function()
    local policy = os.tmpname()
    finally(function() os.remove(policy) end)
    local function write(reason)
      local file = io.open(policy, "w")
      file:write(('cell "web" { netns = %q, interface = "eth0" }\nfunction verdict() return "allow", %q end\n')
        :format(here.cell, reason))
      file:close()
      lab.must("chmod 644 " .. policy)
    end
    write("one")
    local run = cellflow.start({ args = { "-c", policy, "--record", path, "--summary-record" } }):ready()
    local load = sender(20000, 10000)
    for generation = 2, 4 do
      system.sleep(0.3)
      write("number_" .. generation)
      run:signal("HUP")
      run:says(("generation %d is in force"):format(generation))
    end
    wait_for(load)
    assert.equal(0, run:finish())
    local all = recorded.read(path)
    recorded.same(recorded.of_output(run:stdout()), all.events)
    assert.same({ "web", "web", "web", "web" }, all.cells)
    local numbers = { all.parts[1].generation }
    for _, generation in ipairs(all.generations) do numbers[#numbers + 1] = generation.generation end
    assert.same({ 1, 2, 3, 4 }, numbers)
    assert.same({ "start", "stop", "start", "stop", "start", "stop", "start", "stop" }, all.moments)
  end)
end)

describe("a recording", function()
  if lacking then return pending(lacking) end
  before_each(up)
  after_each(down)

  local function refused(...)
    local run = cellflow.start({ args = { "--netns", here.cell, "--record", path, ... } })
    return run:wait(), run:stderr()
  end

  -- A small disk of its own with so many bytes taken; `path` is there.
  local function small_disk(taken)
    local dir = lab.must("mktemp -d"):match("%S+")
    finally(function()
      cellflow.stop_all()
      lab.must(("umount -l %s; rmdir %s"):format(dir, dir))
    end)
    lab.must(("mount -t tmpfs -o size=1m none %s && head -c %d /dev/zero >%s/filler"):format(dir, taken, dir))
    path = dir .. "/recording"
    return dir
  end

  it("is not written over another file, unless that is asked for", function()
    local file = io.open(path, "w")
    file:write("precious")
    file:close()
    local code, said = refused()
    assert.not_equal(0, code)
    assert.matches(path .. ": exists already", said, 1, true)
    assert.equal("precious", lab.read_file(path))
    finish(start("--force"))
  end)

  it("is not there when the run did not begin", function()
    assert.not_equal(0, (refused("--bpf-object", "/nonexistent", "--require", "ebpf")))
    assert.is_nil(lab.read_file(path))
  end)

  it("has options that mean nothing without it", function()
    local run = cellflow.start({ args = { "--netns", here.cell, "--record-size", "5" } })
    assert.equal(2, run:wait())
    assert.matches("--record-size: only with --record FILE", run:stderr(), 1, true)
  end)

  it("waits for a full disk, and has everything when there was room again", function()
    local dir = small_disk(1020000)
    local run = start()
    wait_for(sender(30000, 30000))
    run:says("the recording cannot be written to: No space left on device")
    os.remove(dir .. "/filler")
    system.sleep(0.5)
    local all, summary, records = finish(run)
    recorded.same(records, all.events)
    assert.equal(1, select(2, run:stderr():gsub("cannot be written to", "")))
    assert.is_true(summary.recording.errors > 0)
    assert.equal(0, summary.recording.unwritten)
  end)

  it("of a disk that stays full ends with the last whole block, and says how much is missing", function()
    small_disk(1000000)
    local run = start("--drain-timeout", "1")
    wait_for(sender(50000, 20000))
    assert.equal(0, run:finish(20))
    local all, summary = recorded.read(path), identities.check(run:summary())
    assert.equal(0, all.files[1].damage)
    assert.is_false(all.files[1].ended)
    assert.is_true(summary.recording.unwritten > 0)
    assert.equal(#all.events, summary.recording.events)
    assert.equal(summary.worker.consumed, #all.events + summary.recording.unwritten)
    assert.equal(0, summary.lost)
  end)
end)
