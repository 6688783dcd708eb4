-- SPDX-License-Identifier: MIT
--
-- What a full flow table knows of flows that had to make room: none comes back without the mark, however many others
-- made room since; and after a day, when it would have been over anyway, it is a new one.
local ffi = require("ffi")
local twin = require("flow_twin")

local C = ffi.C
local MS, S = 1000000, 1000000000
local DAY = 86400 * S

describe("a flow that had to make room", function()
  local made, memory
  before_each(function() made, memory = twin.table(1) end)
  after_each(function() assert.is_true(memory ~= nil) end)

  -- Whether the flow begins anew, and with the mark.
  local function see(port, now)
    local result, flow = twin.account(made, { port_a = port, now = now })
    return result == C.CF_STAT_FLOW_NEW, twin.has(flow, C.CF_EVENT_REOPENED)
  end

  local function overflow(first, count, now)
    for port = first, first + count - 1 do see(port, now + port * MS) end
  end

  for _, others in ipairs({ 15, 64, 65, 200, 2000 }) do
    it("has the mark when it comes back after " .. others .. " others", function()
      overflow(1, 10, S)
      overflow(11, others + 15, S)
      for port = 1, 10 do assert.same({ true, true }, { see(port, 9 * S + port * MS) }) end
    end)
  end

  it("is a new one after a day without another, and until then it is not", function()
    overflow(1, 30, S)
    assert.same({ true, true }, { see(1, S + DAY) })
    local last = S + DAY -- that one made another one go
    assert.same({ true, true }, { see(2, last + DAY) })
    assert.same({ true, false }, { see(3, last + 2 * DAY + 60 * S) })
  end)

  it("does not give its mark to all others", function()
    overflow(1, 20, S)
    local marked = 0
    for port = 1001, 1010 do
      local _, has = see(port, 9 * S + port * MS)
      marked = marked + (has and 1 or 0)
    end
    assert.is_true(marked <= 5, marked .. " of 10")
  end)
end)
