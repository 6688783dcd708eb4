-- SPDX-License-Identifier: MIT
-- core/flow_table.c: where the flows of a table of user space lie. As many are used as there were flows at a time, none
-- is two ways', and a writer may die anywhere.
local ffi = require("ffi")
local twin = require("flow_twin")

local C, core = ffi.C, twin.core
local MS, S = 1000000, 1000000000
local WAYS, CLAIMED, SPARE = 15, tonumber(C.CF_TAG_CLAIMED), 1024

describe("the flows of a table of user space", function()
  local made, memory

  before_each(function() made, memory = twin.table(8) end)
  after_each(function() assert.is_true(memory ~= nil) end)

  local function seen(port, now) return twin.account(made, { port_a = port, now = now or 1 * S }) end

  -- Where a flow's way is.
  local function way_of(flow)
    local set = core.cf_flow_table_set(made, flow.key)
    for way = 0, WAYS - 1 do
      if core.cf_flow_table_flow(made, set, way) == flow then return set, way end
    end
  end

  it("lie one behind the other, as they came", function()
    for port = 1, 40 do
      local _, flow = seen(port)
      assert.is_true(flow == made.flows + (port - 1))
      assert.is_true(way_of(flow) ~= nil)
    end
    assert.equal(40, tonumber(made.head.placed))
  end)

  it("are used again when they have ended, and each by one way only", function()
    local sweep = twin.sweep(made, { idle_ns = 1 * S })
    for round = 1, 10 do
      for port = 1, 20 do assert.equal(C.CF_STAT_FLOW_NEW, (seen(round * 100 + port, round * 10 * S))) end
      sweep.some(round * 10 * S + 2 * S)
      sweep.some(round * 10 * S + 2 * S + 20 * MS)
      assert.equal(20, #sweep.take())
    end
    local owners, used = {}, 0
    for set = 0, 7 do
      for way = 0, WAYS - 1 do
        local flow = core.cf_flow_table_flow(made, set, way)
        if flow ~= nil then
          local at = tonumber(flow - made.flows)
          assert.is_nil(owners[at])
          owners[at], used = true, used + 1
        end
      end
    end
    assert.equal(used, tonumber(made.head.placed))
    assert.is_true(used < 80, used .. " for 20 at a time")
    sweep.fn:free()
  end)

  it("are freed with the ways that a dead writer had claimed", function()
    local _, flow = seen(1)
    local set, way = way_of(flow)
    local tags = core.cf_flow_table_tags(made, set)
    tags.tag[way], tags.lock = CLAIMED, C.CF_SET_LOCKED
    core.cf_flow_table_repair(made)
    assert.same({ 0, 0 }, { tags.tag[way], tags.lock })
    assert.equal(0, tonumber(flow.packets[0]))
    local result, again = seen(1)
    assert.equal(C.CF_STAT_FLOW_NEW, result)
    assert.is_true(again == flow)
    assert.equal(1, tonumber(again.packets[0]))
  end)

  it("are left out when a writer died before a way had one", function()
    seen(1)
    made.head.placed = made.head.placed + 1
    local _, flow = seen(2)
    assert.is_true(flow == made.flows + 2)
  end)

  it("are refused, not shared, when too many were left out", function()
    local _, flow = seen(1)
    made.head.placed = 8 * WAYS + SPARE
    local result = seen(2)
    assert.equal(C.CF_STAT_FLOW_FULL, result)
    assert.equal(C.CF_STAT_FLOW_HIT, (seen(1)))
    assert.equal(2, tonumber(flow.packets[0]))
  end)
end)
