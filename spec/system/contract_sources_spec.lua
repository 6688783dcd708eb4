-- SPDX-License-Identifier: MIT
--
-- Lines 8 to 14 of the contract (docs/testing.md) with the module that cellflow takes the place of: which object, where
-- it is attached, what is said when that fails and what then takes over, and the names of that module's switches. Each
-- line in short, by real runs; other specs go further into each.
local ffi = require("ffi")
local helper = require("spec.helper")
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local flow_table = require("flow_table")
local identities = require("identities")
local lab = require("spec.support.lab")
local other_program = require("other_program")
local own_object = require("own_object")
local privileged = require("privileged")
local sockets = require("sockets")
local talk = require("talk")
require("core_headers")("ring", "frozen_record", "own_ring")

describe("the contract,", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    cellflow.stop_all()
    own_object.remove_all()
    here:down()
  end)

  local function launch(args, env)
    return cellflow.start({ env = env, args = { "--cell", "one", "--netns", here.cell, "--summary-record",
      unpack(args) } })
  end
  local function start(...) return launch({ ... }):ready() end

  local function finish(run)
    assert.equal(0, run:finish())
    return run:records(), run:summary()
  end

  -- The one line that a run leaves which must not go on without eBPF.
  local function complaint(args, env)
    local run = launch({ "--require", "ebpf", unpack(args) }, env)
    assert.equal(5, run:wait())
    assert.equal("", run:stdout())
    local text = run:stderr()
    assert.matches("^cellflow: error: [^\n]+\n$", text)
    return text
  end

  -- Of the links that the supervisor holds: the set of ids of their programs.
  local function attached(run)
    local ids, links = {}, lab.must(("grep -hs -A9 link_type /proc/%d/fdinfo/* || true"):format(run.pid))
    for id in links:gmatch("prog_id:%s*(%d+)") do ids[tonumber(id)] = true end
    assert(next(ids))
    return ids
  end

  local function on_tcx(namespace, interface)
    local found = {}
    local function look()
      for _, id in ipairs(other_program.on_tcx(sockets.index(interface))) do found[tonumber(id)] = true end
    end
    if namespace then sockets.inside(namespace, look) else look() end
    return found
  end

  local function qdiscs() return here:exec("cell", "tc qdisc show dev eth0") end

  it("line 8: the object is that of the option, else of the environment, else the embedded one", function()
    local ours = { CELLFLOW_BPF_OBJECT = "/nowhere/ours.o", CELLOS_EBPF_OBJECT_PATH = "/nowhere/theirs.o" }
    assert.matches("BPF object /nowhere/option.o: ", complaint({ "--bpf-object", "/nowhere/option.o" }, ours), 1, true)
    assert.matches("BPF object /nowhere/ours.o: ", complaint({}, ours), 1, true)
    assert.matches("BPF object /nowhere/theirs.o: ",
      complaint({}, { CELLOS_EBPF_OBJECT_PATH = "/nowhere/theirs.o" }), 1, true)
    finish(launch({ "--require", "ebpf" }):ready())
  end)

  it("line 8: its program and its ring are the first that exist of their names", function()
    -- frozen_verdicts has flow_classifier and flow_events, too: were they taken, there would be no record.
    for object, want in pairs({ frozen_verdicts = "cellos_flow_egress", frozen_mixed = "cellos_flow_egress",
      frozen = "tc_egress", legacy_names = "flow_classifier" }) do
      local run = launch({ "--require", "ebpf" }, { CELLOS_EBPF_OBJECT_PATH = own_object.install(object) }):ready()
      local id = assert(next(attached(run)))
      assert.equal(want, lab.must(("bpftool prog show id %d --json"):format(id)):match('"name":"([^"]*)"'))
      talk.udp(here, 6000, 9999)
      local records, summary = finish(run)
      assert.equal(object == "legacy_names" and 0 or 1, #talk.records_from(records, 6000), object)
      -- What flow_classifier of legacy_names writes is none, and comes from the ring flow_events.
      assert.equal(object == "legacy_names", summary.collector.own_refused > 0)
    end
    local run = start()
    local name = lab.must(("bpftool prog show id %d --json"):format((next(attached(run)))))
    assert.equal("cellflow_egress", name:match('"name":"([^"]*)"'))
  end)

  it("line 9: interface and hook are the namespace's own, the process stays where it was", function()
    local own = lab.must("readlink /proc/self/ns/net")
    local run = start("--interface", "lo") -- number 1 in every namespace
    local program = assert(next(attached(run)))
    assert.is_true(on_tcx(here.cell, "lo")[program])
    assert.is_nil(on_tcx(here.peer, "lo")[program])
    assert.is_nil(on_tcx(nil, "lo")[program])
    for _, pid in ipairs({ run.pid, run:worker(), run:collector() }) do
      assert.equal(own, lab.must(("readlink /proc/%d/ns/net"):format(pid)))
    end
    here:exec("cell", "bash -c 'echo x >/dev/udp/127.0.0.1/9'")
    here:exec("peer", "bash -c 'echo x >/dev/udp/127.0.0.1/7'")
    local records = finish(run)
    local ports = {}
    for _, record in ipairs(records) do ports[record.dst_port or 0] = true end
    assert.same({ true }, { ports[9], ports[7] })
  end)

  it("line 9: the descriptor stays the caller's, and who cannot come back ends", function()
    local own = lab.must("readlink /proc/self/ns/net")
    local fd = assert(privileged.open(privileged.cell({ netns = "/run/netns/" .. here.cell })))
    assert(privileged.identity(fd)) -- goes in and comes back
    assert(privileged.identity(fd))
    assert.equal(1, ffi.C.fcntl(fd, 1)) -- F_GETFD: open, and FD_CLOEXEC
    ffi.C.close(fd)
    assert.equal(own, lab.must("readlink /proc/self/ns/net"))
    local output, code = lab.run("luajit spec/support/no_way_back.lua /run/netns/" .. here.cell)
    assert.not_equal(0, code)
    assert.matches("returning to the own network namespace: Bad file descriptor; giving up", output, 1, true)
    assert.is_nil(output:find("still here", 1, true))
  end)

  it("line 10: a clsact qdisc that is there is fine, and stays", function()
    here:exec("cell", "tc qdisc add dev eth0 clsact")
    local before = qdiscs()
    local run = start("--tc", "clsact", "--require", "ebpf")
    assert.matches("cellflow_egress", here:exec("cell", "tc filter show dev eth0 egress"), 1, true)
    talk.udp(here, 5010, 9999)
    local records, summary = finish(run)
    assert.equal("ebpf", talk.record_from(records, 5010).source)
    assert.equal("clsact", summary.cells[1].tc)
    assert.equal(before, qdiscs())
    assert.equal("", here:exec("cell", "tc filter show dev eth0 egress"))
  end)

  it("line 11: a load that was done is no error", function()
    local maps = privileged.maps()
    assert(privileged.load(maps))
    assert(privileged.load(maps))
    local run = start("--interface", "eth0")
    local before = attached(run)
    run:signal("HUP")
    run:says("generation 2 is in force")
    run:signal("HUP")
    run:says("generation 3 is in force")
    assert.same(before, attached(run))
    assert.equal(0, run:finish())
  end)

  for _, way in ipairs({ "tcx", "clsact" }) do
    it("line 11: nothing is left of " .. way, function()
      local before = qdiscs()
      local run = start("--tc", way, "--hooks", "both", "--require", "ebpf")
      local held = lab.must(("cat /proc/%d/fdinfo/*"):format(run.pid))
      local maps, programs = flow_table.map_ids(run.pid), {}
      for id in held:gmatch("prog_id:%s*(%d+)") do programs[tonumber(id)] = true end
      assert.is_true(#maps >= 4 and next(programs) ~= nil)
      talk.udp(here, 5011, 9999)
      assert.equal(1, #talk.records_from((finish(run)), 5011))
      assert.equal(before, qdiscs())
      assert.same({}, on_tcx(here.cell, "eth0"))
      -- The kernel frees what nobody holds after a moment of its own.
      cellflow.wait_for("maps and programs to be freed", 10, function()
        for _, id in ipairs(maps) do
          if flow_table.map_exists(id) then return false end
        end
        for id in pairs(programs) do
          if select(2, lab.run(("bpftool prog show id %d"):format(id))) == 0 then return false end
        end
        return true
      end)
    end)
  end

  -- The seventh kind, a feature left out of the build, has no message: there is no build that leaves one out.
  it("line 12: each failure names the thing", function()
    local refused = own_object.install("refused")
    for want, args in pairs({
      ["BPF object /nowhere/own.o: No such file or directory (build it or correct the path"] = { "--bpf-object",
        "/nowhere/own.o" },
      ["BPF object " .. refused .. ": the kernel's verifier refused it: "] = { "--bpf-object", refused },
      ["invalid access to packet"] = { "--bpf-object", refused },
      ['cell "one": no interface eth7 (there are: lo, eth0)'] = { "--interface", "eth7" },
      ['cell "one": network namespace /nowhere/ns: No such file or directory'] = { "--netns", "/nowhere/ns" },
    }) do
      assert.matches(want, complaint(args), 1, true)
    end
    local text, code = lab.run(("luajit -joff spec/support/poorer_host.lua tcx %s run --netns %s --tc tcx "
      .. "--require ebpf"):format(cellflow.path, here.cell))
    assert.equal(5, code)
    assert.matches('cell "cell": interface eth0: this kernel refuses tcx', text, 1, true)
    local own, err = ffi.new("struct cf_own_ring"), ffi.new("struct cf_error")
    assert.equal(-1, helper.core.cf_own_ring_open(own, -1, -1, 4096, ffi.new("struct cf_record_origin"), err))
    assert.equal(tonumber(ffi.C.CF_FAIL_RING_OPEN), tonumber(err.kind))
    assert.matches("ring", ffi.string(err.text), 1, true)
    assert.matches("Bad file descriptor", ffi.string(err.text), 1, true)
  end)

  it("line 13: none of them is the cell's end: one warning, and NFLOG has the same flows", function()
    here:serve()
    here:nft([[
      table inet t {
        chain out {
          type filter hook output priority 0; policy accept;
          meta l4proto { tcp, udp } ct state new log group 100 queue-threshold 1 prefix "cellflow:allow:new"
        }
      }]])
    local causes = { ["/nowhere/own.o: No such file or directory"] = { "--bpf-object", "/nowhere/own.o" },
      ["the kernel's verifier refused it"] = { "--bpf-object", own_object.install("refused") },
      ["no interface eth7"] = { "--interface", "eth7" } }
    for cause, args in pairs(causes) do
      local run, list = start(unpack(args)), os.tmpname()
      here:send("--flows 12 --list " .. list)
      local expected = flow_list.read(list)
      os.remove(list)
      local records, summary = finish(run)
      local _, missing = flow_list.match(records, expected)
      assert.equal(0, missing)
      assert.equal(12, #records)
      for _, record in ipairs(records) do assert.equal("nflog", record.source) end
      local warnings = {}
      for line in run:stderr():gmatch("cellflow: warning: ([^\n]*)") do warnings[#warnings + 1] = line end
      assert.equal(1, #warnings)
      assert.matches(cause, warnings[1], 1, true)
      assert.matches("NFLOG group 100 takes over", warnings[1], 1, true)
      assert.same({ "nflog" }, identities.check(summary).cells[1].sources)
      complaint(args) -- and with the flag it is
    end
  end)

  it("line 14: the switches of the other program are honoured, and only a 1 is on", function()
    local REALTIME, FIRECRACKER = "CELLOS_PER_FLOW_REALTIME", "CELLOS_FIRECRACKER_PER_FLOW_EBPF"
    local function sources(backend, switches, args)
      switches.CELLOS_PER_FLOW_BACKEND = backend
      local run = launch(args or {}, switches):ready()
      local _, summary = finish(run)
      local _, warnings = run:stderr():gsub("CELLOS_PER_FLOW_BACKEND=%w+: without effect", "")
      return ("%s, %d warned"):format(table.concat(summary.cells[1].sources, "+"), warnings)
    end
    assert.equal("ebpf, 0 warned", sources("ebpf", { [REALTIME] = "1" }))
    assert.equal("nflog, 0 warned", sources("nflog", { [REALTIME] = "1" }))
    assert.equal("nflog, 0 warned", sources("nflog", { [FIRECRACKER] = "1" }))
    assert.equal("nflog, 0 warned", sources("ebpf", { [REALTIME] = "1" }, { "--sources", "nflog" }))
    assert.equal("ebpf, 0 warned", sources(nil, { [REALTIME] = "1" }))
    for _, value in ipairs({ "true", "yes", "on", "0", "01" }) do
      assert.equal("ebpf, 1 warned", sources("nflog", { [REALTIME] = value }))
    end
    -- With ebpf for a backend, NFLOG takes over as well.
    assert.equal("nflog, 0 warned", sources("ebpf", { [REALTIME] = "1", CELLOS_EBPF_OBJECT_PATH = "/nowhere/x.o" }))
  end)
end)
