-- SPDX-License-Identifier: MIT
-- core/linger.c: how long the worker waits between looks, by what the last one found and how full its rings were.
local ffi = require("ffi")
local core = require("spec.helper").core
require("core_headers")("linger")

local MS = 1000000

describe("the wait between looks", function()
  local linger
  before_each(function() linger = ffi.new("struct cf_linger") end)

  local function after(found, permille)
    return tonumber(core.cf_linger_after(linger, MS, found, permille or 0)) / MS
  end

  it("is one interval while little comes", function()
    for _ = 1, 5 do assert.equal(1, after(31)) end
    assert.equal(1, after(0))
  end)

  it("grows to 32 while much does, and is one again at once when less does", function()
    assert.same({ 2, 4, 8, 16, 32, 32 }, { after(32), after(64), after(128), after(256), after(512), after(1024) })
    assert.equal(1, after(1023))
    assert.same({ 2, 1 }, { after(32), after(0) })
  end)

  it("does not grow in a ring that such waits could fill", function()
    assert.same({ 1, 1 }, { after(5000, 101), after(5000, 900) })
    assert.same({ 2, 4, 4 }, { after(5000, 50), after(5000, 100), after(5000, 200) })
    assert.equal(1, after(5000, 201))
  end)

  it("is no more than 32 ms, however long an interval is", function()
    local function of_ten() return tonumber(core.cf_linger_after(linger, 10 * MS, 5000, 0)) / MS end
    assert.same({ 20, 20 }, { of_ten(), of_ten() })
    linger.times = 0
    assert.equal(100, tonumber(core.cf_linger_after(linger, 100 * MS, 5000, 0)) / MS)
  end)

  it("is none where the programs wake for each event", function()
    assert.equal(0, tonumber(core.cf_linger_after(linger, 0, 5000, 0)))
  end)
end)
