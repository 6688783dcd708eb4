-- SPDX-License-Identifier: MIT
-- Who has the last word on how a cell is watched: the command line, then cellflow's variables, then another program's,
-- then the policy; seen in what the run really did.
local lab = require("spec.support.lab")
local cellflow = require("cellflow")

describe("how a cell is watched", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local labs, files = {}, {}

  -- A policy of two cells, in the namespaces of two labs.
  local function write(first, second, options)
    local path = os.tmpname()
    files[#files + 1] = path
    local file = assert(io.open(path, "w"))
    file:write(('cell "a" { netns = "%s", %s }\ncell "b" { netns = "%s", %s }\n'):format(first.cell, options,
      second.cell, options))
    file:close()
    lab.must("chmod 644 " .. path)
    return path
  end

  local policy
  setup(function()
    labs = { lab.up(), lab.up() }
    policy = write(labs[1], labs[2], 'tc = "clsact"')
  end)
  teardown(function()
    for _, each in ipairs(labs) do each:down() end
    for _, path in ipairs(files) do os.remove(path) end
  end)
  after_each(cellflow.stop_all)

  -- "a by clsact, b by clsact"
  local function ways(args, env)
    local run = cellflow.start({ args = { "-c", policy, "--require", "ebpf", "--summary-record", unpack(args) },
      env = env }):ready()
    assert.equal(0, run:finish())
    local texts = {}
    for i, cell in ipairs(run:summary().cells) do texts[i] = ("%s by %s"):format(cell.cell_id, cell.tc) end
    return table.concat(texts, ", ")
  end

  it("is what the policy says", function() assert.equal("a by clsact, b by clsact", ways({})) end)
  it("is what the command line says, of all cells or of one", function()
    assert.equal("a by tcx, b by tcx", ways({ "--tc", "tcx" }))
    assert.equal("a by clsact, b by tcx", ways({ "--cell", "b", "--tc", "auto" }))
  end)
  it("is what the environment says, where the command line is silent", function()
    assert.equal("a by tcx, b by tcx", ways({}, { CELLFLOW_TC = "tcx" }))
    assert.equal("a by clsact, b by clsact", ways({ "--tc", "clsact" }, { CELLFLOW_TC = "tcx" }))
  end)

  it("names the object of another program's environment, after that of its own", function()
    local function complaint(env)
      local run = cellflow.start({ args = { "-c", policy, "--require", "ebpf" }, env = env })
      assert.equal(5, run:wait())
      return run:stderr()
    end
    assert.matches("/nowhere/theirs.o", complaint({ CELLOS_EBPF_OBJECT_PATH = "/nowhere/theirs.o" }), 1, true)
    assert.matches("/nowhere/ours.o", complaint({ CELLOS_EBPF_OBJECT_PATH = "/nowhere/theirs.o",
      CELLFLOW_BPF_OBJECT = "/nowhere/ours.o" }), 1, true)
  end)

  it("ends the start where two cells would read the same of the firewall's log", function()
    local shared = write(labs[1], labs[1], 'tc = "auto"')
    local run = cellflow.start({ args = { "-c", shared, "--sources", "nflog" } })
    assert.equal(3, run:wait())
    assert.equal(("cellflow: error: %s:2: cell \"b\": NFLOG group 100 of its namespace is read for cell \"a\" at %s:1 "
      .. "(give one of them another nflog_group, or sources = \"ebpf\")\n"):format(shared, shared), run:stderr())
  end)
end)
