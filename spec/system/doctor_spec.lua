-- SPDX-License-Identifier: MIT
-- `cellflow doctor` on this host, and on hosts made poorer: what it finds, what it says helps, and that nothing of its
-- attempts stays.
local ffi = require("ffi")
local dkjson = require("dkjson")
local helper = require("spec.helper")
local netns = require("netns")
local other_program = require("other_program")
local privileged = require("privileged")
local strict_json = require("strict_json")
local xdp_program = require("xdp_program")

local PROGRAM = helper.build .. "/cellflow"

-- Exit code and both streams of a shell command.
local function sh(format, ...)
  local pipe = io.popen("{ " .. format:format(...) .. "; } 2>&1; echo exit $?")
  local said, code = pipe:read("*a"):match("^(.*)exit (%d+)\n$")
  pipe:close()
  return tonumber(code), said
end

-- The report as a table: the exit code as `code`, the checks by name as well. `before`: what runs the program.
local function doctor(options, before)
  local code, said = sh("%s %s doctor --json %s", before or "", PROGRAM, options or "")
  if strict_json.available then assert.is_true(strict_json.is_object(said, #said)) end
  local report = assert(dkjson.decode(said))
  report.code = code
  for _, check in ipairs(report.checks) do report[check.name] = check end
  return report
end

-- LuaJIT's own machine code would be the first to be refused.
local function poorer(what)
  return "luajit -joff spec/support/poorer_host.lua " .. what
end

local function without(...)
  return "setpriv --bounding-set " .. table.concat({ ... }, ",")
end

local function names_of(hook)
  local list = {}
  for i, program in ipairs(hook.programs) do
    assert.equal(i, program.order)
    list[i] = program.kind .. " " .. program.id
  end
  return list
end

describe("doctor", function()
  it("finds that every part works here, by really trying", function()
    local report = doctor()
    assert.equal(0, report.code)
    assert.same({ ebpf = true, nflog = true }, report.sources)
    assert.same({}, report.hooks)
    for _, name in ipairs({ "privileges", "namespaces", "worker", "lua jit", "bpf", "program type", "map types",
      "helpers", "array mmap", "ring mmap", "load", "tcx", "clsact", "nflog" }) do
      assert.equal("ok", report[name].state, name .. ": " .. report[name].detail)
      assert.is_nil(report[name].remedy)
    end
    assert.matches("a datagram there is an event", report.tcx.detail, 1, true)
    assert.matches("a datagram there is an event", report.clsact.detail, 1, true)
    assert.matches("no capabilities", report.worker.detail, 1, true)
  end)

  it("prints a line for each check, coloured on a terminal only", function()
    local code, said = sh("%s doctor", PROGRAM)
    assert.equal(0, code)
    for _, check in ipairs(doctor().checks) do
      local start = ("\n%-4s  %-16s  "):format(check.state == "fail" and "FAIL" or check.state, check.name)
      assert.matches(start, "\n" .. said, 1, true)
    end
    assert.not_matches("\27", said, 1, true)
    local _, coloured = sh("TERM=xterm script -qec '%s doctor' /dev/null", PROGRAM)
    assert.matches("\27[32mok  \27[0m  kernel", coloured, 1, true)
    local _, plain = sh("TERM=xterm NO_COLOR=1 script -qec '%s doctor' /dev/null", PROGRAM)
    assert.matches("ok    kernel", plain, 1, true)
    assert.not_matches("\27[3", plain, 1, true)
  end)

  it("names what is missing and what helps, without the capabilities", function()
    local report = doctor("", without("-sys_admin", "-bpf", "-net_admin"))
    assert.equal(5, report.code)
    assert.same({ ebpf = false, nflog = false }, report.sources)
    for _, name in ipairs({ "privileges", "namespaces", "bpf", "load", "tcx", "clsact", "nflog" }) do
      assert.equal("fail", report[name].state, name)
    end
    assert.matches("without CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF", report.privileges.detail, 1, true)
    assert.matches("run as root", report.privileges.remedy, 1, true)
    assert.matches("run as root, or with CAP_BPF and CAP_NET_ADMIN", report.bpf.remedy, 1, true)
  end)

  it("has no word for nflog that binding a group does not bear out", function()
    local report = doctor("", without("-net_admin"))
    assert.is_false(report.sources.nflog)
    assert.matches("Operation not permitted", report.nflog.detail, 1, true)
    assert.matches("CAP_NET_ADMIN", report.nflog.remedy, 1, true)
  end)

  it("runs as nobody", function()
    -- The build may lie where only root gets.
    local path = os.tmpname()
    netns.must("cp %s %s && chmod 755 %s", PROGRAM, path, path)
    local code, said = sh("setpriv --reuid 65534 --regid 65534 --clear-groups %s doctor", path)
    os.remove(path)
    assert.equal(5, code)
    assert.matches("FAIL  privileges        uid 65534, none of the capabilities", said, 1, true)
    assert.matches("remedy: run as root", said, 1, true)
    assert.matches("source ebpf: would not work\nsource nflog: would not work\n", said, 1, true)
  end)

  it("falls back to clsact, and says why", function()
    local report = doctor("", poorer("tcx"))
    assert.equal(0, report.code)
    assert.same({ ebpf = true, nflog = true }, report.sources)
    assert.equal("warn", report.tcx.state)
    assert.matches("CONFIG_NET_XGRESS", report.tcx.remedy, 1, true)
    assert.equal("ok", report.clsact.state)
    local _, said = sh("%s %s doctor", poorer("tcx"), PROGRAM)
    assert.matches("source ebpf: would work, by clsact\n", said, 1, true)
  end)

  it("survives a filter that kills who makes a bpf call", function()
    local report = doctor("", poorer("bpf"))
    assert.equal(0, report.code)
    assert.same({ ebpf = false, nflog = true }, report.sources)
    assert.equal("fail", report.bpf.state)
    assert.matches("ended by signal 31", report.bpf.detail, 1, true)
    assert.matches("system call filter", report.bpf.remedy, 1, true)
    assert.equal("fail", report.load.state)
  end)

  it("finds that LuaJIT could not make machine code", function()
    if sh("%s /bin/true", poorer("executable")) == 77 then return pending("PR_SET_MDWE needs Linux 6.3") end
    local report = doctor("", poorer("executable"))
    assert.equal(5, report.code)
    assert.equal("fail", report["lua jit"].state)
    assert.matches("MemoryDenyWriteExecute", report["lua jit"].remedy, 1, true)
    assert.equal("ok", report.tcx.state)
  end)

  it("counts the cells that the open files suffice for", function()
    local report = doctor("", "prlimit --nofile=200")
    assert.equal(0, report.code)
    assert.equal("warn", report["open files"].state)
    assert.equal("hard limit 200: enough for 32 cells", report["open files"].detail)
  end)

  it("leaves no process and no namespace, and its own namespace as it was", function()
    local ns = netns.make()
    finally(netns.remove_all)
    local function seen()
      return netns.must("tc -n %s qdisc; ip -n %s -d link; ip -n %s addr; ls /run/netns", ns.name, ns.name, ns.name)
    end
    local before = seen()
    -- A session of its own: whatever it leaves running is in it.
    local code = sh("ip netns exec %s setsid -w sh -c 'echo $$ >/tmp/%s; exec %s doctor'", ns.name, ns.name, PROGRAM)
    assert.equal(0, code)
    local session = netns.must("cat /tmp/%s; rm /tmp/%s", ns.name, ns.name):match("%d+")
    assert.equal("", (select(2, netns.run("ps -o pid= -s %s", session))))
    assert.equal(before, seen())
  end)

  it("is described: every check, and a session that is true", function()
    local file = assert(io.open("docs/doctor.md"))
    local documented = file:read("*a")
    file:close()
    for _, check in ipairs(doctor().checks) do
      assert.matches("| `" .. check.name .. "` |", documented, 1, true)
    end
    for _, name in ipairs({ "user namespace", "cell", "interface", "egress" }) do
      assert.matches("| `" .. name .. "` |", documented, 1, true)
    end
    -- "..." stands for what differs from host to host.
    local session = assert(documented:match("```console\n%$ sudo cellflow doctor\n(.-)```"))
    local _, said = sh("%s doctor", PROGRAM)
    local lines = 0
    for line in session:gmatch("[^\n]+") do
      lines = lines + 1
      local start = line:match("^(.-)%.%.%.$")
      assert.matches(start and "\n" .. start or "\n" .. line .. "\n", "\n" .. said, 1, true)
    end
    assert.is_true(lines > 20)
  end)

  it("refuses what makes no sense", function()
    for options, text in pairs({
      ["--interface e0"] = "--interface: of which cell? (give --netns NAME or --pid PID)",
      ["--netns a --pid 1"] = "--netns and --pid: give one of them",
      ["x"] = 'doctor: takes no operand, got "x"',
      ["--netns " .. ("n"):rep(300)] = "--netns: longer than 255 bytes",
    }) do
      local code, said = sh("%s doctor %s", PROGRAM, options)
      assert.equal(2, code)
      assert.equal("cellflow: error: " .. text .. "\n", said)
    end
    assert.equal(1, (sh("%s doctor >/dev/full", PROGRAM)))
  end)
end)

describe("doctor, asked about a cell,", function()
  local ns, cell, ifindex
  before_each(function()
    ns = netns.make()
    cell = privileged.cell({ name = "x", netns = ns.path, interface = "e0" })
    ifindex = privileged.look(cell).ifindex
  end)
  after_each(netns.remove_all)

  local function inside(fn) return privileged.inside(cell, fn) end

  -- The ids of two programs on tcx egress, one on clsact egress, in the order in which they run.
  local function crowd()
    local expected, links = {}, {}
    inside(function()
      for i = 1, 2 do
        local program = other_program.load()
        links[i] = program:tcx(ifindex)
        links["program" .. i] = program
      end
      for i, id in ipairs(other_program.on_tcx(ifindex)) do expected[i] = "tcx " .. id end
      other_program.make_clsact(ifindex)
      links.filter = other_program.load()
      expected[3] = "clsact " .. links.filter:clsact(ifindex, 9)
    end)
    assert.equal(3, #expected)
    return expected, links
  end

  local function leave(links)
    for i = 1, 2 do ffi.C.close(links[i]) end
  end

  it("says which link it is, and where the other end", function()
    local report = doctor("--netns " .. ns.name)
    assert.equal(0, report.code)
    assert.equal("ok", report.cell.state)
    local peer = netns.must("ip netns exec %s cat /sys/class/net/%s/ifindex", ns.peer, ns.outside)
    assert.matches(("^e0: index %d, Ethernet, veth, peer index %d in namespace id %%d+, up, qdisc noqueue$"):format(
      ifindex, peer), report.interface.detail)
    local same = netns.make(true)
    netns.must("ip -n %s link add va type veth peer name vb", same.name)
    report = doctor(("--netns %s --interface va"):format(same.path))
    assert.matches("veth, peer index %d+, down, qdisc", report.interface.detail)
    assert.equal("warn", report.interface.state)
    netns.must("ip -n %s tuntap add t0 mode tun", same.name)
    assert.matches("^t0: index %d+, layer 3, tun, down", doctor(("--netns %s --interface t0"):format(same.path))
      .interface.detail)
  end)

  it("lists who is on the hooks, in order, and that cellflow would be before them", function()
    local expected, links = crowd()
    local report = doctor("--netns " .. ns.name)
    assert.same({ "egress", "ingress" }, { report.hooks[1].hook, report.hooks[2].hook })
    assert.same(expected, names_of(report.hooks[1]))
    assert.same({}, report.hooks[2].programs)
    for _, program in ipairs(report.hooks[1].programs) do assert.equal("other_program", program.name) end
    local filter = report.hooks[1].programs[3]
    assert.same({ "bpf", 9, "0x1", 0 }, { filter.filter, filter.pref, filter.handle, filter.chain })
    assert.equal("3 others are there; cellflow would be the first, so nothing is hidden from it", report.egress.detail)
    assert.equal("ok", report.egress.state)
    assert.matches("qdisc noqueue, clsact", report.interface.detail, 1, true)
    local _, said = sh("%s doctor --netns %s", PROGRAM, ns.name)
    assert.matches("\negress of e0, first to last:\n   1  tcx     other_program, id %d+\n" ..
      "   2  tcx     other_program, id %d+\n" ..
      "   3  clsact  other_program, id %d+, filter bpf pref 9 handle 0x1\n\n", said)
    leave(links)
  end)

  it("warns of those before cellflow's place where there is only clsact", function()
    local _, links = crowd()
    inside(function() links.late = other_program.load():clsact(ifindex, 300) end)
    local report = doctor("--netns " .. ns.name, poorer("tcx"))
    assert.equal("warn", report.egress.state)
    assert.equal("4 others are there; 3 come before cellflow's place: a packet that one of them ends or redirects " ..
      "is not seen", report.egress.detail)
    assert.matches("preference above 207", report.egress.remedy, 1, true)
    assert.equal("ok", report.ingress.state)
    leave(links)
  end)

  it("warns of an XDP program, which no tc hook can be before", function()
    inside(function() xdp_program.put(ifindex) end)
    local report = doctor("--netns " .. ns.name)
    assert.same({ "xdp", "earliest" }, { report.hooks[2].programs[1].kind, report.hooks[2].programs[1].name })
    assert.same({}, report.hooks[1].programs)
    assert.equal("1 other is there; 1 comes before cellflow's place: a packet that it ends or redirects is not seen",
      report.ingress.detail)
    assert.matches("XDP comes before every tc hook", report.ingress.remedy, 1, true)
    assert.same({ "ok", "warn" }, { report.egress.state, report.ingress.state })
  end)

  it("finds a cellflow that watches there, and who came before it", function()
    for _, mode in ipairs({ ffi.C.CF_ATTACH_TCX, ffi.C.CF_ATTACH_CLSACT }) do
      cell = privileged.cell({ name = "x", netns = ns.path, interface = "e0", attach = mode })
      local object = assert(privileged.load(privileged.maps()))
      local attachment = assert(privileged.attach(cell, object))
      local report = doctor("--netns " .. ns.name)
      assert.equal("nobody is there; a cellflow is the first, so nothing is hidden from it", report.egress.detail)
      assert.equal(1, report.hooks[1].cellflow_order)
      assert.equal(1, report.hooks[2].cellflow_order)
      if mode == ffi.C.CF_ATTACH_CLSACT then
        local earlier = other_program.load()
        inside(function() earlier:clsact(ifindex, 9) end)
        report = doctor("--netns " .. ns.name)
        assert.equal(2, report.hooks[1].cellflow_order)
        assert.equal("warn", report.egress.state)
        assert.matches("1 comes before the cellflow that is there", report.egress.detail, 1, true)
        netns.must("tc -n %s filter del dev e0 egress pref 9", ns.name)
      end
      assert.is_true(privileged.detach(attachment, cell))
    end
  end)

  it("takes a process for its namespace", function()
    local pid = netns.must("ip netns exec %s sleep 30 >/dev/null 2>&1 & echo $!", ns.name):match("%d+")
    assert(netns.eventually(function()
      return netns.run("test \"$(readlink /proc/%s/ns/net)\" != \"$(readlink /proc/self/ns/net)\"", pid)
    end))
    local report = doctor("--pid " .. pid)
    netns.must("kill %s", pid)
    assert.equal(0, report.code)
    assert.matches("^e0: index", report.interface.detail)
  end)

  it("says which namespace or interface is not there", function()
    local report = doctor("--netns nobody-has-this-one")
    assert.equal(5, report.code)
    assert.matches("no network namespace at /run/netns/nobody-has-this-one", report.cell.detail, 1, true)
    report = doctor(("--netns %s --interface e9"):format(ns.name))
    assert.equal(0, report.code)
    assert.same({ ebpf = false, nflog = true }, report.sources)
    assert.equal("no interface e9 (there are: lo, e0)", report.interface.detail)
    assert.is_string(report.interface.remedy)
  end)

  it("needs no privilege for its own namespace", function()
    local report = doctor("--netns /proc/self/ns/net", ("ip netns exec %s %s"):format(ns.name, without("-sys_admin")))
    assert.same({ "ok", "ok", "fail" }, { report.cell.state, report.interface.state, report.namespaces.state })
    assert.matches("but cellflow's own namespace (/proc/self/ns/net)", report.namespaces.remedy, 1, true)
  end)

  it("changes nothing there", function()
    local function seen() return netns.must("tc -n %s qdisc; ip -n %s -d link", ns.name, ns.name) end
    local before = seen()
    doctor("--netns " .. ns.name)
    assert.equal(before, seen())
    inside(function() assert.same({}, other_program.on_tcx(ifindex)) end)
  end)
end)
