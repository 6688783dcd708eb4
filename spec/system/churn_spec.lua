-- SPDX-License-Identifier: MIT
-- Cells deleted at once under a running cellflow that reads NFLOG in each of them: every end is told, and nothing is
-- left. scripts/soak cells is the same with a thousand, and prints how long it takes.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local churn = require("churn")

local CELLS = 50

describe("cells that are deleted while they are watched", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  after_each(function() cellflow.stop_all() end)

  for name, sources in pairs({ ["by both sources"] = '{ "ebpf", "nflog" }', ["by NFLOG alone"] = '"nflog"',
    ["by eBPF alone"] = '"ebpf"' }) do
    it(name .. " are all told, once, and leave nothing", function()
      local result = churn.run({ cells = CELLS, sources = sources })
      assert.equal(CELLS, result.told)
      assert.equal(1, result.links) -- that of the cell that stays
      -- One cell is watched yet: what each of them had is closed.
      for kind, count in pairs({ ["bpf-prog"] = 1, bpf_link = 1 }) do
        assert.equal(sources == '"nflog"' and 0 or count, result.after[kind], kind)
      end
      assert.equal(result.before["bpf-map"] - result.after["bpf-map"] > 0, sources ~= '"nflog"')
      assert.is_true(result.after.all <= result.before.all - CELLS)
      assert.is_true(result.after["bpf-map"] <= 6 and result.after.socket <= 8)
      assert.is_true(result.collector_after.all <= 16)
      assert.equal(0, result.exit)
      local gone = 0
      for _, cell in ipairs(result.summary.cells) do gone = gone + (cell.gone and 1 or 0) end
      assert.equal(CELLS, gone)
      assert.is_true(result.summary.adds_up)
    end)
  end
end)
