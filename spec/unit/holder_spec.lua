-- SPDX-License-Identifier: MIT
-- Which local holds a policy's memory, as the line says that ends its worker.
require("spec.helper")
local recording = require("recording_core")
local holder = require("cellflow.holder")

-- What is said after the policy decided `count` events.
local function held(text, count)
  local host, out, batch = recording.host(text)
  for i = 1, count or 20 do
    recording.fill(batch.events[0], { dst_port = i, seq = i })
    host.batch(1)
  end
  assert.same({}, out.log)
  return host.holder()
end

-- 'N MB of it in REST', N being from `low` to `high`.
local function names(rest, low, high, said)
  local mb, what = (said or ""):match("^([%d.]+) MB of it in (.*)$")
  assert.equal(rest, what)
  mb = tonumber(mb)
  assert.is_true(mb >= low and mb <= high, said)
end

describe("the holder of a policy's memory", function()
  it("is the local that leads to the most, and the function that uses it", function()
    names('"kept" of verdict at cellflow.lua:2', 1.2, 1.4, held([[
      local few, kept = {}, {}
      function verdict(ev)
        few[#few + 1] = ev.dst_addr
        kept[#kept + 1] = ("x"):rep(2 ^ 16) .. #kept
      end]]))
  end)
  it("is found in tables of tables, keys, closures and helpers", function()
    names('"seen" of on "opened" at cellflow.lua:3', 1.2, 1.4, held([[
      local seen = {}
      local function note(key) seen[key] = seen[key] or {} end
      on("opened", function(ev) note(("x"):rep(2 ^ 16) .. ev.dst_port) end)]]))
    names('"list" of reason at cellflow.lua:2', 0.6, 1.5, held([[
      local list = {}
      function reason(ev)
        for i = 1, 1000 do
          local at = { i, ev.dst_port }
          list[#list + 1] = function() return at end
        end
      end]], 8))
  end)
  it("says how many functions use it", function()
    names('"kept" of verdict at cellflow.lua:3 and of 2 more', 1.2, 1.4, held([[
      local kept = {}
      every(60, function() kept = {} end)
      function verdict(ev) kept[#kept + 1] = ("x"):rep(2 ^ 16) .. #kept end
      on("closed", function() kept[1] = nil end)]]))
  end)
  it("may be windows", function()
    names('"by_port" of verdict at cellflow.lua:2', 1.2, 3, held([[
      local by_port = {}
      function verdict(ev)
        local w = by_port[ev.dst_port] or window(60)
        by_port[ev.dst_port] = w
        for i = 1, 400 do w:add(i) end
      end]]))
  end)
  it("is nobody where there is little", function()
    assert.is_nil(held("local n = 0 function verdict() n = n + 1 end"))
    assert.is_nil(held(""))
  end)
  it("is looked for within bounds", function()
    local visits, objects = holder.VISITS_MAX, holder.OBJECTS_MAX
    holder.VISITS_MAX, holder.OBJECTS_MAX = 10000, 5000
    local said = held([[
      local kept = {}
      function verdict() for i = 1, 1000 do kept[#kept + 1] = { #kept } end end]])
    holder.VISITS_MAX, holder.OBJECTS_MAX = visits, objects
    names('"kept" of verdict at cellflow.lua:2', 0.1, 1, said)
  end)
end)
