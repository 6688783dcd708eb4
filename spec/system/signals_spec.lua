-- SPDX-License-Identifier: MIT
--
-- Signals: what each of them does to a running cellflow, to its cells and to its outputs. Reloading under load is
-- reload_spec.lua's.
local cellflow = require("cellflow")
local descriptors = require("descriptors")
local labs = require("lab")
local operator = require("operator")
local system = require("system")

describe("signal", function()
  local lab, desk

  setup(function()
    lab = labs.up()
    lab:serve()
  end)
  teardown(function() lab:down() end)
  before_each(function() desk = operator.open(lab) end)
  after_each(function()
    cellflow.stop_all()
    desk:close()
  end)

  local function send(count, seed)
    lab:send(("--flows %d --mix udp4 --seed %d"):format(count, seed or 1))
  end

  local function policy(code, rest)
    return desk:policy(('function verdict(ev) return "allow", %q end\n%s'):format(code, rest or ""))
  end

  local function reasons(records)
    local counts = {}
    for _, record in ipairs(records) do
      counts[record.reason_code] = (counts[record.reason_code] or 0) + 1
    end
    return counts
  end

  -- "link id / program id" of each link that the supervisor holds, sorted.
  local function links(pid)
    local text = labs.must(("grep -hs -A9 link_type /proc/%d/fdinfo/* || true"):format(pid))
    local list = {}
    for link, program in text:gmatch("link_id:%s*(%d+).-prog_id:%s*(%d+)") do
      list[#list + 1] = link .. "/" .. program
    end
    table.sort(list)
    return list
  end

  it("TERM lets everything arrive, prints the numbers, detaches and ends with 0", function()
    local run = cellflow.start({ args = { "--netns", lab.cell } }):ready()
    send(3000)
    assert.equal(0, run:finish())
    assert.equal(3000, #run:records())
    assert.matches("summary: 3000 flows in [^\n]*, 3000 records %(3000 allow, 0 deny%), nothing lost\n", run:stderr())
    assert.equal("", labs.must(("ip netns exec %s tc filter show dev eth0 egress"):format(lab.cell)))
  end)

  it("INT, which a terminal gives to every process of the group, does the same", function()
    local run = cellflow.start({ args = { "--netns", lab.cell } }):ready()
    local worker = run:worker()
    send(3000)
    cellflow.kill(worker, "INT")
    cellflow.kill(worker, "TERM")
    run:signal("INT")
    assert.equal(0, run:wait())
    assert.equal(3000, #run:records())
    assert.matches("nothing lost", run:stderr(), 1, true)
    assert.matches(" 0 restarts", run:stderr(), 1, true)
  end)

  it("TERM a second time ends a drain that hangs", function()
    labs.must("mkfifo " .. desk:at("fifo"))
    local reader = descriptors.open(desk:at("fifo"), descriptors.O_RDWR + descriptors.O_NONBLOCK)
    local run = cellflow.start({ args = { "--netns", lab.cell, "--drain-timeout", "60" }, stdout = desk:at("fifo") })
    run:ready()
    send(4000)
    run:signal("TERM")
    system.sleep(0.5)
    assert.is_nil(run:ended())
    run:signal("TERM")
    assert.equal(0, run:wait(5))
    assert.matches("4000 records = %d+ written %+ 0 dropped %+ %d+ uncertain %+ %d+ unwritten", run:stderr())
    descriptors.close(reader)
  end)

  it("TERM while a policy is still being read ends the start, which is no failure", function()
    local path = desk:policy('local s = ("a"):rep(3e6)\nfor _ = 1, 1e6 do s:reverse() end')
    local run = cellflow.start({ args = { "-c", path } })
    run:worker()
    run:signal("TERM")
    assert.equal(0, run:wait(5))
    assert.equal(("cellflow: interrupted while loading %s\n"):format(path), run:stderr())
  end)

  it("HUP and USR1 while a policy is still being read do not", function()
    local path = desk:policy('local s = ("a"):rep(1e6)\nfor _ = 1, 1000 do s:reverse() end')
    local run = cellflow.start({ args = { "-c", path } })
    run:worker()
    run:signal("USR1")
    run:signal("HUP")
    run:says("generation 2 is in force")
    assert.equal(0, run:finish())
    assert.is_nil(run:stderr():find("error:", 1, true), run:stderr())
  end)

  it("USR1 prints the numbers so far and changes nothing", function()
    local run = cellflow.start({ args = { "--netns", lab.cell } }):ready()
    local _, worker = run:pids()
    send(100)
    cellflow.wait_for("the numbers", 10, function()
      run:signal("USR1")
      return run:stderr():find("summary: 100 flows", 1, true)
    end)
    send(50, 2)
    assert.equal(worker, select(2, run:pids()))
    assert.equal(0, run:finish())
    assert.equal(150, #run:records())
    assert.matches("summary: 150 flows", run:stderr(), 1, true)
  end)

  describe("HUP", function()
    it("makes the next records follow the policy as it is now", function()
      local run = cellflow.start({ args = { "-c", policy("old") } }):ready()
      send(100)
      cellflow.wait_for("their records", 10, function() return #run:records() == 100 end)
      policy("new")
      run:signal("HUP")
      run:says("reloaded: generation 2 is in force")
      send(50, 2)
      assert.equal(0, run:finish())
      assert.same({ old = 100, new = 50 }, reasons(run:records()))
    end)

    for what, case in pairs({
      ["does not parse"] = { "function verdict(", "p.lua:1: [^\n]*'<eof>'" },
      ["is gone"] = { nil, "p.lua: cannot open the policy file: No such file or directory" },
      ["names an interface that is missing"] = { 'cell "web" { netns = "%s", interface = "eth7", sources = "ebpf" }',
        'p.lua:1: cell "web": no interface eth7 %%(there are: lo, eth0%%)' },
      ["names an output that cannot be opened"] = { 'cell "web" { netns = "%s", interface = "eth0" }\n' ..
        'output "json" { path = "/nope/x" }', 'p.lua:2: output "/nope/x": cannot open: No such file or directory' },
    }) do
      it("keeps the old policy in force when the new one " .. what, function()
        local path = policy("old")
        local run = cellflow.start({ args = { "-c", path } }):ready()
        local before = links(run.pid)
        if case[1] then desk:write("p.lua", case[1]:format(lab.cell)) else os.remove(path) end
        run:signal("HUP")
        run:says("reload failed")
        send(20)
        assert.equal(1, #before)
        assert.same(before, links(run.pid))
        assert.equal(0, run:finish())
        assert.same({ old = 20 }, reasons(run:records()))
        assert.matches("cellflow: error: reload failed, generation 1 stays in force: " ..
          desk.path:gsub("%p", "%%%0") .. "/" .. case[2]:gsub("%%%%", "%%") .. "\n", run:stderr())
        assert.equal(1, select(2, run:stderr():gsub("error:", "")))
      end)
    end

    it("opens outputs anew, as log rotation needs it", function()
      local file = desk:at("records")
      local path = policy("p", ('output "json" { path = %q }'):format(file))
      local run = cellflow.start({ args = { "-c", path } }):ready()
      send(100)
      labs.wait_for("100 records", 10, function() return select(2, labs.read_file(file):gsub("\n", "")) == 100 end)
      assert(os.rename(file, file .. ".1"))
      send(10, 2)
      run:signal("HUP")
      run:says("generation 2 is in force")
      send(50, 3)
      assert.equal(0, run:finish())
      assert.equal(110, #run:records(file .. ".1"))
      assert.equal(50, #run:records(file))
    end)

    it("attaches a cell that is new, detaches one that is gone, and touches no other", function()
      local other = labs.up()
      finally(function() other:down() end)
      other:serve()
      local second = ('cell "other" { netns = %q, interface = "eth0" }'):format(other.cell)
      local run = cellflow.start({ args = { "-c", policy("p") } }):ready()
      local only = links(run.pid)
      policy("p", second)
      run:signal("HUP")
      run:says("generation 2 is in force")
      local both = links(run.pid)
      assert.equal(2, #both)
      assert.is_true(both[1] == only[1] or both[2] == only[1])
      other:send("--flows 30 --mix udp4")
      send(20)
      policy("p")
      run:signal("HUP")
      run:says("generation 3 is in force")
      assert.same(only, links(run.pid))
      other:send("--flows 30 --mix udp4 --seed 2")
      send(20, 2)
      assert.equal(0, run:finish())
      local cells = {}
      for _, record in ipairs(run:records()) do cells[record.cell_id] = (cells[record.cell_id] or 0) + 1 end
      assert.same({ web = 40, other = 30 }, cells)
    end)

    it("twenty times in a burst loses nothing and fails at nothing", function()
      local run = cellflow.start({ args = { "-c", policy("p") } }):ready()
      local before = links(run.pid)
      local sender = lab:start("cell", ("build/flowgen --to4 %s --to6 %s --mix udp4 --flows 6000 --rate 4000"):format(
        labs.peer4, labs.peer6))
      for _ = 1, 20 do
        run:signal("HUP")
        run:signal("USR1")
        system.sleep(0.05)
      end
      labs.wait_for("the sender", 20, function() return labs.read_file(sender.path):find('"flows":6000', 1, true) end)
      assert.same(before, links(run.pid))
      assert.equal(0, run:finish())
      local ids, count = {}, 0
      for _, record in ipairs(run:records()) do
        assert.is_nil(ids[record.decision_id], "twice")
        ids[record.decision_id], count = true, count + 1
      end
      assert.equal(6000, count)
      assert.is_nil(run:stderr():find("error:", 1, true), run:stderr())
      assert.is_nil(run:stderr():find("warning:", 1, true), run:stderr())
    end)
  end)

  it("KILL of the supervisor takes the worker along", function()
    local run = cellflow.start({ args = { "--netns", lab.cell } }):ready()
    local worker = run:worker()
    run:signal("KILL")
    cellflow.wait_for("the worker's end", 1, function() return not cellflow.is_alive(worker) end)
  end)
end)
