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
  { 'dst_addr = { "::/0", "0.0.0.0/0" }', 'dst_addr = "fd00::/8"' },
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
      "that it matches" }, warnings('deny "a" { dst_port = 1 }\ndeny "b" { dst_port = "1-9" }\n' ..
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
