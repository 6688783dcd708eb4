-- SPDX-License-Identifier: MIT
--
-- Connections to their end, with real sockets: each is opened once and closed once, for the right reason, and the
-- totals are those that nft counted in the peer.
local lab = require("spec.support.lab")
local system = require("system")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")
local lifetimes = require("lifetimes")
local witness = require("witness")

describe("a connection that is closed", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, files
  before_each(function()
    here, files = lab.up(), {}
    here:serve()
    here:serve("--reset --port-base 9100")
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

  local function start(hooks, events, flows, ...)
    return cellflow.start({ args = { "-c", file(flows), "--cell", "one", "--netns", here.cell, "--interface", "eth0",
      "--hooks", hooks, "--events", events, "--summary-record", ... } }):ready()
  end

  -- Sends, and adds what was sent to `expected`: text -> the class of that flow.
  local function send(expected, class, options)
    local path = file()
    here:send(options .. " --list " .. path)
    for flow in pairs(flow_list.read(path)) do expected[flow] = class end
  end

  -- Connections that stay open. Returns what ends them, and what adds them to `expected`.
  local function hold(expected, class, options)
    local path = file()
    local sender = here:start("cell", ("build/flowgen --to4 %s --to6 %s --end hold --list %s %s"):format(lab.peer4,
      lab.peer6, path, options))
    lab.wait_for("connections to be there", 10, function()
      return lab.read_file(sender.path):find('"seconds"', 1, true)
    end)
    return function()
      here:stop(sender)
    end, function()
      for flow in pairs(flow_list.read(path)) do expected[flow] = class end
    end
  end

  local function count_in(run, text)
    local _, count = run:stdout():gsub(text, "")
    return count
  end

  local function wait_closed(run, count, seconds)
    cellflow.wait_for(count .. " closed", seconds, function()
      return count_in(run, '"kind":"closed"') >= count
    end)
  end

  -- Every expected flow: its totals are those that nft counted.
  local function check_totals(lives, expected, counted, directions)
    for flow in pairs(expected) do
      local told = lifetimes.totals(assert(lives[flow], flow))
      for direction, watched in pairs(directions) do
        local want = watched and counted[flow][direction] or { packets = 0, bytes = 0 }
        assert.same({ flow, direction, want and want.packets or 0, want and want.bytes or 0 },
          { flow, direction, told[direction].packets, told[direction].bytes })
      end
    end
  end

  local function by_class(lives, expected)
    local classes = {}
    for flow, class in pairs(expected) do
      classes[class] = classes[class] or {}
      classes[class][flow] = lives[flow]
    end
    return classes
  end

  it("has the right reason and exact totals: fin, rst of either side, idle, and tuples used again", function()
    local expected = {}
    witness.start(here)
    local run = start("both", "opened,closed", "flows { tcp_idle = 3, udp_idle = 2 }\n")
    local release, list = hold(expected, "held", "--mix tcp4,tcp6 --flows 500 --seed 5")
    send(expected, "fin", "--mix tcp4,tcp6 --flows 2000 --packets 3 --seed 1")
    send(expected, "rst", "--mix tcp4,tcp6 --flows 250 --end rst --seed 2")
    send(expected, "sink", "--mix tcp4,tcp6 --flows 250 --end sink --port-base 9100 --seed 3")
    send(expected, "udp", "--mix udp4,udp6 --flows 2000 --packets 4 --payload 200 --seed 4")
    -- 202 connections between two pairs of ports: 200 are reuses. On one CPU, so that no SYN overtakes a reset.
    local path = file()
    here:exec("cell", ("taskset -c 0 build/flowgen --to4 %s --to6 %s --mix tcp4,tcp6 --flows 2 --ports 1 --end rst "
      .. "--repeat 101 --seed 6 --list %s"):format(lab.peer4, lab.peer6, path))
    for flow in pairs(flow_list.read(path)) do expected[flow] = "reused" end
    wait_closed(run, 5202, 20)
    assert.equal(0, run:finish())
    local counted = witness.read(here)
    release()
    list()
    local summary = identities.check(run:summary())
    assert.equal(0, summary.lost)
    local lives, count = lifetimes.of(run:records(), expected)
    assert.equal(5202, count)
    local classes = by_class(lives, expected)
    assert.same({ fin = 2000 }, lifetimes.reasons(classes.fin))
    assert.same({ rst = 250 }, lifetimes.reasons(classes.rst))
    assert.same({ rst = 250 }, lifetimes.reasons(classes.sink))
    assert.same({ rst = 202 }, lifetimes.reasons(classes.reused))
    assert.same({ idle = 500 }, lifetimes.reasons(classes.held))
    assert.same({ idle = 2000 }, lifetimes.reasons(classes.udp))
    for flow, list_of in pairs(classes.udp) do
      local closed = list_of[1].closed
      local header = flow:find(":", 1, true) and 48 or 28
      assert.same({ 4, 4 * (200 + header) }, { closed.packet_count, closed.byte_count })
      assert.is_nil(closed.reply_packet_count)
    end
    check_totals(lives, expected, counted, { egress = true, ingress = true })
    assert.equal(5202, summary.exercised_egress_connections)
    assert.equal("exact", summary.exercised_egress_connections_are)
  end)

  it("is another one when its tuple comes back after it was idle", function()
    here:nft("table inet t {\n chain i {\n type filter hook input priority 0; tcp dport 9000-9015 drop\n }\n}", "peer")
    local expected = {}
    local run = start("egress", "opened,closed", "flows { tcp_idle = 3, udp_idle = 1 }\n")
    for round = 1, 2 do
      send(expected, "udp", "--mix udp4,udp6 --flows 20 --seed 7")
      local release, list = hold(expected, "tcp", "--mix tcp4,tcp6 --flows 20 --seed 8 --end unanswered")
      release()
      list()
      wait_closed(run, 40 * round, 20)
    end
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    local lives, count = lifetimes.of(run:records(), expected)
    assert.equal(80, count)
    assert.same({ idle = 80 }, lifetimes.reasons(lives))
    for _, both in pairs(lives) do
      assert.equal(2, #both)
      assert.is_nil(both[2].opened.reopened or both[2].opened.midstream)
    end
    assert.same({ 80, "exact" }, { summary.exercised_egress_connections, summary.exercised_egress_connections_are })
  end)

  it("is closed by one side's FIN or RST where only the way out is watched", function()
    local expected = {}
    witness.start(here)
    local run = start("egress", "opened,closed", "")
    send(expected, "fin", "--mix tcp4,tcp6 --flows 200 --packets 2 --seed 1")
    send(expected, "rst", "--mix tcp4,tcp6 --flows 100 --end rst --seed 2")
    wait_closed(run, 300, 10) -- long before the idle time of 300 seconds
    assert.equal(0, run:finish())
    assert.equal(0, identities.check(run:summary()).lost)
    local lives, count = lifetimes.of(run:records(), expected)
    assert.equal(300, count)
    local classes = by_class(lives, expected)
    assert.same({ fin = 200 }, lifetimes.reasons(classes.fin))
    assert.same({ rst = 100 }, lifetimes.reasons(classes.rst))
    check_totals(lives, expected, witness.read(here), { egress = true, ingress = false })
    for flow in pairs(expected) do assert.is_nil(lives[flow][1].closed.reply_packet_count) end
  end)

  it("is told of meanwhile, at the interval, with totals that never go back", function()
    local expected = {}
    local run = start("both", "opened,updated,closed", "flows { udp_idle = 2, update = 1 }\n")
    local path
    for _ = 1, 8 do
      path = file()
      here:send("--mix udp4,udp6 --flows 20 --ports 10 --packets 2 --list " .. path)
      system.sleep(0.4)
    end
    for flow in pairs(flow_list.read(path)) do expected[flow] = true end
    wait_closed(run, 20, 10)
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    assert.equal(0, summary.lost)
    local lives, count = lifetimes.of(run:records(), expected)
    assert.equal(20, count)
    assert.same({ idle = 20 }, lifetimes.reasons(lives))
    local updates = 0
    for _, list in pairs(lives) do
      assert.is_true(#list[1].updated >= 2)
      updates = updates + #list[1].updated
      assert.equal(16, list[1].closed.packet_count)
      assert.is_true(list[1].closed.duration_ms > 0)
    end
    assert.is_true(summary.collector.updated >= updates)
  end)

  it("is closed with the run, and once, when it is still open then", function()
    local expected = {}
    local run = start("both", "opened,closed", "")
    local release, list = hold(expected, "tcp", "--mix tcp4,tcp6 --flows 300")
    send(expected, "udp", "--mix udp4,udp6 --flows 3000")
    assert.equal(0, count_in(run, '"kind":"closed"'))
    assert.equal(0, run:finish())
    release()
    list()
    assert.equal(0, identities.check(run:summary()).lost)
    local lives, count = lifetimes.of(run:records(), expected)
    assert.equal(3300, count)
    assert.same({ shutdown = 3300 }, lifetimes.reasons(lives))
  end)

  it("is closed with its cell, when that goes", function()
    local expected, other = {}, lab.up()
    local ok, why = pcall(function()
      local policy = ('cell "one" { netns = "%s", events = { "opened", "closed" } }\n'
        .. 'cell "two" { netns = "%s", events = { "opened", "closed" } }\n'):format(here.cell, other.cell)
      local run = cellflow.start({ args = { "-c", file(policy), "--hooks", "both", "--summary-record" } }):ready()
      send(expected, "udp", "--mix udp4,udp6 --flows 1000")
      here:exec("cell", "ip link del eth0")
      lab.must("ip netns del " .. here.cell)
      wait_closed(run, 1000, 10)
      assert.is_nil(run:ended())
      local lives, count = lifetimes.of(run:records(), expected)
      assert.equal(1000, count)
      assert.same({ cell_gone = 1000 }, lifetimes.reasons(lives))
      assert.equal(0, run:finish())
      assert.equal(0, identities.check(run:summary()).lost)
      local _, all = lifetimes.of(run:records(), expected)
      assert.equal(1000, all)
    end)
    other:down()
    assert(ok, why)
  end)
end)
