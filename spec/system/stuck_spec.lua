-- SPDX-License-Identifier: MIT
-- Policies that do not come back: the worker is ended, the guilty function is switched off and named, everything else
-- of the policy stays in force, and no event is lost. Compiled loops, loops in pcall, every kind of function.
local cellflow = require("cellflow")
local labs = require("lab")
local system = require("system")

local STUCK_S = 1

local COMPILED = "local n = 0 while true do n = n + 1 end"
local CALLS = "local n = 0 while true do n = n + #tostring(n) end" -- allocates and calls out of the trace
local PROTECTED = "while true do pcall(function() while true do end end) end"
local NO_LOOP = "string.find(('a'):rep(30), ('a?'):rep(30) .. ('a'):rep(30))" -- one call into C, for ages

-- `bad` runs for the flow to port 3003 only; the others show that the rest of the policy goes on.
local function policy(cell, body)
  return ([[
cell "web" { netns = %q, interface = "eth0" }
limits { stuck_s = %d }
]]):format(cell, STUCK_S) .. body
end

local HOOKS = {
  { "dedup", "function dedup(ev) if ev.dst_port == 3003 then %s end return false end" },
  { "verdict", "function verdict(ev) if ev.dst_port == 3003 then %s end return 'deny', 'said' end" },
  { "reason", "function reason(ev) if ev.dst_port == 3003 then %s end return 'said' end" },
  { "format", "function format(r) if r.dst_port == 3003 then %s end r.site = 'x' return r end" },
  { 'on "opened"', "on('opened', function(ev) if ev.dst_port == 3003 then %s end end)" },
  { 'on "decision"', "on('decision', function(r) if r.dst_port == 3003 then %s end end)" },
}

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

  local function start(body)
    local file = assert(io.open(path, "w"))
    file:write(policy(lab.cell, body))
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

  for _, hook in ipairs(HOOKS) do
    it("in " .. hook[1] .. ", compiled, is switched off alone", function()
      local run = start(hook[2]:format(COMPILED))
      send(1, 64)
      ends_well(run, hook[1], 64)
      if hook[1] ~= "verdict" and hook[1] ~= "reason" then return end
      assert.equal("ebpf_flow_observed", run:records()[128].reason_code)
    end)
  end

  for name, loop in pairs({ calling = CALLS, ["in pcall"] = PROTECTED, ["in one call"] = NO_LOOP }) do
    it("in verdict, " .. name .. ", is switched off alone", function()
      local run = start(HOOKS[2][2]:format(loop))
      send(1, 64)
      ends_well(run, "verdict", 64)
    end)
  end

  it("leaves the other functions of the policy in force", function()
    local run = start(HOOKS[2][2]:format(COMPILED) .. "\nfunction format(r) r.site = 'lab' return r end")
    send(1, 64)
    ends_well(run, "verdict", 64)
    for _, record in ipairs(run:records()) do assert.equal("lab", record.site) end
  end)

  it("as a timer is switched off alone", function()
    local run = start("every(0.05, function() " .. COMPILED .. " end)\nevery(0.05, function() emit({ beat = 1 }) end)")
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
    local run = start(HOOKS[2][2]:format(COMPILED))
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
