-- SPDX-License-Identifier: MIT
-- What check says of functions and rules that wait for events which no cell of the policy asks for, with the words that
-- would ask for them; and that it says nothing where they may come.
require("spec.helper")
local recording = require("recording_core")

local function warnings(options, text)
  local policy = (options and ('cell "a" { netns = "a", %s }'):format(options) or "") .. "\n" .. text
  local errors, found = (recording.host(policy)).check()
  assert.same({}, errors)
  return found
end

local CLOSED = 'no cell has closed events (a cell asks for them with events = { "opened", "closed", "logged" })'
local HANDLER = 'on("closed", function(ev) log.debug(ev.close_reason) end)'

describe("check warns of", function()
  it("a handler whose events no cell asks for, once", function()
    assert.same({ 'cellflow.lua:2: on "closed" is never called: ' .. CLOSED }, warnings("", HANDLER))
    assert.same({ 'cellflow.lua:2: on "updated" is never called: no cell has updated events (a cell asks for them ' ..
      'with events = { "opened", "updated" })' },
      warnings('events = "opened"', 'on("updated", function() end)'))
  end)
  it("a handler of the firewall's log where nothing reads it", function()
    assert.same({ 'cellflow.lua:2: on "logged" is never called: no cell has logged events (a cell hears of ' ..
      'them with sources = { "ebpf", "nflog" })' }, warnings('sources = "ebpf"', 'on("logged", function() end)'))
  end)
  it("a field that only the end of a flow has", function()
    assert.same({ "cellflow.lua:3: verdict reads close_reason, which is never there: " .. CLOSED },
      warnings("", 'function verdict(ev)\n  if ev.close_reason == "rst" then return "deny" end\nend'))
    assert.same({ "cellflow.lua:2: dedup reads reply_byte_count, which is never there: no cell has updated " ..
      'or closed events (a cell asks for them with events = { "opened", "closed", "logged" })' },
      warnings("", "function dedup(ev) return ev.reply_byte_count end"))
  end)
  it("a rule, or a handler of decisions, that only the end of a flow could meet", function()
    assert.same({ 'cellflow.lua:2: deny "bulk" never applies: ' .. CLOSED },
      warnings("", 'deny "bulk" { kind = "closed", byte_count = "1000-" }'))
    assert.same({ 'cellflow.lua:2: deny "reset" never applies: ' .. CLOSED },
      warnings("", 'deny "reset" { close_reason = "rst" }'))
    assert.same({ 'cellflow.lua:2: on "decision" is never called: ' .. CLOSED },
      warnings("", 'on("decision", { kind = "closed" }, function() end)'))
  end)
end)

describe("check says nothing", function()
  it("where a cell asks for them", function()
    assert.same({}, warnings('events = { "opened", "closed" }', HANDLER))
    assert.same({}, warnings('events = { "opened", "updated" }',
      "function dedup(ev) return ev.reply_byte_count end\ndeny \"a\" { reply_byte_count = '9-' }"))
    assert.same({}, warnings("", HANDLER:gsub("closed", "logged"):gsub("close_reason", "nft_rule")
      .. '\ncell "b" { netns = "b", sources = "nflog" }'))
    assert.same({}, warnings("", 'cell "b" { netns = "b", events = "closed" }\n' .. HANDLER))
  end)
  it("where the firewall's log may come to be read", function()
    for _, sources in ipairs({ '"auto"', '"nflog"', '{ "nflog", "ebpf" }' }) do
      assert.same({}, warnings("sources = " .. sources, 'on("logged", function() end)'))
    end
  end)
  it("of a policy whose cell the command line will name", function()
    assert.same({}, warnings(nil, HANDLER))
  end)
  it("of rules that other events meet as well", function()
    assert.same({}, warnings("", 'deny "a" { kind = { "opened", "closed" } }\ndeny "b" { duration = "5-" }'))
  end)
end)
