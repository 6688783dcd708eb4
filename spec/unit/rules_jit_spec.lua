-- SPDX-License-Identifier: MIT
-- Rules are compiled: the loops that meet every event, the batch loop with rules in it, and nothing in them that the
-- compiler cannot do. No event leaves garbage behind.
require("spec.helper")
local ffi = require("ffi")
local recording = require("recording_core")
local trace_log = require("trace_log")

local WARM_UP, STEADY, INTERPRETED = 60, 20, 2 -- as in jit_spec.lua

local RULES = [[
  for i = 1, 200 do
    deny("r" .. i) { dst_addr = { "10." .. i % 8 .. ".0.0/" .. 16 + i % 9, "2001:db8:" .. i .. "::/48" },
      dst_port = { 20 + i % 5, "400-" .. 443 + i % 3 }, protocol = "tcp", tcp_flags = "S" }
  end
  allow "marked" { mark = "1-5", src_addr = "10.0.0.0/8", icmp_type = 8 }
  default { decision = "deny" }
]]
local TWENTY_FIELDS = [[
  local matches = { { dst_addr = "10.0.0.0/8" }, { src_addr = "10.0.0.0/8" }, { dst_port = 443 },
    { src_port = "1-50000" }, { protocol = "tcp" }, { tcp_flags = "S" }, { mark = "1-5" }, { kind = "opened" },
    { source = "ebpf" }, { direction = "egress" }, { family = "ipv4" }, { interface = "eth0" }, { cell_id = "c" },
    { vlan = "1-4" }, { icmp_type = 8 }, { icmp_code = 0 }, { packet_count = "1-5" }, { byte_count = "10-2000" },
    { verdict = "accept" }, { hook = "tc_egress" } }
  for i, match in ipairs(matches) do
    for name, value in pairs(matches[i % #matches + 1]) do match[name] = value end
    deny("r" .. i)(match)
  end
]]
local POLICIES = {
  ["rules that ask for twenty fields"] = TWENTY_FIELDS,
  ["rules and nothing else"] = RULES,
  ["rules and four hooks"] = RULES .. [[
    function dedup(ev) return false end
    function verdict(ev) if ev.dst_port == 22 then return "deny", "ssh" end end
    function reason(ev, decision, code) if decision == "allow" then return "ok" end end
    function format(record) if record.decision == "deny" then return record end end]],
}

-- The runtime anew, see jit_spec.lua.
local function fresh_host()
  local kept = { ["cellflow.event"] = true, ["cellflow.place"] = true, ["cellflow.suggest"] = true }
  for name in pairs(package.loaded) do
    if name:match("^cellflow%.") and not name:match("_h$") and not kept[name] then package.loaded[name] = nil end
  end
  local found = {}
  local rule_index = require("cellflow.rule_index")
  local new = rule_index.new
  function rule_index.new(rules)
    found.index = new(rules)
    return found.index
  end
  return require("cellflow.host"), found
end

local function fill(batch)
  for i = 0, 255 do
    local six = i % 4 == 0
    recording.fill(batch.events[i], { src = six and "fd00::1" or "10.0.0.1",
      dst = six and ("2001:db8:%d::1"):format(i) or ("10.%d.%d.1"):format(i % 8, i % 3),
      dst_port = i % 7 == 0 and 22 or 443, protocol = i % 3 == 0 and 17 or 6, verdict = i % 4 == 0 and 2 or 1,
      mark = i % 11, tcp_flags = i % 5 })
  end
end

local function batches(host, count, events)
  for _ = 1, count do host.batch(events or 256) end
end
jit.off(batches) -- not the loop in question

-- `small`: batches of one event that come first.
local function run(text, small)
  local core = recording.new()
  local function count() return 0 end
  core.cf_intern = require("spec.helper").core.cf_intern
  core.cf_record_write, core.cf_line_write, core.cf_event_end, core.cf_event_suppress = count, count, count, count
  local module, found = fresh_host()
  local host = module.new(core)
  host.load(text, "cellflow.lua", nil, ffi.new("struct cf_plan"))
  fill(core.cf_batch_get())
  batches(host, small or 0, 1)
  local log = trace_log.record(function() batches(host, WARM_UP) end)
  return log, host, found.index
end

describe("compiled", function()
  for name, text in pairs(POLICIES) do
    it(name, function()
      local log, host, index = run(text)
      assert.is_true(trace_log.is_compiled(host.loop()))
      assert.is_true(trace_log.is_compiled(index.first_word))
      assert.same({}, trace_log.fatal(log))
      local function more() batches(host, STEADY) end
      assert.same({}, trace_log.unsteady(more))
      local count = trace_log.interpreted(more)
      assert.is_true(count < INTERPRETED * STEADY * 256, count .. " instructions interpreted")
    end)
  end
  it("after a night of batches of one event", function()
    local _, host, index = run(POLICIES["rules and four hooks"], 100000)
    assert.is_true(trace_log.is_compiled(host.loop()))
    assert.is_true(trace_log.is_compiled(index.first_word))
  end)
  it("rules leave no garbage behind", function()
    local _, host = run(RULES)
    for _ = 1, 20 do host.batch(256) end
    collectgarbage()
    collectgarbage("stop")
    local before = collectgarbage("count")
    for _ = 1, 100 do host.batch(256) end
    local grown = (collectgarbage("count") - before) * 1024
    collectgarbage("restart")
    assert.is_true(grown < 25600, grown .. " bytes for 25,600 events")
  end)
end)
