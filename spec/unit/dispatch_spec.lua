-- SPDX-License-Identifier: MIT
-- The order of the steps, what hooks may answer, and what an error in each of them costs.
require("spec.helper")
local recording = require("recording_core")
local dispatch = require("cellflow.dispatch")

local run = recording.run

local function one(text, fields)
  local endings, out, host = run(text, { fields or {} })
  assert.equal(1, #endings)
  return endings[1], out, host
end

describe("the default mapping", function()
  local function mapped(fields)
    local ending = one(nil, fields)
    return ending.decision .. " " .. ending.reason
  end
  it("denies what the kernel dropped and allows the rest, by source", function()
    assert.equal("allow ebpf_flow_observed", mapped({ verdict = 0 }))
    assert.equal("allow ebpf_flow_observed", mapped({ verdict = 1 }))
    assert.equal("deny ebpf_xdp_drop", mapped({ verdict = 2 }))
    assert.equal("allow nflog_match", mapped({ source = 2, kind = 4, verdict = 1 }))
    assert.equal("deny nflog_match", mapped({ source = 2, kind = 4, verdict = 2 }))
    assert.equal("deny nflog_match", mapped({ source = 3, kind = 4, verdict = 2 }))
    assert.equal("deny ebpf_xdp_drop", mapped({ source = 3, kind = 1, verdict = 2 }))
    assert.equal("deny nflog_match", mapped({ source = 1, kind = 1, verdict = 2, witnesses = 6 }))
    assert.equal("allow ebpf_flow_observed", mapped({ source = 1, kind = 1, verdict = 1, witnesses = 6 }))
  end)
  it("names no rule and no place", function()
    local ending = one(nil)
    assert.same({ how = "record", seq = 1, decision = "allow", reason = "ebpf_flow_observed" }, ending)
  end)
  it("is the answer when verdict has none", function()
    assert.equal("ebpf_xdp_drop", one("function verdict(ev) end", { verdict = 2 }).reason)
  end)
end)

describe("verdict", function()
  it("gives decision, reason and rule, and the record says where it is defined", function()
    assert.same({ how = "record", seq = 1, decision = "deny", reason = "ssh", rule = "r1", place = "cellflow.lua:2" },
      one('\nfunction verdict(ev)\n return "deny", "ssh", "r1" end'))
  end)
  it("has a reason code of its own when it names none", function()
    assert.equal("policy_deny", one('function verdict() return "deny" end').reason)
    assert.equal("policy_allow", one('function verdict() return "allow" end').reason)
  end)
end)

describe("reason", function()
  it("is given the event, the decision and the code, and replaces the code", function()
    local text = 'function reason(ev, decision, code) return ev.kind .. "/" .. decision .. "/" .. code end'
    assert.equal("opened/allow/ebpf_flow_observed", one(text).reason)
  end)
  it("keeps the code with nil", function()
    assert.equal("x", one('function verdict() return "deny", "x" end function reason() end').reason)
  end)
end)

describe("dedup", function()
  it("ends an event whose key was seen, before verdict is asked", function()
    local endings, out = run([[
      function dedup(ev) return ev.dst_addr, 5 end
      function verdict(ev) log.info("asked") end]], { {}, {}, { dst = "192.0.2.8" } })
    assert.same({ "record", "deduplicated", "record" }, { endings[1].how, endings[2].how, endings[3].how })
    assert.equal(2, #out.log)
    assert.same({ key = "192.0.2.7", seconds = 5, now = 3500000000 }, out.keys[1])
  end)
  it("remembers for a minute unless told otherwise, and takes numbers as keys", function()
    local _, out = one("function dedup(ev) return ev.dst_port end")
    assert.same({ key = "443", seconds = dispatch.DEDUP_SECONDS, now = 3500000000 }, out.keys[1])
    assert.equal(60, dispatch.DEDUP_SECONDS)
  end)
  it("leaves the event alone with false and nil", function()
    local endings, out = run("function dedup(ev) if ev.seq == 1 then return false end end", { {}, {} })
    assert.same({ "record", "record" }, { endings[1].how, endings[2].how })
    assert.same({}, out.keys)
  end)
end)

describe("format", function()
  it("writes its line, suppresses with nil, and leaves an unchanged record to core", function()
    local endings = run([[
      function format(record)
        if record.dst_port == 1 then return "line" elseif record.dst_port == 2 then return nil end
        return record
      end]], { { dst_port = 1 }, { dst_port = 2 }, { dst_port = 3 } })
    assert.same({ "line", "suppressed", "record" }, { endings[1].how, endings[2].how, endings[3].how })
    assert.equal("line", endings[1].line)
    assert.equal("ebpf_flow_observed", endings[1].reason)
  end)
  it("writes an empty line when told so", function()
    assert.equal("", one('function format() return "" end').line)
  end)
end)

local WRONG = {
  { 'function verdict() return "alow" end',
    'verdict must return "allow", "deny" or nil, got "alow" (did you mean "allow"?)' },
  { "function verdict() return true end", 'verdict must return "allow", "deny" or nil, got true' },
  { "function verdict() return {} end", 'verdict must return "allow", "deny" or nil, got a table' },
  { "function verdict(ev) return ev end", 'verdict must return "allow", "deny" or nil, got a flow event' },
  { 'function verdict() return "deny", 7 end',
    "verdict must return a reason code that is text (not empty) or nil, got 7" },
  { 'function verdict() return "deny", "" end',
    'verdict must return a reason code that is text (not empty) or nil, got ""' },
  { 'function verdict() return "deny", "x", {} end',
    "verdict must return a rule name that is text (not empty) or nil, got a table" },
  { 'function verdict() return nil, "x" end', "verdict returned a reason or rule without a decision" },
  { "function reason() return 3 end", "reason must return a reason code (text, not empty) or nil, got 3" },
  { "function dedup() return true end", "dedup must return a key (text or number), false or nil, got true" },
  { "function dedup() return 'k', 0 end", "dedup: the second value must be a number of seconds above 0, got 0" },
  { "function dedup() return 'k', '5' end", 'dedup: the second value must be a number of seconds above 0, got "5"' },
  { "function format() return 5 end", "format must return a line of text, the record or nil, got 5" },
  { "function format(record) return record:copy() end",
    "format must return a line of text, the record or nil, got a table" },
}

describe("a wrong answer", function()
  for _, case in ipairs(WRONG) do
    it("is an error of the hook: " .. case[1], function()
      local ending, out = one("\n" .. case[1])
      assert.equal("record", ending.how)
      assert.equal("script_error", ending.reason)
      assert.equal("cellflow.lua:2", ending.error_place)
      assert.equal(1, out.script_errors)
      local hook = case[1]:match("function (%w+)")
      assert.equal(("cellflow.lua:2: %s [in %s]"):format(case[2], hook), out.log[1].text)
      assert.equal(1, #out.log)
    end)
  end
end)

-- Four hooks that log their name; the one named in `bad` fails.
local function failing(bad)
  local text = {}
  for _, name in ipairs({ "dedup", "verdict", "reason", "format" }) do
    text[#text + 1] = ([[function %s(a) log.debug(%q)
      if %q == %q then error("boom") end
      %s end]]):format(name, name, name, bad, name == "format" and "return a" or "")
  end
  return table.concat(text, "\n")
end

local function asked(out)
  local names = {}
  for _, line in ipairs(out.log) do
    if line.level == 3 then names[#names + 1] = line.text end
  end
  return table.concat(names, " ")
end

describe("an error in", function()
  for i, name in ipairs({ "dedup", "verdict", "reason", "format" }) do
    it(name .. " costs the event that hook and nothing else", function()
      local ending, out = one(failing(name))
      assert.equal("dedup verdict reason format", asked(out))
      assert.same({ how = "record", seq = 1, decision = "allow", reason = "script_error",
        error_place = "cellflow.lua:" .. (i - 1) * 3 + 2 }, ending)
      assert.equal(1, out.script_errors)
    end)
    it(name .. " leaves the neighbours as they are", function()
      local text = failing(name):gsub('== "' .. name .. '" then', '== "' .. name .. '" and a.dst_port == 2 then')
      local endings, out = run(text, { { dst_port = 1 }, { dst_port = 2 }, { dst_port = 3 } })
      assert.equal(3, #endings)
      assert.same({ 1, 2, 3 }, { endings[1].seq, endings[2].seq, endings[3].seq })
      assert.same({ nil, "script_error" }, { endings[1].error_place, endings[2].reason })
      assert.is_nil(endings[3].error_place)
      assert.equal(("dedup verdict reason format "):rep(3), asked(out) .. " ")
    end)
  end
  it("all four: one ending, four errors, the first place is named", function()
    local text = ([[
function dedup() error("a") end
function verdict() error("b") end
function reason() error("c") end
function format() error("d") end]])
    local ending, out = one(text)
    assert.equal("cellflow.lua:1", ending.error_place)
    assert.equal("script_error", ending.reason)
    assert.equal(4, out.script_errors)
    assert.equal(4, #out.log)
  end)
  it("verdict keeps script_error whatever reason says", function()
    local ending = one('function verdict() error("x") end function reason(_, _, code) return "got_" .. code end')
    assert.equal("script_error", ending.reason)
  end)
  it("reason keeps verdict's decision, rule and place", function()
    local ending = one('function verdict() return "deny", "x", "r" end\nfunction reason() return nil + 1 end')
    assert.same({ how = "record", seq = 1, decision = "deny", reason = "script_error", rule = "r",
      place = "cellflow.lua:1", error_place = "cellflow.lua:2" }, ending)
  end)
  it("dedup lets format's line through, with the error on the decision", function()
    local ending = one('function dedup() error("x") end function format(r) return r.reason_code .. r.error_at end')
    assert.equal("script_errorcellflow.lua:1", ending.line)
  end)
  it("format's changed record that JSON cannot hold falls back to core's record", function()
    local ending, out = one("function format(r) r.x = print return r end")
    assert.equal("record", ending.how)
    assert.equal("script_error", ending.reason)
    assert.matches("json.encode: a function has no JSON form", out.log[1].text, 1, true)
  end)
  it("a runaway recursion is an error like any other", function()
    local ending = one("local function f() return 1 + f() end function verdict() return f() end")
    assert.equal("record", ending.how)
    assert.equal("script_error", ending.reason)
  end)
  it("an error object of any type has a place and a text", function()
    local ending, out = one("function verdict()\n error({}) end")
    assert.equal("cellflow.lua:2", ending.error_place)
    assert.matches("cellflow.lua:2: error object is a table value", out.log[1].text, 1, true)
  end)
end)

describe("script errors", function()
  local function batches(text, count, fields)
    local host, out, batch = recording.host(text)
    for i = 0, 255 do recording.fill(batch.events[i], fields) end
    for _ = 1, count / 256 do host.batch(256) end
    host.batch(count % 256)
    return out, host
  end
  it("are logged once for each place, with a traceback on one line, then counted", function()
    local out, host = batches('local function helper(ev) return ev.dst_port + nil end\n' ..
      'function verdict(ev)\n  local sum = helper(ev)\n  return sum end', 300)
    assert.equal(1, #out.log)
    assert.equal("cellflow.lua:1: attempt to perform arithmetic on a nil value [in verdict; " ..
      "cellflow.lua:1 (helper) < cellflow.lua:3]", out.log[1].text)
    assert.equal(300, out.script_errors)
    assert.same({ ["cellflow.lua:1"] = 300 }, host.stop())
    assert.equal("cellflow.lua:1: 300 script errors in all", out.log[2].text)
  end)
  it("a thousand times in a row end the hook, with one line", function()
    local out = batches("function verdict() error('x') end", 2560)
    assert.equal(dispatch.QUARANTINE_AFTER, out.script_errors)
    assert.equal(2560, #out.endings)
    assert.equal("script_error", out.endings[1000].reason)
    assert.equal("ebpf_flow_observed", out.endings[1001].reason)
    assert.equal(2, #out.log)
    assert.equal("cellflow.lua:1: verdict failed 1000 times in a row and is not asked again until the policy is " ..
      "reloaded", out.log[2].text)
  end)
  it("that are not in a row do not", function()
    local out = batches("local n = 0\nfunction verdict() n = n + 1 if n % 900 ~= 0 then error('x') end end", 2700)
    assert.equal(2697, out.script_errors)
    assert.equal(2700, #out.endings)
  end)
end)

describe("an event", function()
  it("ends as failed when not even its record can be prepared", function()
    local core, out = recording.new()
    local intern = core.cf_intern
    core.cf_intern = function(text, len)
      if text == "unlucky" then error("no memory") end
      return intern(text, len)
    end
    local host = require("cellflow.host").new(core)
    host.load('function verdict(ev) if ev.dst_port == 1 then return "deny", "unlucky" end end', "cellflow.lua", nil,
      require("ffi").new("struct cf_plan"))
    local batch = core.cf_batch_get()
    recording.fill(batch.events[0], { dst_port = 1 })
    recording.fill(batch.events[1], { seq = 2 })
    host.batch(2)
    assert.same({ "failed", "record" }, { out.endings[1].how, out.endings[2].how })
  end)
end)
