-- SPDX-License-Identifier: MIT
-- kill -9 of the supervisor under load. With tcx nothing of it is left in the cell; with clsact the next start removes
-- what is left, and only that. And what others have on the same hook is never touched.
local json = require("dkjson")
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_table = require("flow_table")
local other_program = require("other_program")
local sockets = require("sockets")
local system = require("system")

local KILLS = 10

describe("a cell's hooks", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    sockets.close_all()
    cellflow.stop_all()
    here:down()
  end)

  local function start(attach)
    return cellflow.start({ args = { "--netns", here.cell, "--hooks", "both", "--tc", attach,
      "--summary-record" } })
  end

  local function load_forever()
    return here:start("cell", "build/flowgen --mix udp4,udp6 --flows 2000000 --ports 1000 --rate 20000 --to4 "
      .. lab.peer4 .. " --to6 " .. lab.peer6)
  end

  -- Ids of the programs on the interface, by tcx (which this bpftool does not know) and by clsact.
  local function programs()
    local ids = sockets.inside(here.cell, function() return other_program.on_tcx(sockets.index("eth0")) end)
    local all = assert(json.decode(here:exec("cell", "bpftool -j net show dev eth0")))[1]
    for _, item in ipairs(all.tc) do ids[#ids + 1] = item.id end
    return ids
  end

  -- All that tc says of the interface, counters and ages left out.
  local function tc_state()
    local text = ""
    for _, what in ipairs({ "qdisc show dev eth0", "filter show dev eth0 ingress", "filter show dev eth0 egress" }) do
      text = text .. lab.must(("tc -n %s %s"):format(here.cell, what))
    end
    return text
  end

  local function kill(run)
    local _, worker = run:pids()
    assert.is_true(run:signal("KILL"))
    assert.equal(128 + 9, run:wait(5))
    if worker then
      cellflow.wait_for("the worker to follow", 5, function() return not cellflow.is_alive(worker) end)
    end
  end

  it("by tcx: killed at ten moments under load, and nothing is left in the cell", function()
    local load = load_forever()
    for i = 1, KILLS do
      local run = start("tcx")
      if i > 3 then run:ready() end -- the first ones may be killed while they start
      system.sleep(math.random() * 0.15)
      local maps = flow_table.map_ids(run.pid)
      if i > 3 then
        assert.is_true(#maps >= 4)
        assert.equal(2, #programs())
      end
      kill(run)
      cellflow.wait_for("programs to go", 5, function() return #programs() == 0 end)
      for _, id in ipairs(maps) do
        cellflow.wait_for("map " .. id .. " to go", 5, function() return not flow_table.map_exists(id) end)
      end
      assert.equal(load.pid, tonumber(lab.must("ip netns pids " .. here.cell)))
    end
  end)

  it("by clsact: the start after a kill removes what is left, and its end all", function()
    local load, before = load_forever(), tc_state()
    for _ = 1, 3 do
      local run = start("clsact"):ready()
      system.sleep(math.random() * 0.1)
      kill(run)
      assert.equal(2, #programs()) -- clsact does outlive its maker
    end
    local run = start("clsact"):ready()
    assert.equal(2, #programs())
    here:stop(load)
    assert.equal(0, run:finish(20))
    assert.equal(before, tc_state())
  end)

  it("by clsact: a foreign qdisc and filter are left alone by kill, start and end", function()
    local other, index = other_program.load(), nil
    sockets.inside(here.cell, function()
      index = sockets.index("eth0")
      other_program.make_clsact(index)
      other:clsact(index, 5)
    end)
    local before, alone = tc_state(), programs()
    kill(start("clsact"):ready())
    assert.equal(3, #programs())
    local run = start("clsact"):ready()
    assert.equal(3, #programs())
    local count = other:count()
    here:exec("cell", "ping -q -c 3 -i 0.01 -W 2 " .. lab.peer4)
    assert.is_true(other:count() >= count + 3)
    assert.equal(0, run:finish())
    assert.equal(before, tc_state())
    assert.same(alone, programs())
  end)

  it("by tcx: what a killed one had left by clsact is removed as well", function()
    local before = tc_state()
    kill(start("clsact"):ready())
    local run = start("tcx"):ready()
    assert.equal(before, tc_state())
    assert.equal(0, run:finish())
    assert.same({}, programs())
  end)

  for _, attach in ipairs({ "tcx", "clsact" }) do
    it("by " .. attach .. ": other programs, before and after ours, run on and stay", function()
      local first, second = other_program.load(), other_program.load()
      local links, index = {}, nil
      local function join(other, priority)
        sockets.inside(here.cell, function()
          index = sockets.index("eth0")
          if attach == "tcx" then links[#links + 1] = other:tcx(index) else other:clsact(index, priority) end
        end)
      end
      if attach == "clsact" then
        sockets.inside(here.cell, function() other_program.make_clsact(sockets.index("eth0")) end)
      end
      join(first, 5)
      local run = start(attach):ready()
      join(second, 400)
      assert.equal(4, #programs())
      local function both_count(packets)
        local a, b = first:count(), second:count()
        here:exec("cell", ("ping -q -c %d -i 0.01 -W 2 %s"):format(packets, lab.peer4))
        assert.is_true(first:count() >= a + packets and second:count() >= b + packets)
      end
      both_count(5)
      assert.equal(0, run:finish())
      assert.is_true(run:summary().kernel.packets >= 10) -- neither hid them from us
      assert.equal(2, #programs())
      both_count(5)
      sockets.keep(links)
    end)
  end
end)
