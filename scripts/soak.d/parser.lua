-- SPDX-License-Identifier: MIT
-- scripts/soak parser [SEED [FRAMES]]: the tc program's parser against user space's, for longer than a spec may take.
package.path = "./?.lua;" .. package.path
require("spec.helper")
local parser_compare = require("parser_compare")

local seed, frames = tonumber(arg[1] or os.time()), tonumber(arg[2] or 1000000)
if not (seed and frames) then
  io.stderr:write("usage: scripts/soak parser [SEED [FRAMES]]\n")
  os.exit(2)
end
io.stdout:setvbuf("line")
print(("soak parser: seed %d, %d frames"):format(seed, frames))
local outcome = parser_compare.run(seed, frames)
for result, name in ipairs({ "parsed", "not_ip", "truncated", "bad_header", "ext_too_deep", "vlan_too_deep" }) do
  print(("  %-14s %d"):format(name, outcome.results[result] or 0))
end
for _, text in ipairs(outcome.wrong) do print("    " .. text) end
print(("soak parser: %d frames, %s"):format(outcome.frames, #outcome.wrong == 0 and "all agree" or "FAILED"))
os.exit(#outcome.wrong == 0 and 0 or 1)
