-- SPDX-License-Identifier: MIT
-- How scripts/bench compares: in which order contestants run, what a ratio is taken of, and what a verdict says.
package.path = "./scripts/bench.d/?.lua;" .. package.path
local slices = require("slices")
local results = require("results")

describe("slices of a bench", function()
  it("run forward and back, so that drift meets all alike", function()
    local order = {}
    slices.rounds({ "a", "b", "c" }, 2, function(name)
      order[#order + 1] = name
      return { ns = 1 }
    end)
    assert.equal("a b c c b a a b c c b a", table.concat(order, " "))
  end)

  it("take ratios within a round, less what an empty run costs", function()
    local drift = 0
    local result = slices.rounds({ "empty", "ours", "theirs" }, 5, function(name)
      drift = drift + 1
      return { ns = ({ empty = 10, ours = 30, theirs = 50 })[name] + drift }
    end)
    -- The drift is in every slice, and in a round's pair of each contestant it is the same.
    assert.equal(0.5, result:ratio("ours", "theirs", "ns", "empty", "empty").median)
    assert.equal(20, result:of("ours", "ns", "empty").median)
    assert.equal(5, result:of("ours", "ns").count)
  end)

  it("say nothing of who did not run", function()
    local result = slices.rounds({ "ours" }, 1, function() return { ns = 1 } end)
    assert.is_nil(result:of("theirs", "ns"))
    assert.is_nil(result:ratio("ours", "theirs", "ns"))
  end)

  it("leave out what a contestant did not measure", function()
    local result = slices.rounds({ "nobody", "ours" }, 2, function(name)
      return { us = name == "ours" and 4 or nil }
    end)
    assert.is_nil(result:of("nobody", "us"))
    assert.is_nil(result:ratio("ours", "nobody", "us"))
    assert.equal(4, result:of("ours", "us").median)
  end)

  it("give the median and the quartiles", function()
    local stat = slices.stat({ 5, 1, 4, 2, 3 })
    assert.same({ median = 3, low = 2, high = 4, count = 5 }, stat)
    assert.equal(2.5, slices.stat({ 1, 2, 3, 4 }).median)
    assert.is_nil(slices.stat({}))
  end)
end)

describe("a verdict of a bench", function()
  local function verdict(value, more)
    local check = { value = value and { median = value }, must = 2, aim = more and 3 or 1, more = more }
    return results.verdict(check)
  end

  it("says what is met, missed, and not measured", function()
    assert.equal("met, and what it aims for", verdict(0.9))
    assert.equal("met", verdict(2))
    assert.equal("**missed**", verdict(2.1))
    assert.equal("not measured", verdict(nil))
  end)

  it("knows where more is better", function()
    assert.equal("**missed**", verdict(1.9, true))
    assert.equal("met", verdict(2, true))
    assert.equal("met, and what it aims for", verdict(3, true))
  end)
end)
