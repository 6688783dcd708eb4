-- SPDX-License-Identifier: MIT
-- The compiled rules against the plain reference: random rules of every field, random events, more than 200,000.
-- `scripts/soak rules` does the same for a million events and 10,000 rules.
require("spec.helper")
local match = require("cellflow.match")
local rule_compare = require("rule_compare")
local rule_world = require("rule_world")

local PARTS = {
  { rules = 1, sets = 16, events = 512 }, { rules = 10, sets = 40, events = 2048 },
  { rules = 33, sets = 16, events = 2048 }, { rules = 100, sets = 16, events = 3072 },
  { rules = 1000, sets = 2, events = 10240 }, { rules = 1025, sets = 1, events = 5120 },
  { rules = 10000, sets = 1, events = 4096 },
}

describe("rules and the reference agree on", function()
  local compared = 0
  for _, part in ipairs(PARTS) do
    it(("%d sets of %d rules, %d events each"):format(part.sets, part.rules, part.events), function()
      local matched = 0
      for set = 1, part.sets do
        local result = rule_compare.run(part.rules * 1000 + set, part.rules, part.events)
        assert.same({}, result.wrong)
        matched, compared = matched + result.matched, compared + result.compared
      end
      -- Both answers must occur often, or the agreement says little.
      assert.is_true(matched > 0.02 * part.sets * part.events, "hardly any event matched")
      assert.is_true(matched < 0.98 * part.sets * part.events or part.rules >= 100, "nearly every event matched")
    end)
  end
  it("200,000 events in all", function() assert.is_true(compared >= 200000, compared .. " only") end)
end)

describe("random rules", function()
  it("use every field that a match can have", function()
    for _, name in ipairs(match.fields) do assert.is_true(rule_world.fields[name], name) end
  end)
end)
