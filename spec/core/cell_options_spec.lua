-- SPDX-License-Identifier: MIT
--
-- The options that say which cell to watch and how: from words to fields, the environment of another program, and what
-- they do to the cells of a policy.
local ffi = require("ffi")
local helper = require("spec.helper")
require("core_headers")("error", "options", "plan_check", "cell_options")
local environment = require("environment")
ffi.cdef("void cf_log_set_level(unsigned int level);")

local core, C = helper.core, ffi.C
local ALIASES = { "CELLOS_PER_FLOW_REALTIME", "CELLOS_PER_FLOW_BACKEND", "CELLOS_FIRECRACKER_PER_FLOW_EBPF",
  "CELLOS_EBPF_OBJECT_PATH" }

local function options(given)
  local out = ffi.new("struct cf_cell_options", { nflog_group = -1 })
  for name, value in pairs(given) do out[name] = value end
  return out
end

-- The cell and whether anything was given, or nil and the error.
local function fill(given)
  local cell, err = ffi.new("struct cf_plan_cell"), ffi.new("struct cf_error")
  local rc = core.cf_cell_options_fill(options(given), cell, err)
  if rc < 0 then return nil, ffi.string(err.text), tonumber(err.kind) end
  return cell, rc == 1
end

describe("options of a cell", function()
  it("are none when none is given", function()
    local cell, any = fill({})
    assert.is_false(any)
    assert.equal("", ffi.string(cell.name))
  end)

  for _, case in ipairs({
    { { sources = "auto" }, "sources", C.CF_SOURCES_AUTO + C.CF_CELL_GIVEN },
    { { sources = "ebpf" }, "sources", C.CF_SOURCES_EBPF + C.CF_CELL_GIVEN },
    { { sources = "nflog" }, "sources", C.CF_SOURCES_NFLOG + C.CF_CELL_GIVEN },
    { { sources = "nflog,ebpf" }, "sources", C.CF_SOURCES_BOTH + C.CF_CELL_GIVEN },
    { { sources = "noop" }, "sources", C.CF_SOURCES_NOOP + C.CF_CELL_GIVEN },
    { { attach = "inside" }, "stand", C.CF_STAND_INSIDE }, { { attach = "tap" }, "stand", C.CF_STAND_TAP },
    { { attach = "peer,inside" }, "stand", 3 }, { { tc = "auto" }, "attach", C.CF_CELL_GIVEN },
    { { tc = "clsact" }, "attach", C.CF_ATTACH_CLSACT + C.CF_CELL_GIVEN },
    { { events = "opened" }, "events", 2 }, { { events = "logged,closed,updated" }, "events", 28 },
    { { nflog_group = 65535 }, "nflog_group", 65535 }, { { hooks = "both" }, "hooks", 3 },
    { { hooks = "egress,ingress" }, "hooks", 3 }, { { hooks = "ingress" }, "hooks", 2 },
  }) do
    local name, text = next(case[1])
    it(("--%s %s"):format(name, text), function()
      local cell, any = fill(case[1])
      assert.equal(tonumber(case[3]), tonumber(cell[case[2]]))
      assert.is_true(any)
      assert.equal("", ffi.string(cell.name)) -- so they are every cell's
    end)
  end

  it("are one cell's when they name it or say where it is", function()
    assert.equal("cell", ffi.string(fill({ netns = "b", sources = "nflog" }).name))
    assert.equal("cell", ffi.string(fill({ pid = 7 }).name))
    assert.equal("web", ffi.string(fill({ cell = "web" }).name))
    assert.equal("/run/netns/b", ffi.string(fill({ netns = "b" }).netns))
  end)

  for _, case in ipairs({
    { { sources = "nflg" }, '--sources: "nflg" is not known (did you mean "nflog"?)' },
    { { sources = "auto,nflog" }, '--sources: "auto,nflog": only ebpf and nflog go together' },
    { { sources = "ebpf,noop" }, '--sources: "ebpf,noop": only ebpf and nflog go together' },
    { { sources = "ebpf," }, '--sources: "" is not known (there are: ebpf, nflog, auto, noop)' },
    { { events = "open" }, '--events: "open" is not known (did you mean "opened"?)' },
    { { events = "everything" }, '--events: "everything" is not known (there are: opened, updated, closed, logged)' },
    { { events = ("x"):rep(5000) }, '--events: "' .. ("x"):rep(63) ..
      '" is not known (there are: opened, updated, closed, logged)' },
    { { attach = "tcx" }, '--attach: "tcx": this is where to attach (inside, peer, tap); how is --tc tcx' },
    { { attach = "tap,peer" }, '--attach: "tap,peer": tap goes with no other' },
    { { tc = "xdp" }, '--tc: "xdp" is not known (there are: auto, tcx, clsact)' },
    { { nflog_group = 0 },
      "--nflog-group: the kernel's own log messages go to group 0; want one from 1 to 65535" },
    { { netns = "a", pid = 3 }, "--netns and --pid: give one of them" },
  }) do
    it("refuse " .. case[2], function()
      local cell, text, kind = fill(case[1])
      assert.is_nil(cell)
      assert.equal(case[2], text)
      assert.equal(tonumber(C.CF_FAIL_USAGE), kind)
    end)
  end

  it("can require sources", function()
    local function required(...)
      local items = { ... }
      local list, bits, err = ffi.new("struct cf_option_list"), ffi.new("uint32_t[1]"), ffi.new("struct cf_error")
      for i, item in ipairs(items) do list.items[i - 1] = item end
      list.count = #items
      if core.cf_cell_options_required(list, bits, err) < 0 then return ffi.string(err.text) end
      return bits[0]
    end
    assert.equal(0, required())
    assert.equal(C.CF_SOURCES_EBPF, required("ebpf"))
    assert.equal(C.CF_SOURCES_BOTH, required("nflog", "ebpf"))
    assert.equal(C.CF_SOURCES_BOTH, required("ebpf,nflog"))
    assert.equal('--require: "bpf" is not known (did you mean "ebpf"?)', required("bpf"))
  end)
end)

describe("the other program's environment", function()
  setup(function() core.cf_log_set_level(C.CF_LOG_ERROR) end) -- what has no effect is told, see mistakes_spec.lua
  teardown(function() core.cf_log_set_level(C.CF_LOG_INFO) end)
  after_each(function() environment.clear(ALIASES) end)

  -- sources and bpf_object after it, or nil and the error.
  local function after(variables, given)
    environment.clear(ALIASES)
    for name, value in pairs(variables) do environment.set("CELLOS_" .. name, value) end
    local out, err = options(given or {}), ffi.new("struct cf_error")
    if core.cf_cell_options_aliases(out, err) < 0 then return nil, ffi.string(err.text) end
    local function text(value) return value ~= nil and ffi.string(value) or "-" end
    return text(out.sources) .. " " .. text(out.bpf_object)
  end

  it("says nothing by itself", function()
    assert.equal("- -", after({}))
    assert.equal("- -", after({ PER_FLOW_REALTIME = "1" }))
    assert.equal("- -", after({ FIRECRACKER_PER_FLOW_EBPF = "1" }))
    assert.equal("- -", after({ PER_FLOW_REALTIME = "1", PER_FLOW_BACKEND = "" }))
  end)

  it("chooses the source where a switch is exactly 1", function()
    for _, switch in ipairs({ "PER_FLOW_REALTIME", "FIRECRACKER_PER_FLOW_EBPF" }) do
      assert.equal("auto -", after({ [switch] = "1", PER_FLOW_BACKEND = "ebpf" }))
      assert.equal("nflog -", after({ [switch] = "1", PER_FLOW_BACKEND = "nflog" }))
      for _, off in ipairs({ "true", "yes", "on", "0", "01", " 1", "1 ", "" }) do
        assert.equal("- -", after({ [switch] = off, PER_FLOW_BACKEND = "nflog" }))
      end
    end
    assert.equal("- -", after({ PER_FLOW_BACKEND = "nflog" }))
  end)

  it("says where the BPF object is", function()
    assert.equal("- /o.o", after({ EBPF_OBJECT_PATH = "/o.o" }))
    assert.equal("- -", after({ EBPF_OBJECT_PATH = "" }))
  end)

  it("yields to what was given", function()
    local on = { PER_FLOW_REALTIME = "1", PER_FLOW_BACKEND = "nflog", EBPF_OBJECT_PATH = "/theirs.o" }
    assert.equal("ebpf /ours.o", after(on, { sources = "ebpf", bpf_object = "/ours.o" }))
    on.PER_FLOW_BACKEND = "auditd"
    assert.equal("ebpf /theirs.o", after(on, { sources = "ebpf" }))
  end)

  it("is read as closely as an option", function()
    local got, text = after({ PER_FLOW_REALTIME = "1", PER_FLOW_BACKEND = "nflg" })
    assert.is_nil(got)
    assert.equal('CELLOS_PER_FLOW_BACKEND: "nflg" is not known (did you mean "nflog"?)', text)
  end)
end)

describe("the command line's cell", function()
  local plan

  before_each(function()
    plan = ffi.gc(core.cf_plan_new(), core.cf_plan_free)
    for i, name in ipairs({ "web", "db" }) do
      local cell = core.cf_plan_add_cell(plan)
      cell.name, cell.netns, cell.interface, cell.hooks, cell.place = name, "/" .. name, "eth0", 1, "p.lua:" .. i
      cell.sources, cell.attach, cell.stand, cell.events, cell.nflog_group = 2, 1, 2, 2, 7
    end
  end)

  local function merge(given)
    local err = ffi.new("struct cf_error")
    local rc = core.cf_plan_merge_cell(plan, assert(fill(given)), err)
    if rc < 0 then return ffi.string(err.text) end
  end
  local function of(i)
    local cell = plan.cells[i]
    return table.concat({ ffi.string(cell.name), ffi.string(cell.netns), cell.sources, cell.attach, cell.stand,
      cell.events, cell.nflog_group, cell.hooks, ffi.string(cell.interface), ffi.string(cell.bpf_object) }, " ")
  end

  it("without a name is every cell of the policy", function()
    merge({ sources = "auto", tc = "auto", attach = "inside", events = "closed", nflog_group = 9, hooks = "both",
      interface = "eth1", bpf_object = "/o.o" })
    assert.same({ "web /web 0 0 1 8 9 3 eth1 /o.o", "db /db 0 0 1 8 9 3 eth1 /o.o" }, { of(0), of(1) })
    assert.equal(2, plan.cell_count)
  end)

  it("with the name of one changes that one, and of it what is given", function()
    merge({ cell = "db", sources = "ebpf" })
    assert.same({ "web /web 2 1 2 2 7 1 eth0 ", "db /db 1 1 2 2 7 1 eth0 " }, { of(0), of(1) })
    merge({ cell = "db", netns = "other" })
    assert.equal("db /run/netns/other 1 1 2 2 7 1 eth0 ", of(1))
  end)

  it("with another name is one more", function()
    merge({ netns = "new", sources = "auto" })
    assert.equal(3, plan.cell_count)
    assert.equal("cell /run/netns/new 0 0 0 0 0 0  ", of(2))
    assert.equal("command line", ffi.string(plan.cells[2].place))
  end)

  it("needs room", function()
    plan.cell_count = C.CF_CELLS_MAX
    assert.equal("more than 4096 cells", merge({ netns = "new" }))
  end)
end)
