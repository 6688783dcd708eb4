-- SPDX-License-Identifier: MIT
-- Many cells created, watched for a moment (eBPF and NFLOG) and deleted at once: are all ends told, how soon, and what
-- is left. Usage, from the repository's root: luajit scripts/soak.d/cells.lua [CELLS]
package.path = "./?.lua;./spec/support/?.lua;" .. package.path
package.loaded["spec.helper"] = dofile("spec/helper.lua")
local churn = require("churn")

local cells = tonumber(arg[1]) or 1000
local result = churn.run({ cells = cells, patience = 600 })
local took = result.took

print(("cells: %d watched after %.1f s"):format(cells + 1, result.started))
print(("cells: %d of %d ends told; ms from deletion to log line: median %.1f, p99 %.1f, longest %.1f"):format(
  result.told, cells, churn.quantile(took, 0.5), churn.quantile(took, 0.99), took[#took]))
print(("left: %d namespaces"):format(result.links - 1))
for _, kind in ipairs({ "bpf-prog", "bpf-map", "bpf_link", "socket", "all" }) do
  print(("open %-8s  supervisor %5d -> %3d   collector %3d"):format(kind, result.before[kind], result.after[kind],
    result.collector_after[kind]))
end
local per_cell = result.before.all / (cells + 1)
local is_clean = result.told == cells and result.links == 1 and result.exit == 0 and
  result.after.bpf_link == result.before.bpf_link / (cells + 1) and result.after.all < per_cell + 64
print(is_clean and "cells: clean" or "cells: NOT CLEAN")
os.exit(is_clean and 0 or 1)
