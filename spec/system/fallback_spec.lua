-- SPDX-License-Identifier: MIT
--
-- Each way in which eBPF can fail, provoked for real: one warning that names it, and NFLOG carries on with the records
-- that it has where nobody asked for eBPF. Where eBPF is required the run ends instead, with 5.
local helper = require("spec.helper")
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local identities = require("identities")
local other_program = require("other_program")
local sockets = require("sockets")

local FLOWS = 200
local OBJECTS = helper.build .. "/bpf/"
local POORER = "luajit -joff spec/support/poorer_host.lua "
local RULES = [[
table inet t {
  chain out {
    type filter hook output priority 0; policy accept;
    meta l4proto { tcp, udp } th dport 9000-9003 log group 100 queue-threshold 16 prefix "cellflow:deny:low" drop
    meta l4proto { tcp, udp } th dport 9004-9015 log group 100 queue-threshold 16 prefix "cellflow:allow:high" accept
  }
}]]

describe("without eBPF, because of", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, files
  before_each(function()
    here, files = lab.up(), {}
    here:serve()
    here:nft(RULES)
  end)
  after_each(function()
    sockets.close_all()
    cellflow.stop_all()
    here:down()
    for _, path in ipairs(files) do os.remove(path) end
  end)

  -- A file with these bytes, of root and in a directory of root's own: where others may write nothing is loaded from.
  local function object(bytes)
    local path = ("/run/cellflow-%s.o"):format(here.name)
    files[#files + 1] = path
    local file = assert(io.open(path, "wb"))
    file:write(bytes)
    file:close()
    lab.must("chmod 600 " .. path)
    return path
  end

  local function start(host, args)
    local all = { "--cell", "one", "--netns", host.netns or here.cell, "--summary-record" }
    if not host.interface then table.insert(all, "--interface") table.insert(all, "eth0") end
    for _, arg in ipairs(host.args or {}) do all[#all + 1] = arg end
    for _, arg in ipairs(args or {}) do all[#all + 1] = arg end
    return cellflow.start({ args = all, before = host.before, shell = host.shell })
  end

  local function warnings(run)
    local list = {}
    for line in run:stderr():gmatch("cellflow: warning: ([^\n]*)") do list[#list + 1] = line end
    return list
  end

  local function send()
    local path = os.tmpname()
    files[#files + 1] = path
    here:send(("--flows %d --mix udp4,udp6 --firewalled --list %s"):format(FLOWS, path))
    return flow_list.read(path)
  end

  -- What each of the flows is said to be: text -> the parts of its one record that say it.
  local function facts(run, expected)
    local found, count = {}, 0
    for _, record in ipairs(run:records()) do
      local flow = flow_list.of(record)
      if expected[flow] then
        assert.is_nil(found[flow], "two records of " .. flow)
        assert.is_true(#record.cell_id > 0 and #record.decision_id > 0)
        found[flow] = ("%s %s %s %s %s %s %s %d %d"):format(record.kind, record.source, record.decision,
          record.reason_code, record.verdict, record.nft_rule_ref, record.direction, record.packet_count,
          record.byte_count)
        count = count + 1
      end
    end
    assert.equal(FLOWS, count)
    return found
  end

  local function watch(run)
    run:ready()
    local expected = send()
    assert.equal(0, run:finish())
    local summary = identities.check(run:summary())
    assert.same({ "nflog" }, summary.cells[1].sources)
    assert.equal(0, summary.lost)
    return facts(run, expected)
  end

  local function expect_fallback(host, says)
    local by_choice = watch(start({ args = { "--sources", "nflog" } }))
    local run = start(host)
    assert.same(by_choice, watch(run))
    local said = warnings(run)
    assert.same(1, #said, run:stderr())
    assert.matches('^cell "one": no eBPF: ', said[1])
    assert.matches(says, said[1], 1, true)
    assert.matches("NFLOG group 100 takes over", said[1], 1, true)
    for _, args in ipairs({ { "--require", "ebpf" }, { "--sources", "ebpf" } }) do
      run = start(host, args)
      assert.equal(5, run:wait())
      assert.same({}, warnings(run))
      local _, errors = run:stderr():gsub("cellflow: error: ", "")
      assert.equal(1, errors, run:stderr())
      assert.matches(says, run:stderr(), 1, true)
    end
  end

  it("nothing: a source that is required and not among the cell's is no run", function()
    for sources, required in pairs({ nflog = "ebpf", noop = "ebpf", ebpf = "nflog", auto = "nflog" }) do
      local run = start({ args = { "--sources", sources, "--require", required } })
      assert.equal(2, run:wait())
      assert.matches(("--require %s, but its sources are %s"):format(required, sources), run:stderr(), 1, true)
    end
  end)

  it("a BPF object that is not there", function()
    expect_fallback({ args = { "--bpf-object", "/nonexistent/cell.bpf.o" } }, "BPF object /nonexistent/cell.bpf.o")
  end)

  it("a BPF object that others may write", function()
    local path = object("anything")
    lab.must("chmod 666 " .. path)
    expect_fallback({ args = { "--bpf-object", path } }, "may be written by others than its owner (chmod go-w " .. path)
  end)

  it("a BPF object that is no ELF file", function()
    local path = object(("no ELF at all\n"):rep(100))
    expect_fallback({ args = { "--bpf-object", path } }, "BPF object " .. path)
  end)

  it("a BPF object that the verifier refuses, in the verifier's words", function()
    local path = object(lab.read_file(OBJECTS .. "test/refused.bpf.o"))
    expect_fallback({ args = { "--bpf-object", path } }, "BPF object " .. path .. ": the kernel's verifier refused ")
  end)

  it("a BPF object whose programs have other names", function()
    local path = object(lab.read_file(OBJECTS .. "test/no_program.bpf.o"))
    expect_fallback({ args = { "--bpf-object", path } }, "no program for egress (looked for cellflow_egress, ")
  end)

  it("a BPF object without a ring", function()
    local path = object(lab.read_file(OBJECTS .. "test/no_ring.bpf.o"))
    expect_fallback({ args = { "--bpf-object", path } }, "no ring-buffer map (looked for FLOW_EVENTS, flow_events)")
  end)

  it("a BPF object without BTF, as strip leaves it", function()
    -- The sections are there, under names that nobody looks for: what loads it finds no BTF.
    local bytes, count = lab.read_file(OBJECTS .. "cellflow.bpf.o"):gsub("%.BTF", ".XTF")
    assert.is_true(count > 0)
    local path = object(bytes)
    expect_fallback({ args = { "--bpf-object", path } }, "BPF object " .. path .. ": not a BPF object file that libbpf")
  end)

  it("an interface that is not there", function()
    expect_fallback({ interface = true, args = { "--interface", "nope0" } }, "nope0")
  end)

  it("a kernel without tcx, where tcx is asked for", function()
    expect_fallback({ before = POORER .. "tcx", args = { "--tc", "tcx" } }, "this kernel refuses tcx")
  end)

  it("a kernel without tcx, and a place at clsact that another program has", function()
    local other = other_program.load()
    sockets.inside(here.cell, function()
      local index = sockets.index("eth0")
      other_program.make_clsact(index)
      other:clsact(index, 207, 0xcf000001)
    end)
    expect_fallback({ before = POORER .. "tcx" }, "has cellflow's place on the egress hook")
  end)

  it("bpf(2), which is not permitted", function()
    expect_fallback({ before = POORER .. "permission" }, "not permitted")
  end)

  -- As a container has it that shares the cell's namespace: no privilege to enter another is needed.
  it("capabilities that were dropped", function()
    expect_fallback({ netns = "/proc/self/ns/net", before = ("ip netns exec %s setpriv --bounding-set "
      .. "-sys_admin,-bpf,-perfmon"):format(here.cell) },
      "not permitted: needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN")
  end)
end)

describe("a host that has", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    cellflow.stop_all()
    here:down()
  end)

  it("no memory that may be locked: eBPF all the same, which is not charged for", function()
    local major, minor = lab.must("uname -r"):match("^(%d+)%.(%d+)")
    if tonumber(major) * 1000 + tonumber(minor) < 5011 then
      return pending("a kernel before 5.11 charges BPF maps to RLIMIT_MEMLOCK")
    end
    local run = cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--summary-record" },
      shell = "ulimit -l 0;" }):ready()
    assert.equal(0, run:finish())
    assert.same({ "ebpf" }, run:summary().cells[1].sources)
    assert.not_matches("warning", run:stderr(), 1, true)
  end)

  it("no CAP_NET_ADMIN: neither source works, and one line says so of both", function()
    local run = cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--tc", "clsact" },
      before = "setpriv --bounding-set -net_admin" })
    assert.equal(5, run:wait())
    local _, lines = run:stderr():gsub("\n", "")
    assert.equal(1, lines, run:stderr())
    assert.matches('^cellflow: error: cell "one": ', run:stderr())
    assert.matches("nor does NFLOG work: ", run:stderr(), 1, true)
  end)

  it("no CAP_SYS_ADMIN: no namespace can be entered, which is said, with the capability", function()
    local run = cellflow.start({ args = { "--cell", "one", "--netns", here.cell },
      before = "setpriv --bounding-set -sys_admin" })
    assert.equal(5, run:wait())
    local _, lines = run:stderr():gsub("\n", "")
    assert.equal(1, lines, run:stderr())
    assert.matches("CAP_SYS_ADMIN", run:stderr(), 1, true)
  end)

  it("no CAP_SYS_ADMIN, and the cell's namespace for its own: eBPF all the same", function()
    local run = cellflow.start({ args = { "--netns", "/proc/self/ns/net", "--hooks", "both", "--require", "ebpf" },
      before = ("ip netns exec %s setpriv --bounding-set -sys_admin"):format(here.cell) }):ready()
    here:exec("cell", "ping -q -c 1 " .. lab.peer4)
    assert.equal(0, run:finish())
    assert.equal("ebpf", run:records()[1].source)
    assert.not_matches("warning", run:stderr(), 1, true)
  end)

  it("somebody else in the NFLOG group: eBPF goes on alone, with one warning", function()
    local holder = cellflow.start({ args = { "--cell", "two", "--netns", here.cell, "--sources", "nflog" } }):ready()
    local run = cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--sources", "ebpf,nflog",
      "--summary-record" } }):ready()
    assert.equal(0, run:finish())
    assert.same({ "ebpf" }, run:summary().cells[1].sources)
    local _, count = run:stderr():gsub("cellflow: warning: ", "")
    assert.equal(1, count, run:stderr())
    assert.matches("group 100", run:stderr(), 1, true)
    run = cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--sources", "ebpf,nflog", "--require",
      "nflog" } })
    assert.equal(5, run:wait())
    assert.is_nil(holder:ended())
  end)
end)
