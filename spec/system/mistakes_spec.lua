-- SPDX-License-Identifier: MIT
--
-- Mistakes, each as an operator makes it: the documented exit code, nothing on stdout, and exactly one line on stderr
-- that names file, line and word, what is wrong, and what would be right.
local cellflow = require("cellflow")
local labs = require("lab")
local operator = require("operator")

describe("mistake", function()
  local lab, desk

  setup(function()
    lab = labs.up()
  end)
  teardown(function()
    lab:down()
  end)
  before_each(function()
    desk = operator.open(lab)
  end)
  after_each(function()
    cellflow.stop_all()
    desk:close()
  end)

  -- `want`: the whole line without "cellflow: error: "; DESK stands for the desk's path.
  local function complains(code, want, words, before)
    local got, out, err = desk:run(words, before)
    want = want:gsub("DESK", desk.path)
    assert.equal("cellflow: error: " .. want .. "\n", err)
    assert.equal(code, got)
    assert.equal("", out)
  end

  describe("on the command line:", function()
    for _, case in ipairs({
      { "rum", 'unknown verb "rum" (did you mean "run"?)' },
      { "frobnicate", 'unknown verb "frobnicate" (see: cellflow --help)' },
      { "run", "run: nothing to watch (give --netns NAME, --pid PID, or a policy with -c FILE)" },
      { "run --ntns x", 'run: unknown option "--ntns" (did you mean "--netns"?)' },
      { "run --netns a --pid 3", "--netns and --pid: give one of them" },
      { "run --pid abc", '--pid: "abc" is not a whole number from 1 to 4194304' },
      { "run --netns", "--netns needs a value: NAME|PATH" },
      { "run --netns ''", "--netns: is empty, want NAME|PATH" },
      { "run --netns x -a foo", "-a foo: want NAME=VALUE" },
      { "run --netns x -a =foo", "-a =foo: want NAME=VALUE" },
      { "run --netns x --fail-on dney", '--fail-on: "dney" is not known (did you mean "deny"?)' },
      { "run --netns x --hooks egres", '--hooks: "egres" is not known (did you mean "egress"?)' },
      { "run --netns x --tc xdp", '--tc: "xdp" is not known (there are: auto, tcx, clsact)' },
      { "run --netns x --attach tcx", '--attach: "tcx": this is where to attach (inside, peer, tap); how is --tc tcx' },
      { "run --netns x --sources ebfp", '--sources: "ebfp" is not known (did you mean "ebpf"?)' },
      { "run --netns x --nflog-group 0",
        "--nflog-group: the kernel's own log messages go to group 0; want one from 1 to 65535" },
      { "run --netns x --nflog-group 65536", '--nflog-group: "65536" is not a whole number from 0 to 65535' },
      { "run --netns x --require tc", '--require: "tc" is not known (there are: ebpf, nflog)' },
      { "run --netns x --user nosuch", "--user nosuch: no such user" },
      { "run --netns x --quiet --verbose", "--quiet and --verbose: give one of them" },
      { "run policy.lua", 'run: unexpected "policy.lua" (a policy is given with -c FILE)' },
      { "check", "check: want one policy file, got 0" },
      { "check a b", "check: want one policy file, got 2" },
      { "run --netns x --interface abcdefghijklmnopq", "--interface: longer than 15 bytes" },
    }) do
      it("cellflow " .. case[1], function() complains(2, case[2], case[1]) end)
    end

    it("a value in the environment is called by the variable's name", function()
      complains(2, 'CELLFLOW_RING_SIZE: "big" is not a whole number from 1 to 1024', "run --netns x",
        "CELLFLOW_RING_SIZE=big")
      complains(2, 'CELLOS_PER_FLOW_BACKEND: "big" is not known (there are: ebpf, nflog)', "run --netns x",
        "CELLOS_PER_FLOW_REALTIME=1 CELLOS_PER_FLOW_BACKEND=big")
    end)

    it("another program's choice of a source that nothing switches on is told", function()
      local code, out, err = desk:run("run --netns cf-none",
        "CELLOS_PER_FLOW_REALTIME=yes CELLOS_PER_FLOW_BACKEND=nflog")
      assert.same({ 5, "" }, { code, out })
      assert.matches("^cellflow: warning: CELLOS_PER_FLOW_BACKEND=nflog: without effect, as " ..
        "CELLOS_PER_FLOW_REALTIME is not 1 %(or give: %-%-sources nflog%)\n", err)
    end)
  end)

  describe("about the cell:", function()
    it("a namespace that is missing", function()
      complains(5, 'cell "cell": no network namespace at /run/netns/cf-none (create it with: ip netns add cf-none)',
        "run --netns cf-none")
    end)

    it("a namespace that is missing, in a policy", function()
      desk:write("p.lua", '\n\ncell "web" { netns = "cf-none", interface = "eth0" }\n')
      complains(5, 'DESK/p.lua:3: cell "web": no network namespace at /run/netns/cf-none ' ..
        "(create it with: ip netns add cf-none)", "run -c " .. desk:at("p.lua"))
    end)

    it("a file that is no namespace", function()
      complains(5, 'cell "cell": /etc/passwd is a regular file, not a network namespace (a path below /run/netns, ' ..
        "or /proc/PID/ns/net)", "run --netns /etc/passwd")
    end)

    it("a process that is not there", function()
      complains(5, 'cell "cell": no process 4194304, so no network namespace of it (is the cell running?)',
        "run --pid 4194304")
    end)

    it("an interface that is missing", function()
      complains(5, 'cell "cell": no interface eth9 (there are: lo, eth0)',
        "run --sources ebpf --interface eth9 --netns " .. lab.cell)
    end)

    it("no privileges", function()
      complains(5, 'cell "cell": entering the network namespace: Operation not permitted ' ..
        "(needs root, or CAP_SYS_ADMIN)", "run --netns " .. lab.cell,
        "setpriv --reuid=nobody --regid=nogroup --clear-groups --bounding-set=-all")
    end)
  end)

  describe("about a file:", function()
    it("a policy that is missing", function()
      complains(3, "DESK/p.lua: cannot open the policy file: No such file or directory", "run -c " .. desk:at("p.lua"))
      complains(3, "DESK/p.lua: cannot open the policy file: No such file or directory", "check " .. desk:at("p.lua"))
    end)

    it("a policy that is a directory", function()
      complains(3, "DESK: is a directory, want a policy file", "run -c " .. desk.path)
    end)

    it("a policy that is a FIFO", function()
      labs.must("mkfifo " .. desk:at("fifo"))
      complains(3, "DESK/fifo: is a FIFO, want a policy file", "run -c " .. desk:at("fifo"))
    end)

    it("a policy of 20 MB", function()
      desk:policy(("-- twenty bytes long\n"):rep(1000000))
      complains(3, ("DESK/p.lua: has %d bytes, a policy at most 16777216"):format(
        #labs.read_file(desk:at("p.lua"))), "run -c " .. desk:at("p.lua"))
    end)

    it("a policy that anyone may write", function()
      labs.must("chmod 666 " .. desk:policy())
      complains(3, "DESK/p.lua: may be written by anyone (chmod o-w DESK/p.lua)", "run -c " .. desk:at("p.lua"))
    end)

    it("a policy that the worker's group may write", function()
      labs.must(("chgrp nogroup %s && chmod 664 %s"):format(desk:policy(), desk:at("p.lua")))
      complains(3, "DESK/p.lua: may be written by group 65534, which the policy runs with (chmod g-w DESK/p.lua)",
        "run -c " .. desk:at("p.lua"))
    end)

    it("a policy of the worker's user", function()
      labs.must("chown nobody " .. desk:policy())
      complains(3, "DESK/p.lua: belongs to uid 65534, whom the policy runs as (chown root DESK/p.lua)",
        "run --user nobody -c " .. desk:at("p.lua"))
    end)

    it("an output that is a directory", function()
      desk:policy(('output "json" { path = %q }'):format(desk.path))
      complains(1, 'DESK/p.lua:2: output "DESK": cannot open: Is a directory', "run -c " .. desk:at("p.lua"))
    end)

    it("an output that is a FIFO without a reader", function()
      labs.must("mkfifo " .. desk:at("fifo"))
      desk:policy(('output "json" { path = %q }'):format(desk:at("fifo")))
      complains(1, 'DESK/p.lua:2: output "DESK/fifo": cannot open: a FIFO that nobody reads',
        "run -c " .. desk:at("p.lua"))
    end)

    it("stdout that is closed", function()
      local code, _, err = desk:run("run --netns " .. lab.cell, nil, ">&-")
      assert.equal('cellflow: error: output "-": stdout is closed (send records elsewhere: > FILE, or output "json" ' ..
        '{ path = "FILE" })\n', err)
      assert.equal(1, code)
    end)
  end)

  describe("about a BPF object:", function()
    local objects = require("spec.helper").build .. "/bpf/test/"

    for name, case in pairs({
      ["that is missing"] = { "/nope.o",
        "No such file or directory (build it or correct the path; without one the built-in object is used)" },
      ["that is a directory"] = { "/tmp", "is a directory, not a regular file" },
      ["without a program"] = { objects .. "no_program.bpf.o",
        "no program for egress (looked for cellflow_egress, cellos_flow_egress, tc_egress, flow_classifier)" },
      ["without a ring"] = { objects .. "no_ring.bpf.o", "no ring-buffer map (looked for FLOW_EVENTS, flow_events)" },
    }) do
      it("one " .. name, function()
        complains(5, ('cell "cell": BPF object %s: %s'):format(case[1], case[2]),
          ("run --sources ebpf --netns %s --bpf-object %s"):format(lab.cell, case[1]))
      end)
    end

    it("one that is a FIFO, in a policy", function()
      labs.must("mkfifo " .. desk:at("fifo"))
      desk:write("p.lua", ('cell "web" { netns = %q, interface = "eth0", sources = "ebpf", bpf_object = %q }\n')
        :format(lab.cell, desk:at("fifo")))
      complains(5, 'DESK/p.lua:1: cell "web": BPF object DESK/fifo: is a FIFO, not a regular file',
        "run -c " .. desk:at("p.lua"))
    end)

    it("one that the verifier refuses, in its own words and on one line", function()
      local code, out, err = desk:run(("run --sources ebpf --netns %s --bpf-object %srefused.bpf.o"):format(
        lab.cell, objects))
      assert.equal(5, code)
      assert.equal("", out)
      assert.matches('^cellflow: error: cell "cell": BPF object [^\n]*refused.bpf.o: the kernel\'s verifier refused ' ..
        "it: [^\n]*invalid access to packet[^\n]*\n$", err)
    end)
  end)

  describe("in a policy:", function()
    local CELL = 'cell "web" { netns = "x", interface = "eth0" }\n'
    for what, case in pairs({
      ["a syntax error"] = { CELL .. "function verdict(ev", "p.lua:2: ')' expected near '<eof>'" },
      ["an undefined name"] = { CELL .. "local x = vredict",
        'p.lua:2: undefined name "vredict" (did you mean "verdict"?)' },
      ["a global variable"] = { CELL .. "limit = 3",
        'p.lua:2: global "limit" may not be assigned; write local limit, or one of the hooks dedup, verdict, ' ..
          "reason, format" },
      ["a misspelt hook"] = { CELL .. "function verdct(ev) end",
        'p.lua:2: global "verdct" may not be assigned; write local verdct, or one of the hooks dedup, verdict, ' ..
          'reason, format (did you mean "verdict"?)' },
      ["a misspelt option"] = { 'cell "web" { netns = "x", interfac = "eth0" }',
        'p.lua:1: cell "web": unknown option "interfac" (did you mean "interface"?)' },
      ["an option of the wrong type"] = { 'cell "web" { netns = "x", interface = 3 }',
        'p.lua:1: cell "web": interface must be text, got 3' },
      ["no cell"] = { "-- nothing yet",
        'p.lua: declares no cell, nothing to watch (add: cell "NAME" { netns = "NAME", interface = "eth0" })' },
      ["two cells of one name"] = { CELL .. CELL,
        'p.lua:2: cell "web" is declared twice; the first is at DESK/p.lua:1' },
      ["5000 cells"] = { 'for i = 1, 5000 do cell("c" .. i) { netns = "x", interface = "eth0" } end',
        'p.lua:1: cell "c4097" is one too many; a plan holds 4096 cells' },
      ["an unknown output"] = { CELL .. 'output "jsonl" { path = "x" }',
        'p.lua:2: output "jsonl": there is no such output (did you mean "json"?)' },
      ["a loop without an end"] = { CELL .. "\nwhile true do end",
        "p.lua:3: still running after 100 million instructions; is there a loop without an end?" },
      ["an error of several lines"] = { CELL .. 'error("one\\ntwo")', "p.lua:2: one | two" },
      ["an error that is a table"] = { CELL .. "error({})", "p.lua:2: error object is a table value" },
      ["bytecode"] = { "\27LJ\2", "p.lua: is bytecode; a policy is Lua text" },
    }) do
      it(what, function()
        desk:write("p.lua", case[1])
        complains(3, "DESK/" .. case[2], "run -c " .. desk:at("p.lua"))
      end)
    end

    it("a file that keeps the worker busy where nothing is counted ends all the same", function()
      desk:write("p.lua", CELL .. 'local s = ("a"):rep(3e6)\nfor _ = 1, 1e6 do s:reverse() end\n')
      local code, out, err = desk:run("run -c " .. desk:at("p.lua"))
      assert.equal(3, code)
      assert.equal("", out)
      assert.equal("cellflow: error: loading " .. desk:at("p.lua") ..
        " took longer than 10 s (does it loop, or make very long texts?)\n", err)
    end)
  end)

  describe("in a hook, found by check:", function()
    for what, case in pairs({
      ["a misspelt field"] = { 'function verdict(ev)\n  if ev.dst_prot == 22 then return "deny" end\nend',
        'p.lua:3: [^\n]*"dst_prot"[^\n]*did you mean "dst_port"%?' },
      ["a number where a decision belongs"] = { "function verdict(ev)\n  return 42\nend", "p.lua:%d: [^\n]*42" },
      ["a word that is no decision"] = { 'function verdict(ev) return "dney" end',
        'p.lua:2: [^\n]*did you mean "deny"' },
      ["a loop without an end"] = { "function verdict(ev)\n  while true do end\nend", "p.lua:3: [^\n]*loop" },
    }) do
      it(what, function()
        desk:policy(case[1])
        local code, out, err = desk:run("check " .. desk:at("p.lua"))
        assert.equal(3, code)
        assert.equal("", out)
        assert.matches("^cellflow: error: " .. desk.path:gsub("%p", "%%%0") .. "/" .. case[2], err)
        assert.matches("p.lua: 1 finding\n$", err)
        assert.equal(2, select(2, err:gsub("\n", "")))
      end)
    end
  end)
end)
