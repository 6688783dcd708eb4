-- SPDX-License-Identifier: MIT
-- Policies that take more memory than they may: it costs them their state or one event its hook, and nothing else; the
-- process stays within its bounds and every event has its record.
require("spec.helper")
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local system = require("system")

-- MB. The policy's own ceiling is twice its soft limit; the rest is what confine.h calls slack.
local CEILING, SLACK = 512, 192

local GROW = [[
local grow = {
  string = function() local s = "x" while true do s = s .. s end end,
  table = function() local t = {} for i = 1, 1e12 do t[i] = { i } end end,
  closures = function() local t = {} for i = 1, 1e12 do t[i] = function() return i end end end,
  buffer = function()
    local t, piece = {}, ("x"):rep(65536)
    for i = 1, 1e12 do t[i] = piece .. i end
  end,
}
]]
local HOOK = {
  dedup = "function dedup(ev) grow.%s() end", verdict = "function verdict(ev) grow.%s() end",
  reason = "function reason(ev, decision, code) grow.%s() end", format = "function format(r) grow.%s() end",
}

describe("a policy that grows", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, policy
  before_each(function()
    here = lab.up()
    here:serve()
    policy = os.tmpname()
  end)
  after_each(function()
    cellflow.stop_all()
    here:down()
    os.remove(policy)
  end)

  local function start(text)
    local file = assert(io.open(policy, "w"))
    file:write(text)
    file:close()
    return cellflow.start({ args = { "-c", policy, "--cell", "one", "--netns", here.cell, "--interface", "eth0",
      "--summary-record" } })
  end

  local function peak_mb(pid)
    local status = lab.read_file(("/proc/%d/status"):format(pid))
    return tonumber(status and status:match("VmHWM:%s*(%d+)") or 0) / 1024
  end

  -- Waits until `count` records are out; the most memory that any worker had meanwhile, in MB.
  local function watch(run, count)
    local most, deadline = 0, system.monotime() + 60
    repeat
      for _, worker in ipairs(cellflow.children(run.pid)) do most = math.max(most, peak_mb(worker)) end
      system.sleep(0.005)
      assert(system.monotime() < deadline, run:stderr())
    until select(2, run:stdout():gsub("\n", "")) >= count
    return most
  end

  local function check(kind, hook)
    local run = start(GROW .. HOOK[hook]:format(kind)):ready()
    local line = select(2, GROW:gsub("\n", "")) + 1
    here:send("--flows 1")
    local most = watch(run, 1)
    assert.equal(0, run:finish(30))
    local record = run:records()[1]
    local place = ("%s:%d"):format(policy, line)
    assert.equal("script_error", record.reason_code)
    assert.matches(":%d+$", record.error_at)
    assert.matches("not enough memory [in " .. hook, run:stderr(), 1, true)
    assert.equal(place, record.error_at)
    assert.is_true(most > CEILING / 4 and most < CEILING + SLACK, most .. " MB")
    local summary = run:summary()
    assert.equal(0, summary.lost)
    assert.is_true(summary.adds_up)
    assert.equal(1, summary.worker.records)
  end

  for _, case in ipairs({ { "string", "dedup" }, { "string", "verdict" }, { "string", "reason" },
    { "string", "format" }, { "table", "verdict" }, { "closures", "reason" }, { "buffer", "format" } }) do
    it(("as a %s in %s costs that event its hook"):format(case[1], case[2]), function() check(case[1], case[2]) end)
  end

  it("from event to event loses its state, and no event", function()
    local run = start([[
      local kept = {}
      function verdict(ev)
        for i = 1, 4 do kept[#kept + 1] = ("x"):rep(2 ^ 18) .. #kept end
        return "deny", "kept_" .. (#kept <= 4 and "first" or "more")
      end]]):ready()
    local first = run:worker()
    here:send("--flows 1500")
    watch(run, 1500)
    assert.not_equal(first, run:worker())
    assert.equal(0, run:finish(30))
    local summary = run:summary()
    assert.equal(0, summary.lost)
    assert.equal(1500, summary.worker.records)
    assert.is_true(summary.reasons.kept_first >= 2)
    assert.matches("a new worker starts with fresh state", run:stderr(), 1, true)
  end)

  -- Less in a batch than there is between soft and hard limit: no call is refused memory, whatever is in the ring.
  it("little by little loses its state between two batches, and is named, not for each worker", function()
    local run = start([[
      limits { memory_mb = 32 }
      local kept = {}
      function verdict(ev)
        kept[#kept + 1] = ("x"):rep(2 ^ 14) .. #kept
        return "deny", "kept"
      end]]):ready()
    here:send("--flows 12000")
    watch(run, 12000)
    assert.equal(0, run:finish(30))
    local summary, log = run:summary(), run:stderr()
    assert.same({ 12000, 0, 0 }, { summary.reasons.kept, summary.worker.script_errors, summary.lost })
    assert.is_true(summary.worker.restarts >= 4, summary.worker.restarts)
    local said = 'the policy holds 3%%d MB, 3%%d%%.%%d MB of it in "kept" of verdict at %s:3, and 32 MB is its limit'
    assert.matches(said:format(policy:gsub("%p", "%%%0")), log)
    assert.is_nil(log:find("wanted more than", 1, true), log)
    assert.is_true(select(2, log:gsub("the policy holds", "")) < summary.worker.restarts, log)
  end)

  it("in a timer loses its state without any event", function()
    local run = start([[
      limits { memory_mb = 32 }
      local kept = {}
      every(0.02, function() for i = 1, 100 do kept[#kept + 1] = ("x"):rep(2 ^ 14) .. #kept end end)]]):ready()
    local first = run:worker()
    run:worker(first)
    assert.matches('of it in "kept" of every(0.02) at ' .. policy .. ":3", run:stderr(), 1, true)
    here:send("--flows 20")
    assert.equal(0, run:finish(30))
    assert.same({ 20, 0 }, { run:summary().worker.records, run:summary().worker.script_errors })
  end)

  it("and drops it all again is left alone", function()
    local run = start([[
      function verdict(ev)
        local t = {}
        for i = 1, 4 do t[i] = ("x"):rep(2 ^ 18) .. i .. (ev.src_port or 0) end
        return "deny", "dropped"
      end]]):ready()
    local first = run:worker()
    here:send("--flows 1500")
    assert.is_true(watch(run, 1500) < CEILING + SLACK)
    assert.equal(first, run:worker())
    assert.equal(0, run:finish(30))
    assert.equal(0, run:summary().worker.restarts)
  end)

  it("has the bounds that its limits say", function()
    local run = start("limits { memory_mb = 32 }\n" .. GROW .. HOOK.verdict:format("buffer")):ready()
    here:send("--flows 1")
    local most = watch(run, 1)
    assert.equal(0, run:finish(30))
    assert.is_true(most < 64 + SLACK, most .. " MB")
    assert.matches("wanted more than 64 MB", run:stderr(), 1, true)
    assert.equal("script_error", run:records()[1].reason_code)
    -- More than what the fence allows that was put up before the file was read.
    run = start("limits { memory_mb = 1200 }\n" .. [[
      local kept = {}
      function verdict(ev)
        for i = 1, 100 do kept[#kept + 1] = ("x"):rep(2 ^ 20) .. #kept end
        return "deny", "kept"
      end]]):ready()
    here:send("--flows 10")
    watch(run, 10)
    assert.is_true(peak_mb(run:worker()) > 900)
    assert.equal(0, run:finish(30))
    assert.equal(10, run:summary().reasons.kept)
    assert.equal(0, run:summary().worker.restarts)
  end)

  it("while it is read does not load", function()
    local run = start("local t = {} for i = 1, 4e6 do t[i] = { i } end function verdict() return t[1] end")
    assert.equal(3, run:wait(30))
    assert.matches('holds %d+ MB, %d+%.%d MB of it in "t" of verdict at ' .. policy:gsub("%p", "%%%0") ..
      ":1, when it was just read, and 256 MB is its limit", run:stderr())
    run = start(GROW .. "grow.string()")
    assert.equal(3, run:wait(30))
    assert.matches(policy .. ": not enough memory", run:stderr(), 1, true)
  end)
end)

describe("recursion through C", function()
  it("is ended by Lua's limit, not by the stack's", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    -- For one of the made-up events only: to unwind thousands of frames takes its time.
    file:write('local function is(e) return e.kind == "closed" and e.icmp_type and e.cpu and e.verdict == "drop" end\n',
      'local function f() return (("x"):gsub("x", f)) end function verdict(ev) if is(ev) then f() end end\n',
      "local function g() table.sort({ 1, 2, 3 }, g) end function reason(ev) if is(ev) then g() end end\n")
    file:close()
    local output, code = lab.run(cellflow.path .. " check " .. path)
    os.remove(path)
    assert.equal(3, code, output)
    assert.matches(path .. ":2: stack overflow", output, 1, true)
    assert.matches(path .. ":3: stack overflow", output, 1, true)
  end)
end)
