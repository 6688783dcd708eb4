-- SPDX-License-Identifier: MIT
-- An operator's object that counts nothing: what is not known is shown as unknown, and is no mistake in the sums.
local helper = require("spec.helper")
local cellflow = require("cellflow")
local labs = require("lab")

describe("a cell whose object has no counters", function()
  local lacking = labs.lacking()
  if lacking then return pending(lacking) end

  local lab, path

  before_each(function()
    lab, path = labs.up(), os.tmpname()
    labs.must(("cp %s/bpf/test/legacy_names.bpf.o %s && chmod 644 %s"):format(helper.build, path, path))
  end)

  after_each(function()
    cellflow.stop_all()
    lab:down()
    os.remove(path)
  end)

  it("has its kernel's numbers left out of summary and identities", function()
    local run = cellflow.start({ args = { "--netns", lab.cell, "--bpf-object", path, "--hooks", "egress",
      "--summary-record" } }):ready()
    lab:exec("cell", "ping -q -c 3 -i 0.01 -W 5 " .. labs.peer4)
    assert.equal(0, run:finish())
    local summary, text = run:summary(), run:stderr()
    assert.is_true(summary.adds_up)
    assert.is_true(summary.collector.own_refused >= 3)
    assert.equal(summary.lost, summary.collector.own_refused)
    assert.is_nil(summary.kernel)
    assert.is_nil(summary.flows)
    assert.is_nil(summary.cells[1].packets)
    assert.is_nil(summary.cells[1].flows)
    assert.not_matches("do not add up", text, 1, true)
    assert.matches("summary: unknown flows", text, 1, true)
    assert.matches("packets and flows unknown", text, 1, true)
  end)
end)
