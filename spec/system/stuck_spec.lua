-- SPDX-License-Identifier: MIT
-- Policies that do not come back: the worker is ended, the guilty function is switched off and named, everything else
-- of the policy stays in force, and no event is lost. Loops that are compiled and not, loops in pcall, every kind of
-- function.
local cellflow = require("cellflow")
local labs = require("lab")
local system = require("system")

local STUCK_S = 1

local CALLS = "local n = 0 while true do n = n + #tostring(n) end" -- allocates and calls out of the trace
local NO_LOOP = "string.find(('a'):rep(30), ('a?'):rep(30) .. ('a'):rep(30))" -- one call into C, for ages
local PLAIN = "local n = 0 while true do n = n + 1 end"
local CAUGHT = "while true do pcall(function() while true do end end) end"

-- In every place at once, each for flows to a port of its own.
local EVERYWHERE = [[
on("start", function() %s end)
on("stop", function() %s end)
every(0.1, function() %s end)
on("opened", function(ev) if ev.dst_port == 3000 then %s end end)
on("decision", function(record) if record.dst_port == 3001 then %s end end)
function dedup(ev) if ev.dst_port == 3002 then %s end return false end
function verdict(ev) if ev.dst_port == 3003 then %s end return "deny", "said" end
function reason(ev) if ev.dst_port == 3004 then %s end end
function format(record) if record.dst_port == 3005 then %s end return record end
]]
local BY_PORT = { 'on "opened"', 'on "decision"', "dedup", "verdict", "reason", "format" }

local function policy(cell, body, interpreted)
  return ([[
cell "web" { netns = %q, interface = "eth0" }
limits { stuck_s = %d, interpreted = %s }
]]):format(cell, STUCK_S, interpreted or false) .. body
end

-- For the flow to port 3003 only; the others show that the rest of the policy goes on.
local VERDICT = "function verdict(ev) if ev.dst_port == 3003 then %s end return 'deny', 'said' end"

describe("a function that does not come back", function()
  local lab, path

  before_each(function()
    lab, path = labs.up(), os.tmpname()
    lab:serve("--port-base 3000 --ports 8 --seconds 60")
  end)
  after_each(function()
    cellflow.stop_all()
    lab:down()
    os.remove(path)
  end)

  local function start(body, interpreted)
    local file = assert(io.open(path, "w"))
    file:write(policy(lab.cell, body, interpreted))
    file:close()
    return cellflow.start({ args = { "-c", path, "--summary-record" } }):ready()
  end

  local function send(seed, flows)
    lab:send(("--mix udp4,udp6 --flows %d --port-base 3000 --ports 8 --seed %d"):format(flows, seed))
  end

  local function ends_well(run, name, flows)
    run:says(name, STUCK_S + 3)
    assert.truthy(run:stderr():find("switched off until the policy is read again", 1, true), run:stderr())
    send(2, flows) -- the guilty one is gone, and everything goes through at once
    cellflow.wait_for("all records", 5, function()
      return select(2, run:stdout():gsub("\n", "")) >= 2 * flows
    end)
    assert.equal(0, run:finish())
    local summary = run:summary()
    assert.same({ 2 * flows, 2 * flows, 0, 1, true },
      { summary.flows, summary.worker.records, summary.lost, summary.worker.restarts, summary.adds_up })
  end

  local function lines(run) return select(2, run:stdout():gsub("\n", "")) end

  -- One after the other: while the batch is decided again over which a worker was ended, nothing is compiled.
  local function hang_everywhere(loop, interpreted)
    local run = start(EVERYWHERE:gsub("%%s", loop), interpreted)
    run:says('on "start" at ' .. path .. ":3 did not come back", STUCK_S + 3)
    run:says("every(0.1) at " .. path .. ":5 did not come back", STUCK_S + 3)
    for port = 3000, 3005 do
      lab:send(("--mix udp4,udp6 --flows 8 --port-base %d --ports 1 --seed %d"):format(port, port))
      run:says(("%s at %s:%d did not come back"):format(BY_PORT[port - 2999], path, port - 2994), STUCK_S + 3)
      cellflow.wait_for("the records", 5, function() return lines(run) == 8 * (port - 2999) end)
    end
    assert.equal(0, run:finish(STUCK_S + 10))
    assert.truthy(run:stderr():find('on "stop" at ' .. path .. ":4 did not come back", 1, true), run:stderr())
    local summary = run:summary()
    assert.same({ 48, 48, 0, 9, true },
      { summary.flows, summary.worker.records, summary.lost, summary.worker.restarts, summary.adds_up })
  end

  for what, loop in pairs({ ["a loop"] = PLAIN, ["a loop of loops in pcall"] = CAUGHT }) do
    for how, interpreted in pairs({ compiled = false, interpreted = true }) do
      it(("for %s, %s, is switched off alone, in each hook, handler and timer"):format(what, how), function()
        hang_everywhere(loop, interpreted)
      end)
    end
  end

  for name, loop in pairs({ calling = CALLS, ["in one call"] = NO_LOOP }) do
    it("in verdict, " .. name .. ", is switched off alone", function()
      local run = start(VERDICT:format(loop))
      send(1, 64)
      ends_well(run, "verdict", 64)
    end)
  end

  it("leaves the other functions of the policy in force", function()
    local run = start(VERDICT:format(PLAIN) .. "\nfunction format(r) r.site = 'lab' return r end")
    send(1, 64)
    ends_well(run, "verdict", 64)
    for _, record in ipairs(run:records()) do assert.equal("lab", record.site) end
  end)

  it("as a timer is switched off alone", function()
    local run = start("every(0.05, function() " .. PLAIN .. " end)\nevery(0.05, function() emit({ beat = 1 }) end)")
    run:says("every(0.05)", STUCK_S + 3)
    send(1, 64)
    system.sleep(0.3)
    assert.equal(0, run:finish())
    local summary = run:summary()
    assert.equal(64, summary.worker.records)
    assert.truthy(summary.worker.extra >= 2, "the other timer beats on")
    assert.equal(1, summary.worker.restarts)
  end)

  it("comes back when the policy is read again", function()
    local run = start(VERDICT:format(PLAIN))
    send(1, 8)
    run:says("switched off", STUCK_S + 3)
    local file = assert(io.open(path, "w"))
    file:write(policy(lab.cell, "function verdict() return 'deny', 'mended' end"))
    file:close()
    run:signal("HUP")
    run:says("generation 2 is in force", 5)
    send(2, 8)
    system.sleep(0.1)
    assert.equal(0, run:finish())
    local records = run:records()
    assert.equal("mended", records[#records].reason_code)
    assert.equal(16, #records)
  end)

  it("does not count when the worker was stopped, nor when it is only slow", function()
    local run = start([[function verdict(ev)
      local n = 0
      for i = 1, 4e6 do n = n + i % 7 end
      return "deny", "slow"
    end]])
    local worker = run:worker()
    send(1, 256) -- some seconds of work, none of it long
    cellflow.kill(worker, "STOP")
    system.sleep(2 * STUCK_S)
    cellflow.kill(worker, "CONT")
    assert.equal(0, run:finish(60))
    assert.same({ 256, 0 }, { run:summary().worker.records, run:summary().worker.restarts })
  end)

  it("in time is named, once", function()
    local run = start([[
      function reason(ev) return "quick" end
      function verdict(ev)
        local n = 0
        for i = 1, 1e6 do n = n + i % 7 end
        return "deny", "slow"
      end]])
    send(1, 1024)
    run:says("slow: verdict at " .. path .. ":4 took", 20)
    assert.matches("slow: verdict at [^\n]* took %d+ ms of a batch's %d+, %d+ us a call\n", run:stderr())
    assert.equal(0, run:finish(60))
    assert.equal(1, select(2, run:stderr():gsub("slow: ", "")))
    assert.equal(0, run:summary().worker.script_errors)
  end)

  it("at file level ends the start with 3, and a reload leaves the old policy in force", function()
    local file = assert(io.open(path, "w"))
    file:write(policy(lab.cell, "while true do end"))
    file:close()
    local refused = cellflow.start({ args = { "-c", path } })
    assert.equal(3, refused:wait(15))
    assert.truthy(refused:stderr():find(path, 1, true), refused:stderr())
    local run = start("function verdict() return 'deny', 'old' end")
    file = assert(io.open(path, "w"))
    file:write(policy(lab.cell, "while true do pcall(error) end"))
    file:close()
    run:signal("HUP")
    run:says("generation 1 stays in force", 15)
    send(1, 8)
    system.sleep(0.1)
    assert.equal(0, run:finish())
    assert.equal("old", run:records()[8].reason_code)
  end)
end)
