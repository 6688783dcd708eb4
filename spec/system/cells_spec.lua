-- SPDX-License-Identifier: MIT
-- Several cells in one policy, by one ring: every record says which cell it is of. And cells that go away.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local flow_table = require("flow_table")
local identities = require("identities")
local system = require("system")

describe("cells", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local labs, files
  before_each(function() labs, files = {}, {} end)
  after_each(function()
    cellflow.stop_all()
    for _, each in ipairs(labs) do each:down() end
    for _, path in ipairs(files) do os.remove(path) end
  end)

  local function make(count)
    for i = 1, count do labs[i] = lab.up() end
  end

  -- A policy with all the labs' cells, c1, c2, ...
  local function start(attach)
    local path = os.tmpname()
    files[#files + 1] = path
    local file = assert(io.open(path, "w"))
    for i, each in ipairs(labs) do
      file:write(('cell "c%d" { netns = "%s", interface = "eth0", hooks = {"egress", "ingress"}, tc = "%s" }\n')
        :format(i, each.cell, attach or "auto"))
    end
    file:close()
    lab.must("chmod 644 " .. path)
    return cellflow.start({ args = { "-c", path, "--summary-record" } }):ready()
  end

  local function send(i, options)
    local path = os.tmpname()
    labs[i]:send(options .. " --list " .. path)
    local expected = flow_list.read(path)
    os.remove(path)
    return expected
  end

  local function of_cell(records, name)
    local list = {}
    for _, record in ipairs(records) do
      if record.cell_id == name then list[#list + 1] = record end
    end
    return list
  end

  local function count_rings(pid)
    local count = 0
    for _, id in ipairs(flow_table.map_ids(pid)) do
      local text = lab.must("bpftool map show id " .. id)
      if text:find("ringbuf", 1, true) then count = count + 1 end
    end
    return count
  end

  -- User and system time of a process in seconds.
  local function cpu_seconds(pid)
    local stat = assert(lab.read_file(("/proc/%d/stat"):format(pid)))
    local user, kernel = stat:match("%) %S" .. (" %S+"):rep(10) .. " (%d+) (%d+)")
    return (user + kernel) / 100
  end

  -- Who still holds the namespace of inode `inode`: processes in it and descriptors of it.
  local function holders(inode)
    return (lab.run(("ls -l /proc/[0-9]*/ns/net /proc/[0-9]*/fd 2>/dev/null | grep -F 'net:[%d]'"):format(inode)))
  end

  local function inode_of(i)
    return tonumber(lab.must("stat -L -c %i /run/netns/" .. labs[i].cell))
  end

  -- Delete the namespace alone, as a runtime does that ends a cell.
  local function delete(i)
    lab.must("ip netns del " .. labs[i].cell)
  end

  local function is_really_gone(i, inode)
    cellflow.wait_for("the veth pair to go with its namespace", 10, function()
      return not lab.run(("ip -n %s -o link show"):format(labs[i].peer)):find("eth0", 1, true)
    end)
    assert.equal("", holders(inode))
  end

  it("three of them: each record is of the cell that sent, though their addresses are the same", function()
    make(3)
    for _, each in ipairs(labs) do each:serve() end
    local run, expected = start(), {}
    assert.equal(1, count_rings(run.pid))
    for i, flows in ipairs({ 120, 200, 280 }) do expected[i] = send(i, ("--flows %d --seed 1"):format(flows)) end
    assert.equal(0, run:finish())
    local records = run:records()
    for i = 1, 3 do assert.equal(0, select(2, flow_list.match(of_cell(records, "c" .. i), expected[i]))) end
    local summary = identities.check(run:summary())
    assert.equal(0, summary.lost)
    for i, flows in ipairs({ 120, 200, 280 }) do
      assert.equal("c" .. i, summary.cells[i].cell_id)
      assert.is_true(summary.cells[i].flows >= flows)
    end
  end)

  for _, attach in ipairs({ "tcx", "clsact" }) do
    it("by " .. attach .. ": the only one goes under load, one line, exit code 6, and nothing pins it", function()
      make(1)
      labs[1]:serve()
      local run, inode = start(attach), inode_of(1)
      send(1, "--flows 200")
      local sender = labs[1]:start("cell",
        "build/flowgen --mix udp4 --flows 5000 --rate 5000 --seed 2 --to4 " .. lab.peer4)
      system.sleep(0.1)
      lab.run("kill " .. sender.pid)
      delete(1)
      is_really_gone(1, inode)
      assert.equal(6, run:wait(10))
      local _, lines = run:stderr():gsub('cell "c1": its network namespace is gone', "")
      assert.equal(1, lines)
      assert.is_nil(run:stderr():find("warning: cell \"c1\": its network namespace cannot", 1, true))
      local summary = identities.check(run:summary())
      assert.equal(0, summary.lost)
      assert.is_true(#run:records() >= 200)
      assert.is_true(summary.cells[1].gone)
    end)

    it("by " .. attach .. ": one goes, the other goes on, and nobody spins", function()
      make(2)
      labs[2]:serve()
      local run, inode = start(attach), inode_of(1)
      local before = send(2, "--flows 100")
      delete(1)
      is_really_gone(1, inode)
      run:says('cell "c1": its network namespace is gone')
      local supervisor, worker = run:pids()
      system.sleep(0.1)
      local used = cpu_seconds(supervisor) + cpu_seconds(worker)
      system.sleep(1)
      assert.is_true(cpu_seconds(supervisor) + cpu_seconds(worker) - used <= 0.02)
      local after = send(2, "--flows 100 --seed 2")
      assert.is_true(cellflow.kill(worker, "KILL")) -- a new worker is told of one cell, too
      run:worker(worker)
      local last = send(2, "--flows 100 --seed 3")
      assert.equal(0, run:finish())
      for _, more in ipairs({ after, last }) do
        for flow, packets in pairs(more) do before[flow] = packets end
      end
      assert.equal(0, select(2, flow_list.match(of_cell(run:records(), "c2"), before)))
      local _, lines = run:stderr():gsub('its network namespace is gone', "")
      assert.equal(1, lines)
      identities.check(run:summary())
    end)
  end

  it("whose interface goes is one line and exit code 6, too", function()
    make(1)
    local run = start()
    lab.must(("ip -n %s link del eth0"):format(labs[1].cell))
    assert.equal(6, run:wait(10))
    local _, lines = run:stderr():gsub('cell "c1": its interface is gone', "")
    assert.equal(1, lines)
    identities.check(run:summary())
  end)
end)
