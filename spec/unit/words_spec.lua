-- SPDX-License-Identifier: MIT
-- What cell, metadata and output write into the plan, and every way they refuse.
local ffi = require("ffi")
require("spec.helper")
local recording = require("recording_core")

local C = ffi.C

local function plan_of(text)
  local _, out = recording.host(text)
  return out.plan
end

describe("cell", function()
  it("fills a cell of the plan", function()
    local plan = plan_of([[

cell "build-42" {
  netns = "/run/netns/b", interface = "eth0", hooks = { "egress", "ingress" }, tc = "clsact",
  sources = { "nflog", "ebpf" }, nflog_group = 65535, events = { "closed", "opened" }, attach = { "inside", "peer" },
  bpf_object = "/opt/flow.o", run_id = "run-7" }]])
    local cell = plan.cells[0]
    assert.equal(1, plan.cell_count)
    assert.equal("build-42 eth0 /run/netns/b /opt/flow.o run-7 cellflow.lua:2", table.concat({ ffi.string(cell.name),
      ffi.string(cell.interface), ffi.string(cell.netns), ffi.string(cell.bpf_object), ffi.string(cell.run_id),
      ffi.string(cell.place) }, " "))
    assert.same({ 0, 3, C.CF_ATTACH_CLSACT }, { cell.pid, cell.hooks, cell.attach })
    assert.same({ C.CF_SOURCES_BOTH, 65535, 2 + 8, C.CF_STAND_INSIDE + C.CF_STAND_PEER },
      { cell.sources, cell.nflog_group, cell.events, cell.stand })
  end)
  it("has defaults: egress, attach as the kernel can, nothing else", function()
    local cell = plan_of('cell "a" { pid = 12, interface = "eth0" }').cells[0]
    assert.same({ 12, C.CF_PLAN_EGRESS, C.CF_ATTACH_AUTO }, { cell.pid, cell.hooks, cell.attach })
    assert.same({ C.CF_SOURCES_AUTO, 100, C.CF_EVENTS_DEFAULT, C.CF_STAND_INSIDE },
      { cell.sources, cell.nflog_group, cell.events, cell.stand })
    assert.same({ "", "", "" }, { ffi.string(cell.netns), ffi.string(cell.bpf_object), ffi.string(cell.run_id) })
  end)
  it("looks for a bare netns name where ip netns puts it", function()
    assert.equal("/run/netns/b", ffi.string(plan_of('cell "a" { netns = "b", interface = "e" }').cells[0].netns))
    assert.equal("./b", ffi.string(plan_of('cell "a" { netns = "./b", interface = "e" }').cells[0].netns))
  end)
  it("takes a hook by name", function()
    local cell = plan_of('cell "a" { netns = "b", interface = "e", hooks = "ingress" }').cells[0]
    assert.equal(C.CF_PLAN_INGRESS, cell.hooks)
  end)
  for value, sources in pairs({ ['"auto"'] = C.CF_SOURCES_AUTO, ['"ebpf"'] = C.CF_SOURCES_EBPF,
    ['"nflog"'] = C.CF_SOURCES_NFLOG, ['"noop"'] = C.CF_SOURCES_NOOP, ['{ "noop" }'] = C.CF_SOURCES_NOOP,
    ['{ "nflog" }'] = C.CF_SOURCES_NFLOG, ['{ "ebpf", "nflog" }'] = C.CF_SOURCES_BOTH }) do
    it("takes sources = " .. value, function()
      assert.equal(sources, plan_of('cell "a" { netns = "b", sources = ' .. value .. " }").cells[0].sources)
    end)
  end
  it("takes one event, or one place to attach, by name", function()
    local cell = plan_of('cell "a" { netns = "b", events = "logged", attach = "tap", nflog_group = 1 }').cells[0]
    assert.same({ 16, C.CF_STAND_TAP, 1 }, { cell.events, cell.stand, cell.nflog_group })
  end)
  it("leaves the choice of the interface to the start", function()
    assert.equal("", ffi.string(plan_of('cell "web" { netns = "b" }').cells[0].interface))
  end)
  it("may stand many times, also in a loop", function()
    local plan = plan_of('for i = 1, 40 do cell("c" .. i) { pid = i, interface = "eth0" } end')
    assert.equal(40, plan.cell_count)
    assert.same({ "c40", 40 }, { ffi.string(plan.cells[39].name), plan.cells[39].pid })
  end)
end)

describe("flows", function()
  local function flows_of(text)
    local flows = plan_of(text).flows
    return { flows.idle_s[0], flows.idle_s[1], flows.idle_s[2], flows.idle_s[3], flows.update_s }
  end
  it("have the lifetimes that are documented, also without a policy", function()
    assert.same({ 300, 60, 30, 60, 10 }, flows_of("flows {}"))
    assert.same({ 300, 60, 30, 60, 10 }, flows_of(nil))
  end)
  it("have those that are given", function()
    assert.same({ 1, 2, 3, 86400, 5 },
      flows_of("flows { tcp_idle = 1, udp_idle = 2, icmp_idle = 3, other_idle = 24 * hour, update = 5 }"))
    assert.same({ 300, 60, 30, 7, 10 }, flows_of("flows { other_idle = 7 }"))
  end)
end)

describe("output and metadata", function()
  it("without output, records go to stdout", function()
    local plan = plan_of("")
    assert.same({ 1, C.CF_OUTPUT_STDOUT }, { plan.output_count, plan.outputs[0].kind })
  end)
  it("takes stdout, files and sockets, in order", function()
    local plan = plan_of('output "json" {}\noutput "json" { path = "/var/log/c.json" }\n' ..
      'output "json" { path = "unix:/run/c.sock" }')
    local got = {}
    for i = 0, plan.output_count - 1 do
      local output = plan.outputs[i]
      got[#got + 1] = ("%d %s %s"):format(output.kind, ffi.string(output.path), ffi.string(output.place))
    end
    assert.same({ "1  cellflow.lua:1", "2 /var/log/c.json cellflow.lua:2", "3 /run/c.sock cellflow.lua:3" }, got)
  end)
  it("writes each output in a format of its own", function()
    local plan, got = plan_of('output "csv" {}\noutput "json" { path = "a" }\noutput "table" { path = "b" }\n' ..
      'output "compact" { path = "c" }'), {}
    for i = 0, plan.output_count - 1 do got[#got + 1] = plan.outputs[i].format end
    assert.same({ C.CF_FORMAT_CSV, C.CF_FORMAT_JSON, C.CF_FORMAT_TABLE, C.CF_FORMAT_COMPACT }, got)
  end)
  it("metadata is stamped on the plan", function()
    local metadata = plan_of('metadata { run_id = "r", keyset_id = "k", policy_digest = "d" }').metadata
    assert.same({ "r", "k", "d", "", "" }, { ffi.string(metadata.run_id), ffi.string(metadata.keyset_id),
      ffi.string(metadata.policy_digest), ffi.string(metadata.issuer_kid), ffi.string(metadata.correlation_id) })
  end)
end)

local ROOM = 'netns = "b", interface = "e"'
local ERRORS = {
  { 'cell "web" { netsn = "b" }', 'cell "web": unknown option "netsn" (did you mean "netns"?)' },
  { 'cell "web" { ' .. ROOM .. ', nflg = 5 }', 'cell "web": unknown option "nflg" (did you mean "nflog_group"?)' },
  { 'cell "web" { ' .. ROOM .. ', nflog_group = 0 }', 'cell "web": nflog_group must not be 0, where the kernel\'s ' ..
    "own log messages go: a whole number from 1 to 65535" },
  { 'cell "web" { ' .. ROOM .. ', nflog_group = 65536 }',
    'cell "web": nflog_group must be a whole number from 1 to 65535, got 65536' },
  { 'cell "web" { ' .. ROOM .. ', sources = {} }', 'cell "web": sources must not be empty' },
  { 'cell "web" { ' .. ROOM .. ', sources = { "auto", "nflog" } }',
    'cell "web": sources takes "auto" alone: only "ebpf" and "nflog" go together' },
  { 'cell "web" { ' .. ROOM .. ', sources = { "nflog", "noop" } }',
    'cell "web": sources takes "noop" alone: only "ebpf" and "nflog" go together' },
  { 'cell "web" { ' .. ROOM .. ', sources = "bpf" }', 'cell "web": sources must be one of "auto", "ebpf", "nflog", ' ..
    '"noop", got "bpf" (did you mean "ebpf"?)' },
  { 'cell "web" { ' .. ROOM .. ', sources = { 3 } }',
    'cell "web": sources must be one of "auto", "ebpf", "nflog", "noop", got 3' },
  { 'cell "web" { ' .. ROOM .. ', events = { "open" } }', 'cell "web": events must be one of "closed", "logged", ' ..
    '"opened", "updated", got "open" (did you mean "opened"?)' },
  { 'cell "web" { ' .. ROOM .. ', events = {} }', 'cell "web": events must not be empty' },
  { 'cell "web" { ' .. ROOM .. ', attach = "tcx" }',
    'cell "web": attach is where to attach ("inside", "peer", "tap"); how to is tc = "tcx"' },
  { 'cell "web" { ' .. ROOM .. ', attach = "auto" }',
    'cell "web": attach is where to attach ("inside", "peer", "tap"); how to is tc = "auto"' },
  { 'cell "web" { ' .. ROOM .. ', attach = { "inside", "tap" } }',
    'cell "web": attach takes "tap" alone, which is the whole way into a microVM' },
  { "flows { tcp_idle = 0 }", "flows: tcp_idle must be a whole number from 1 to 86400, got 0" },
  { "flows { update = 0.5 }", "flows: update must be a whole number from 1 to 86400, got 0.5" },
  { "flows { tcp = 3 }", 'flows: unknown option "tcp"' },
  { 'cell "web" { netns = 7, interface = "e" }', 'cell "web": netns must be text, got 7' },
  { 'cell "web" { netns = "", interface = "e" }', 'cell "web": netns must not be empty' },
  { 'cell "web" { netns = "a\\0b", interface = "e" }', 'cell "web": netns must not contain a NUL byte' },
  { 'cell "web" { netns = ("x"):rep(256), interface = "e" }', 'cell "web": netns is 256 bytes long, at most 255 fit' },
  { 'cell "web" { netns = ("x"):rep(250), interface = "e" }', 'cell "web": netns is too long a name' },
  { 'cell "web" { netns = "b", interface = "abcdefghijklmnop" }',
    'cell "web": interface is 16 bytes long, at most 15 fit' },
  { 'cell "web" { netns = "b", interface = "a/b" }',
    'cell "web": interface "a/b" is not a name an interface can have' },
  { 'cell "web" { interface = "e" }',
    'cell "web": one of netns ("/run/netns/NAME", or NAME) and pid must say where the cell is' },
  { 'cell "web" { pid = 1, ' .. ROOM .. ' }',
    'cell "web": netns and pid both say where the cell is; give one of them' },
  { 'cell "web" { pid = 0, interface = "e" }', 'cell "web": pid must be a whole number from 1 to 4194304, got 0' },
  { 'cell "web" { pid = 1.5, interface = "e" }', 'cell "web": pid must be a whole number from 1 to 4194304, got 1.5' },
  { 'cell "web" { pid = "1", interface = "e" }', 'cell "web": pid must be a whole number from 1 to 4194304, got "1"' },
  { 'cell "web" { ' .. ROOM .. ', hooks = "egres" }',
    'cell "web": hooks must be one of "egress", "ingress", got "egres" (did you mean "egress"?)' },
  { 'cell "web" { ' .. ROOM .. ', hooks = {} }', 'cell "web": hooks must not be empty' },
  { 'cell "web" { ' .. ROOM .. ', hooks = { 3 } }', 'cell "web": hooks must be one of "egress", "ingress", got 3' },
  { 'cell "web" { ' .. ROOM .. ', attach = "xdp" }',
    'cell "web": attach must be one of "inside", "peer", "tap", got "xdp"' },
  { 'cell "web" { ' .. ROOM .. ', tc = "xdp" }',
    'cell "web": tc must be one of "auto", "clsact", "tcx", got "xdp"' },
  { 'cell "web" { "b", interface = "e" }', 'cell "web": options are written name = value, but "b" has no name' },
  { 'cell "web" "b"', 'cell "web" takes a table of options, got "b"' },
  { "cell { }", 'cell takes a name first, got a table: cell "web" { netns = "web", interface = "eth0" }' },
  { 'cell "" { }', "cell: the name must not be empty" },
  { 'cell(("x"):rep(64)) { }', "cell: the name is 64 bytes long, at most 63 fit" },
  { 'cell "web"', 'cell "web" has no { options } after it' },
  { 'output "jsno" {}', 'output "jsno": there is no such output (did you mean "json"?)' },
  { 'output "xml" {}', 'output "xml": there is no such output (there are: json, compact, table, csv)' },
  { 'output "json" { path = "unix:rel" }',
    'output "json": path "unix:rel": after "unix:" comes an absolute path of at most 107 bytes' },
  { 'output "json" { file = "x" }', 'output "json": unknown option "file"' },
  { 'output "json" { path = 3 }', 'output "json": path must be text, got 3' },
  { "for i = 1, 9 do output 'json' { path = 'f' .. i } end",
    'output "json" is one too many; there can be 8 outputs' },
  { "metadata { runid = 'x' }", 'metadata: unknown option "runid" (did you mean "run_id"?)' },
  { "metadata { run_id = ('x'):rep(300) }", "metadata: run_id is 300 bytes long, at most 255 fit" },
  { "metadata 'x'", 'metadata takes a table of options, got "x"' },
}

describe("a declaration is refused:", function()
  for _, case in ipairs(ERRORS) do
    it(case[2], function()
      assert.equal("cellflow.lua:3: " .. case[2], recording.load_error("\n\n" .. case[1]))
    end)
  end
  it("twice the same, naming both places", function()
    local cell = 'cell "web" { netns = "b", interface = "e" }\n'
    assert.equal('cellflow.lua:2: cell "web" is declared twice; the first is at cellflow.lua:1',
      recording.load_error(cell .. cell))
    assert.equal('cellflow.lua:2: output "json": path "-" is declared twice; the first is at cellflow.lua:1',
      recording.load_error('output "json" {}\noutput "json" { path = "-" }'))
    assert.equal('cellflow.lua:2: output "csv": path "-" is declared twice; the first is at cellflow.lua:1',
      recording.load_error('output "compact" {}\noutput "csv" {}'))
    assert.equal("cellflow.lua:2: metadata is declared twice; the first is at cellflow.lua:1",
      recording.load_error("metadata {}\nmetadata {}"))
    assert.equal("cellflow.lua:2: flows is declared twice; the first is at cellflow.lua:1",
      recording.load_error("flows {}\nflows {}"))
  end)
  it("more cells than a plan holds", function()
    assert.equal('cellflow.lua:1: cell "c4097" is one too many; a plan holds 4096 cells',
      recording.load_error('for i = 1, 4097 do cell("c" .. i) { pid = i, interface = "e" } end'))
  end)
  for _, code in ipairs({ 'cell "x" {}', 'output "json" {}', "metadata {}", "flows {}" }) do
    it("after the file was read: " .. code, function()
      local endings, out = recording.run("function verdict()\n  " .. code .. "\nend")
      assert.equal("script_error", endings[1].reason)
      assert.equal(("cellflow.lua:2: %s() may only be used while the file is read [in verdict; cellflow.lua:2]")
        :format(code:match("%w+")), out.log[1].text)
    end)
  end
  it("finished after the file was read", function()
    local endings, out = recording.run('local later = cell\nfunction verdict() later "x" { pid = 1 } end')
    assert.equal("script_error", endings[1].reason)
    assert.matches("cell() may only be used while the file is read", out.log[1].text, 1, true)
  end)
end)
