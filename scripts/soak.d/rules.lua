-- SPDX-License-Identifier: MIT
-- scripts/soak rules [SEED [RULES [EVENTS]]]: random rules against the reference, for longer than a spec may take.
package.path = "./?.lua;" .. package.path
require("spec.helper")
local rule_compare = require("rule_compare")

local seed, rules, events = tonumber(arg[1] or os.time()), tonumber(arg[2] or 10000), tonumber(arg[3] or 1000000)
local SETS = 4 -- of rules, so that not all depends on one

if not (seed and rules and events) then
  io.stderr:write("usage: scripts/soak rules [SEED [RULES [EVENTS]]]\n")
  os.exit(2)
end
io.stdout:setvbuf("line")
print(("soak rules: seed %d, %d sets of %d rules, %d events in all"):format(seed, SETS, rules, events))
local compared, matched, wrong = 0, 0, 0
for set = 1, SETS do
  local result = rule_compare.run(seed + set, rules, math.ceil(events / SETS))
  print(("  set %d: %d events compared, %d matched a rule (number %.0f on average), %d differences"):format(set,
    result.compared, result.matched, result.depth, #result.wrong))
  for _, text in ipairs(result.wrong) do print("    " .. text) end
  compared, matched, wrong = compared + result.compared, matched + result.matched, wrong + #result.wrong
end
print(("soak rules: %d events, %d matched, %s"):format(compared, matched, wrong == 0 and "all agree" or "FAILED"))
os.exit(wrong == 0 and 0 or 1)
