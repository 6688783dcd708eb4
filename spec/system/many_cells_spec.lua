-- SPDX-License-Identifier: MIT
-- A start with more cells than the usual soft limit of descriptors would allow, and what is said when the hard one ends
-- it.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local identities = require("identities")

local CELLS = 150

describe("many cells", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local names, path

  setup(function()
    local prefix = lab.name()
    names, path = {}, os.tmpname()
    local batch, policy = assert(io.popen("ip -batch - >/dev/null", "w")), assert(io.open(path, "w"))
    for i = 1, CELLS do
      names[i] = ("%s-%d"):format(prefix, i)
      batch:write("netns add ", names[i], "\n")
      policy:write(('cell "c%d" { netns = %q, interface = "lo" }\n'):format(i, names[i]))
    end
    batch:close()
    policy:close()
    lab.must("chmod 644 " .. path)
  end)

  teardown(function()
    local batch = assert(io.popen("ip -batch - >/dev/null 2>&1", "w"))
    for _, name in ipairs(names) do batch:write("netns del ", name, "\n") end
    batch:close()
    os.remove(path)
  end)

  after_each(function() cellflow.stop_all() end)

  local function descriptors_of(pid)
    return lab.must(("ls /proc/%d/fd | wc -l"):format(pid)) + 0
  end

  it("start under a soft limit of 1024, take few descriptors each, and are all watched", function()
    local run = cellflow.start({ args = { "-c", path, "--summary-record" }, shell = "ulimit -Sn 1024;" }):ready(60)
    -- A program, its counters and a link for each, and some for all.
    assert.is_true(descriptors_of(run.pid) <= 3 * CELLS + 40)
    lab.must(("ip -n %s link set lo up && ip netns exec %s ping -q -c 1 -W 5 127.0.0.1"):format(names[77], names[77]))
    assert.equal(0, run:finish(30))
    local summary = identities.check(run:summary())
    assert.equal(CELLS, #summary.cells)
    assert.equal(1, #run:records())
    assert.equal("c77", run:records()[1].cell_id)
  end)

  it("end with the limit's number when the hard one does not suffice", function()
    local run = cellflow.start({ args = { "-c", path }, shell = "ulimit -n 200;" })
    assert.is_true(run:wait(60) > 0)
    assert.matches("limit of 200 open files", run:stderr(), 1, true)
    assert.matches(path:match("[^/]+$") .. ":%d+: cell \"c%d+\": ", run:stderr())
  end)
end)
