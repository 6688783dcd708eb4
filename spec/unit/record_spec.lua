-- SPDX-License-Identifier: MIT
-- The record that format is given: the same members, order and values as core writes, and what changing it does.
local ffi = require("ffi")
local core = require("spec.helper").core
local recording = require("recording_core")

ffi.cdef([[
int cf_record_bind(const struct cf_plan *plan, struct cf_error *error);
size_t cf_record_json(const struct cf_event *event, const struct cf_decision *decision, char *out, size_t size);
]])

local PLAN = 'metadata { run_id = "r\\"1", policy_digest = "sha", keyset_id = "k", issuer_kid = "i", ' ..
  'correlation_id = "c" }\ncell "web" { netns = "w", interface = "eth0" }\n' ..
  'cell "db" { netns = "d", interface = "eth1", run_id = "own" }\n'

local EVENTS = {
  opened = {}, cell_of_its_own_run = { cell = 1 }, cell_unknown = { cell = 7 },
  updated = { kind = 2, packets = 1e6, bytes = 2 ^ 53, tcp_flags = 0x12 },
  closed = { kind = 3, close_reason = 4, tcp_flags = 255 },
  close_reason_of_none = { kind = 2, close_reason = 4 },
  ipv6_icmp = { src = "2001:db8::1", dst = "::1", protocol = 58, flags = 6, icmp_type = 128, icmp_id = 65535 },
  fragment_in_vlan = { flags = 48, vlan = 4095, protocol = 17, mark = 4294967295 },
  no_label = { protocol = 47, flags = 0, direction = 2 },
  logged = { kind = 4, source = 2, hook = 0, verdict = 2, prefix = 'a"b\\\195\40\7', bytes = 0, packets = 0 },
  no_address = { family = 0 },
  joined = { witnesses = 6, flags = 9 + 64 + 128 + 256, prefix = "cellflow:deny:no-ssh: " },
  by_nflog_alone = { source = 2, hook = 7, prefix = "cellflow:allow:web" },
  by_ebpf_alone = { witnesses = 2 }, by_all = { witnesses = 14 }, by_nobody = { witnesses = 129 },
  closed_both_ways = { kind = 3, close_reason = 2, reply_packets = 2 ^ 40, reply_bytes = 7 },
  updated_at_once = { kind = 2, reply_packets = 1, last_seen_ns = 1000000000ULL },
  closed_without_a_beginning = { kind = 3, first_seen_ns = 0 },
  closed_after_a_month = { kind = 3, last_seen_ns = 2678400999999999ULL },
  opened_with_replies = { reply_packets = 3, reply_bytes = 4 },
  no_flags = { tcp_flags = 0 },
}

-- Core's JSON for what format was given, as the loop would have had it written.
local function core_json(plan, event, entry)
  local decision = ffi.new("struct cf_decision")
  decision.decision = entry.decision == "deny" and 2 or 1
  local function intern(text) return text and core.cf_intern(text, #text) or 0 end
  decision.reason, decision.rule = intern(entry.reason), intern(entry.rule)
  decision.place, decision.error_place = intern(entry.place), intern(entry.error_place)
  assert.equal(0, core.cf_record_bind(plan, nil))
  local out = ffi.new("char[8192]")
  return ffi.string(out, core.cf_record_json(event, decision, out, 8192))
end

-- One event through `text`: how it ended, and what core would write of it.
local function through(text, fields)
  local host, out, batch, fake = recording.host(PLAN .. text)
  assert.equal(0, core.cf_record_bind(out.plan, nil))
  fake.cf_intern = nil
  recording.fill(batch.events[0], fields)
  host.batch(1)
  assert.equal(1, #out.endings)
  return out.endings[1], core_json(out.plan, batch.events[0], out.endings[1]), out
end

describe("a record", function()
  for name, fields in pairs(EVENTS) do
    it("that was touched and put back is the same JSON as core's: " .. name, function()
      local ending, expected = through('function verdict() return "deny", "x\\ty", "r" end\n' ..
        "function format(r) r.kind = r.kind return r end", fields)
      assert.equal("line", ending.how)
      assert.equal(expected, ending.line)
    end)
  end
  it("of an event with a script error names its place, as core does", function()
    local ending, expected = through("function verdict() error('x') end\n" ..
      "function format(r) r.rule = r.rule return r end")
    assert.equal(expected, ending.line)
    assert.matches('"reason_code":"script_error"', ending.line, 1, true)
    assert.matches('"error_at":"cellflow.lua:4"', ending.line, 1, true)
  end)
  it("takes changes, removals and new members: known ones in their place, new ones sorted at the end", function()
    local ending, expected = through([[
      function format(r)
        r.zone, r.alpha = { 1, 2, { x = true } }, false
        r.dst_port, r.prefix, r.decision_id = nil, nil, "id"
        return r
      end]])
    expected = expected:gsub('"dst_port":%d+,', ""):gsub('"decision_id":"[^"]*"', '"decision_id":"id"')
    assert.equal(expected:sub(1, -2) .. ',"alpha":false,"zone":[1,2,{"x":true}]}', ending.line)
  end)
  it("that was only read is left to core, and the next one does not inherit changes", function()
    local endings = recording.run([[
      function format(r)
        if r.dst_port == 1 then r.extra = 1 end
        return r
      end]], { { dst_port = 1 }, { dst_port = 2 } })
    assert.same({ "line", "record" }, { endings[1].how, endings[2].how })
  end)
  it("gives a list of witnesses that is the policy's own", function()
    local endings = recording.run([[
      function format(r)
        r.witnesses[1] = "nobody"
        local list = r.witnesses
        list[#list + 1] = "me"
        r.witnesses = list
        return r
      end]], { { witnesses = 6 }, { witnesses = 6 } })
    for i = 1, 2 do assert.matches('"witnesses":["ebpf","nflog","me"]', endings[i].line, 1, true) end
  end)
  it("reads back what was assigned", function()
    local ending = through("function format(r) r.a = false r.rule = nil r.dst_port = 5 " ..
      "return tostring(r.a) .. tostring(r.rule) .. r.dst_port end")
    assert.equal("falsenil5", ending.line)
  end)
  it("walks with pairs, encodes with json.encode, and copies", function()
    local ending, expected = through([[
      function format(r)
        r.own = "x"
        local seen, count = {}, 0
        for name, value in pairs(r) do seen[name] = value count = count + 1 end
        local copy = r:copy()
        for name, value in pairs(copy) do assert(seen[name] == value, name) end
        assert(seen.own == "x" and seen.type == "network_flow_decision" and count > 20)
        return json.encode(r)
      end]])
    assert.equal(expected:sub(1, -2) .. ',"own":"x"}', ending.line)
  end)

  local errors = {
    { "return r.dst_prot", 'a record has no member "dst_prot" (did you mean "dst_port"?)' },
    { "r[1] = 5 return r", "a record's members are named by text, got a number" },
    { "r.x = 0/0 return r", "json.encode: a number is not finite" },
    { "r.x = { 1, 2, a = 1 } return r", "json.encode: a table has both named and numbered members" },
    { "r.x = { [true] = 1 } return r", "json.encode: a key is a boolean; keys are text, or 1 to n without gaps" },
    { "local t = {} t.t = t r.x = t return r",
      "json.encode: tables are nested deeper than 32 (or contain themselves)" },
  }
  for _, case in ipairs(errors) do
    it("refuses: " .. case[1], function()
      local ending, _, out = through("function format(r) " .. case[1] .. " end")
      assert.equal("record", ending.how)
      assert.equal("script_error", ending.reason)
      assert.equal("cellflow.lua:4: " .. case[2], (out.log[1].text:gsub(" %[in format.*", "")))
    end)
  end
  it("is valid during the call only", function()
    local endings, out = recording.run([[
      local kept
      function dedup() if kept then return kept.dst_addr end end
      function format(r) kept = r return r end]], { {}, {} })
    assert.same({ "record", "record", "script_error" }, { endings[1].how, endings[2].how, endings[2].reason })
    assert.matches("a record is valid during the call only (record:copy() gives a table)", out.log[1].text, 1,
      true)
  end)
end)

describe("json.encode", function()
  local function encoded(expression)
    local _, out = recording.host("log.info(json.encode(" .. expression .. "))")
    return out.log[1].text
  end
  local cases = {
    { "nil", "null" }, { "true", "true" }, { "1", "1" }, { "-0.5", "-0.5" }, { "2^53", "9007199254740992" },
    { "0.1", "0.1" }, { "1/3", "0.33333333333333331" }, { "1e300", "1e+300" },
    { "1e15", "1000000000000000" },
    { "{}", "{}" }, { "{ 1, 'a', {} }", '[1,"a",{}]' }, { "{ b = 1, a = { c = false } }", '{"a":{"c":false},"b":1}' },
    { [['a"\\\n\0\255']], [["a\"\\\n\u0000\ufffd"]] },
    { "('x'):rep(5000)", '"' .. ("x"):rep(5000) .. '"' },
  }
  for _, case in ipairs(cases) do
    it(case[1], function() assert.equal(case[2], encoded(case[1])) end)
  end
  it("refuses what has no JSON form", function()
    assert.equal("cellflow.lua:1: json.encode: a function has no JSON form", recording.load_error("json.encode(print)"))
    assert.equal("cellflow.lua:1: json.encode: a number is not finite", recording.load_error("json.encode(1/0)"))
    local _, out = recording.run("function verdict(ev) json.encode(ev) end")
    assert.matches("json.encode: a flow event is not a table; use ev:copy()", out.log[1].text, 1, true)
  end)
end)
