-- SPDX-License-Identifier: MIT
-- What check warns of: rules that never apply, each with both places, and nothing else.
require("spec.helper")
local recording = require("recording_core")
local rule_review = require("cellflow.rule_review")

local function warnings(text)
  local errors, found = (recording.host(text)).check()
  assert.same({}, errors)
  return found
end

local COVERED = {
  { 'dst_port = "1-100"', "dst_port = 80" }, { "dst_port = { 80, 443 }", "dst_port = 443" },
  { 'dst_port = { "1-10", "11-20" }', 'dst_port = "5-15"' }, { 'dst_port = "0-"', 'dst_port = { 1, "3-5" }' },
  { 'dst_addr = "10.0.0.0/8"', 'dst_addr = { "10.1.0.0/16", "10.2.3.4" }' },
  { 'dst_addr = { "::/0", "0.0.0.0/1" }', 'dst_addr = "fd00::/8"' },
  { 'protocol = { "tcp", "udp" }', 'protocol = "tcp", dst_port = 443' }, { 'tcp_flags = "S"', 'tcp_flags = "SA"' },
  { 'protocol_number = "1-17"', "protocol_number = { 6, 17 }" }, { "byte_count = '5-'", "byte_count = '6-7'" },
  { 'cell_id = { "a", "b" }', 'cell_id = "b"' }, { 'prefix = { "a", "b" }', 'prefix = { "b", "a" }' },
  { "duration = '0-5'", "duration = 0.5" }, { 'kind = { "opened", "closed" }', 'kind = "closed"' },
}
local NOT_COVERED = {
  { "dst_port = 80", 'dst_port = "80-81"' }, { "dst_port = 80", 'protocol = "tcp"' },
  { "dst_port = 80", "src_port = 80" },
  { 'dst_addr = "10.1.0.0/16"', 'dst_addr = "10.0.0.0/8"' }, { 'dst_addr = "0.0.0.0/0"', 'dst_addr = "::/0"' },
  { 'dst_addr = { "10.0.0.0/9", "fd00::/8" }', 'dst_addr = { "10.0.0.0/9", "10.128.0.0/9" }' },
  { 'tcp_flags = "SA"', 'tcp_flags = "S"' }, { 'protocol = "tcp", dst_port = 443', 'protocol = "tcp"' },
  { "duration = '0-5'", "duration = '0-5.1'" }, { 'prefix = "a"', 'prefix = "ab"' },
}

describe("check warns of a rule that an earlier one covers:", function()
  for _, case in ipairs(COVERED) do
    it(("{ %s } before { %s }"):format(case[1], case[2]), function()
      local same = case[2]:find("b", 1, true) and case[1]:find("prefix", 1, true)
      assert.same({ 'cellflow.lua:3: deny "b" never applies: deny "a" at cellflow.lua:2 comes first and ' ..
        (same and "has the same match" or "matches all that it matches") },
        warnings(('\ndeny "a" { %s }\ndeny "b" { %s }'):format(case[1], case[2])))
    end)
  end
  for _, case in ipairs(NOT_COVERED) do
    it(("not { %s } before { %s }"):format(case[1], case[2]), function()
      assert.same({}, warnings(('deny "a" { %s }\nallow "b" { %s }'):format(case[1], case[2])))
    end)
  end
end)

describe("check", function()
  it("says so when the decisions differ", function()
    assert.same({ 'cellflow.lua:2: allow "b" never applies: deny "a" at cellflow.lua:1 comes first and has the same ' ..
      "match and decides otherwise" },
      warnings('deny "a" { dst_port = 1, protocol = "tcp" }\nallow "b" { protocol = "tcp", dst_port = "1-1" }'))
  end)
  it("names the first of several that cover, and not what lies between", function()
    assert.same({ 'cellflow.lua:4: allow "d" never applies: deny "b" at cellflow.lua:2 comes first and matches all ' ..
      "that it matches and decides otherwise" },
      warnings('deny "a" { dst_port = 1 }\ndeny "b" { dst_port = "1-9" }\n' ..
      'deny "c" { dst_port = "2-12" }\nallow "d" { dst_port = "3-4" }'))
  end)
  it("says once what a rule that matches everything ends", function()
    assert.same({
      'cellflow.lua:3: deny "c" and the 2 rules after it never apply: allow "b" at cellflow.lua:2 matches every event',
      'cellflow.lua:7: verdict is never asked: allow "b" at cellflow.lua:2 matches every event',
      'cellflow.lua:6: default never applies: allow "b" at cellflow.lua:2 matches every event',
    }, warnings('deny "a" { dst_port = 1 }\nallow "b" {}\ndeny "c" { dst_port = 2 }\ndeny "d" {}\nallow "e" {}\n' ..
      'default { decision = "deny" }\nfunction verdict() return "allow" end'))
    assert.same({ 'cellflow.lua:2: deny "b" never applies: deny "a" at cellflow.lua:1 matches every event' },
      warnings('deny "a" {}\ndeny "b" {}'))
  end)
  it("is silent about a last rule that matches everything", function()
    assert.same({}, warnings('deny "a" { dst_port = 1 } allow "b" {}'))
    assert.same({}, warnings('default { decision = "deny" }'))
  end)
  for _, all in ipairs({ 'dst_addr = { "0.0.0.0/0", "::/0" }', 'protocol_number = "0-255"',
    "fragment = { true, false }", 'family = { "ipv4", "ipv6" }',
    'src_addr = { "::/0", "0.0.0.0/0" }, fragment = { false, true }' }) do
    it(("takes { %s } for a match of every event"):format(all), function()
      assert.same({ 'cellflow.lua:2: deny "b" never applies: allow "a" at cellflow.lua:1 matches every event',
        'cellflow.lua:3: verdict is never asked: allow "a" at cellflow.lua:1 matches every event' },
        warnings(('allow "a" { %s }\ndeny "b" { dst_port = 1 }\nfunction verdict() return "deny" end'):format(all)))
    end)
  end
  for _, most in ipairs({ 'dst_addr = "0.0.0.0/0"', 'protocol_number = "1-255"', "fragment = false",
    'direction = { "egress", "ingress" }', 'dst_port = "0-"', 'dst_addr = { "0.0.0.0/1", "128.0.0.0/1", "::/0" }',
    'family = { "ipv4", "ipv6" }, dst_port = 1' }) do
    it(("does not take { %s } for one"):format(most), function()
      assert.same({}, warnings(('allow "a" { %s }\nfunction verdict() return "deny" end'):format(most)))
    end)
  end
  it("sees that several rules match every event together", function()
    local together = 'allow "d" at cellflow.lua:4 and the rules before it match every event'
    assert.same({ 'cellflow.lua:5: deny "e" never applies: ' .. together,
      "cellflow.lua:7: verdict is never asked: " .. together, "cellflow.lua:6: default never applies: " .. together },
      warnings('allow "a" { family = "ipv4" }\ndeny "b" { dst_port = 1 }\ndeny "c" { fragment = true }\n' ..
        'allow "d" { family = "ipv6" }\ndeny "e" { mark = 1 }\ndefault { decision = "deny" }\n' ..
        'function verdict() return "deny" end'))
    assert.same({}, warnings('allow "a" { family = "ipv4" }\nallow "b" { family = "ipv6", dst_port = 1 }\n' ..
      'allow "c" { dst_addr = "::/0", fragment = false }\nfunction verdict() return "deny" end'))
    assert.same({ 'cellflow.lua:3: verdict is never asked: deny "b" at cellflow.lua:2 and the rules before it match ' ..
      "every event" }, warnings('allow "a" { dst_addr = "0.0.0.0/0" }\ndeny "b" { dst_addr = "::/0" }\n' ..
      'function verdict() return "deny" end'))
  end)
  it("lists a hundred and counts the rest", function()
    local found = warnings('for i = 1, 151 do deny("r" .. i) { dst_port = 1 } end')
    assert.equal(rule_review.WARNINGS_MAX + 1, #found)
    assert.equal("cellflow.lua:1: and 50 more warnings", found[#found])
  end)
  it("does bounded work on 10,000 rules that all overlap", function()
    local compared, covers = 0, rule_review.covers
    rule_review.covers = function(...)
      compared = compared + 1
      return covers(...)
    end
    local found = warnings([[
      for i = 1, 10000 do deny("r" .. i) { src_port = "0-" .. i, dst_port = "0-" .. 10001 - i } end]])
    rule_review.covers = covers
    assert.same({}, found)
    assert.is_true(compared > 10000 and compared <= 10000 * rule_review.COMPARED_MAX, compared)
  end)
end)

local IMPOSSIBLE = {
  { 'protocol = "icmp", dst_port = 22', "dst_port and of protocol" },
  { 'protocol = { "icmp", "icmpv6" }, src_port = "1-"', "protocol and of src_port" },
  { 'protocol = "udp", tcp_flags = "S"', "protocol and of tcp_flags" },
  { "protocol_number = { 17, 50 }, tcp_flags = 'S'", "protocol_number and of tcp_flags" },
  { 'protocol = "tcp", icmp_type = 8', "icmp_type and of protocol" },
  { 'protocol = "tcp", protocol_number = 17', "protocol and of protocol_number" },
  { 'tcp_flags = "S", icmp_id = 1', "icmp_id and of tcp_flags" },
  { 'family = "ipv4", dst_addr = "fd00::/8"', "dst_addr and of family" },
  { 'src_addr = "10.0.0.1", dst_addr = "fd00::1", mark = 1', "dst_addr and of src_addr" },
  { "fragment = true, dst_port = 53", "dst_port and of fragment" },
  { 'kind = "opened", close_reason = "fin"', "close_reason and of kind" },
}
local POSSIBLE = {
  'protocol = { "icmp", "udp" }, dst_port = 22', "protocol_number = 132, dst_port = 1", "dst_port = 1, src_port = 2",
  'protocol_number = { 6, 17 }, tcp_flags = "S"', 'protocol = "icmpv6", icmp_id = 1', "fragment = false, dst_port = 53",
  'family = "ipv4", dst_addr = { "10.0.0.1", "fd00::1" }', 'kind = { "opened", "closed" }, close_reason = "fin"',
  'fragment = true, protocol = "tcp"', 'protocol = "icmp", family = "ipv6"', 'kind = "opened", prefix = "x"',
  'direction = "ingress", verdict = "accept"', 'hook = "tc_egress", direction = "ingress"',
}

describe("check warns of a match that no event can meet:", function()
  for _, case in ipairs(IMPOSSIBLE) do
    it(("{ %s }"):format(case[1]), function()
      assert.same({ 'cellflow.lua:2: deny "a" never applies: no event has what it wants of ' .. case[2] },
        warnings(("\ndeny \"a\" { %s }\nfunction verdict() return 'allow' end"):format(case[1])))
      assert.same({ 'cellflow.lua:2: on "decision" is never called: no event has what it wants of ' .. case[2] },
        warnings(("\non('decision', { %s }, function() end)"):format(case[1])))
    end)
  end
  for _, match in ipairs(POSSIBLE) do
    it(("not { %s }"):format(match), function()
      assert.same({}, warnings(('deny "a" { %s }'):format(match)))
    end)
  end
  it("a handler's kind is part of it", function()
    assert.same({ 'cellflow.lua:1: on "opened" is never called: no event has what it wants of close_reason and of kind',
      'cellflow.lua:3: on "updated" is never called: its match asks for another kind' },
      warnings("on('opened', { close_reason = 'fin' }, function() end)\n" ..
        "on('closed', { close_reason = 'fin', kind = 'closed' }, function() end)\n" ..
        "on('updated', { kind = { 'opened', 'closed' } }, function() end)"))
  end)
end)
