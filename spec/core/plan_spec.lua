-- SPDX-License-Identifier: MIT
--
-- Plans as data: what a plan from a worker must satisfy before the privileged half acts on it, and what of an old plan
-- a new one can keep.
local ffi = require("ffi")
local helper = require("spec.helper")
require("core_headers")("error", "plan_check")

local core, C = helper.core, ffi.C
local CELLS, OUTPUTS = tonumber(C.CF_CELLS_MAX), tonumber(C.CF_OUTPUTS_MAX)

local function plan_of(cells)
  local plan = ffi.gc(core.cf_plan_new(), core.cf_plan_free)
  plan.limits = { slow_ms = 1, stuck_s = 3600, memory_mb = 16 }
  plan.flows = { { 1, 86400, 30, 60 }, 0 }
  for i, fields in ipairs(cells or {}) do
    local cell = core.cf_plan_add_cell(plan)
    cell.name, cell.place = fields.name or "c" .. i, "p.lua:" .. i
    cell.netns = fields.netns or (fields.pid and "" or "/n")
    cell.pid, cell.hooks, cell.attach = fields.pid or 0, fields.hooks or 1, fields.attach or 0
    cell.interface, cell.bpf_object = fields.interface or "", fields.bpf_object or ""
    cell.run_id = fields.run_id or ""
    cell.sources, cell.stand = fields.sources or 0, fields.stand or 0
    cell.nflog_group, cell.events = fields.nflog_group or 0, fields.events or 0
  end
  return plan
end

local function add_output(plan)
  local output = core.cf_plan_add_output(plan)
  output.kind, output.path, output.place = C.CF_OUTPUT_FILE, "/var/log/x", "p.lua:9"
end

describe("plan", function()
  local function refusal(plan)
    local err = ffi.new("struct cf_error")
    if core.cf_plan_check(plan, err) == 0 then return nil end
    return ffi.string(err.text), tonumber(err.kind)
  end

  it("passes when it is in order", function()
    local plan = plan_of({ {}, { pid = 7, netns = "" }, { hooks = 3, attach = 2, netns = "/x", sources = 3, stand = 3,
      nflog_group = 65535, events = 30 }, { netns = "/y", stand = 4, sources = 4 } })
    add_output(plan)
    assert.is_nil(refusal(plan))
  end)

  it("holds so many cells and outputs, and no more", function()
    local plan = plan_of()
    for _ = 1, CELLS do assert.is_false(core.cf_plan_add_cell(plan) == nil) end
    assert.is_true(core.cf_plan_add_cell(plan) == nil)
    for _ = 1, OUTPUTS do assert.is_false(core.cf_plan_add_output(plan) == nil) end
    assert.is_true(core.cf_plan_add_output(plan) == nil)
  end)

  for what, spoil in pairs({
    ["more cells than there can be"] = function(plan) plan.cell_count = CELLS + 1 end,
    ["4 billion cells"] = function(plan) plan.cell_count = 0xffffffff end,
    ["more outputs than there can be"] = function(plan) plan.output_count = OUTPUTS + 1 end,
    ["an output of kind 0"] = function(plan) plan.output_count = 1 end,
    ["an output of kind 4"] = function(plan) plan.output_count, plan.outputs[0].kind = 1, 4 end,
    ["no time to be stuck"] = function(plan) plan.limits.stuck_s = 0 end,
    ["a slow_ms out of range"] = function(plan) plan.limits.slow_ms = 60001 end,
    ["memory for nothing"] = function(plan) plan.limits.memory_mb = 15 end,
    ["half interpreted"] = function(plan) plan.limits.interpreted = 2 end,
    ["a flow that never ends"] = function(plan) plan.flows.idle_s[3] = 0 end,
    ["a flow that lasts for days"] = function(plan) plan.flows.idle_s[0] = 86401 end,
    ["an update once a month"] = function(plan) plan.flows.update_s = 86401 end,
    ["unknown sources"] = function(plan) plan.cells[0].sources = 5 end,
    ["unknown events"] = function(plan) plan.cells[0].events = 32 end,
    ["an event of kind 0"] = function(plan) plan.cells[0].events = 3 end,
    ["an unknown place to attach"] = function(plan) plan.cells[0].stand = 8 end,
    ["an NFLOG group past the last"] = function(plan) plan.cells[0].nflog_group = 65536 end,
    ["no hook"] = function(plan) plan.cells[0].hooks = 0 end,
    ["hooks beyond those known"] = function(plan) plan.cells[0].hooks = 4 end,
    ["an unknown way to attach"] = function(plan) plan.cells[0].attach = 3 end,
  }) do
    it("with " .. what .. " is refused", function()
      local plan = plan_of({ {} })
      spoil(plan)
      local text, kind = refusal(plan)
      assert.truthy(text:find("^plan: "), text)
      assert.equal(tonumber(C.CF_FAIL_INTERNAL), kind)
    end)
  end

  for _, field in ipairs({ "name", "interface", "netns", "bpf_object", "run_id", "place" }) do
    it("with a " .. field .. " that does not end is refused", function()
      local plan = plan_of({ {}, {} })
      ffi.fill(plan.cells[1][field], ffi.sizeof(plan.cells[1][field]), 0x61)
      assert.equal("plan: cell 1: a text without its end", (refusal(plan)))
    end)
  end

  for _, field in ipairs({ "run_id", "policy_digest", "keyset_id", "issuer_kid", "correlation_id" }) do
    it("with metadata whose " .. field .. " does not end is refused", function()
      local plan = plan_of({ {} })
      ffi.fill(plan.metadata[field], ffi.sizeof(plan.metadata[field]), 0x61)
      assert.equal("plan: metadata: a text without its end", (refusal(plan)))
    end)
  end

  for _, field in ipairs({ "path", "place" }) do
    it("with an output whose " .. field .. " does not end is refused", function()
      local plan = plan_of({ {} })
      add_output(plan)
      ffi.fill(plan.outputs[0][field], ffi.sizeof(plan.outputs[0][field]), 0x61)
      assert.equal("plan: output 0 is malformed", (refusal(plan)))
    end)
  end

  for what, case in pairs({
    ["without a name"] = { { { name = "" } }, "p.lua:1: a cell without a name" },
    ["with netns and pid"] = { { { name = "a", netns = "/x", pid = 3 } },
      'p.lua:1: cell "a": needs exactly one of netns and pid' },
    ["with neither"] = { { { name = "a", pid = 0, netns = "" } },
      'p.lua:1: cell "a": needs exactly one of netns and pid' },
    ["with a negative pid"] = { { { name = "a", pid = -3 } }, 'p.lua:1: cell "a": needs exactly one of netns and pid' },
    ["with a tap and another way in"] = { { { name = "a", stand = 5 } },
      'p.lua:1: cell "a": attach: a tap is the whole way into a microVM: "tap" goes with no other' },
    ["of the same NFLOG group"] = { { { name = "a", sources = 2 }, { name = "b", sources = 3, nflog_group = 100 } },
      'p.lua:2: cell "b": NFLOG group 100 of its namespace is read for cell "a" at p.lua:1 ' ..
        '(give one of them another nflog_group, or sources = "ebpf")' },
    ["that may come to read another's NFLOG group"] = { { { name = "a", nflog_group = 7 },
      { name = "b", sources = 2, nflog_group = 7 } },
      'p.lua:2: cell "b": NFLOG group 7 of its namespace is read for cell "a" at p.lua:1 ' ..
        '(give one of them another nflog_group, or sources = "ebpf")' },
    ["of the same name"] = { { { name = "a" }, { name = "b" }, { name = "a" } },
      'p.lua:3: cell "a": the name is taken by the cell at p.lua:1' },
  }) do
    it("names the place of a cell " .. what, function()
      local text, kind = refusal(plan_of(case[1]))
      assert.equal(case[2], text)
      assert.equal(tonumber(C.CF_FAIL_POLICY), kind)
    end)
  end

  it("lets cells share a namespace whose NFLOG groups do not meet", function()
    for _, cells in ipairs({
      { {}, {} }, -- both would come to group 100 at worst; with nothing said that is no mistake
      { { sources = 2 }, { sources = 2, nflog_group = 7 } }, { { sources = 2 }, { sources = 1 } },
      { { sources = 3 }, { sources = 4 } }, { { sources = 2 }, { sources = 2, netns = "/x" } },
      { { sources = 2, pid = 3 }, { sources = 2, pid = 4 } },
    }) do
      assert.is_nil(refusal(plan_of(cells)))
    end
  end)

  it("has words for what a cell leaves open", function()
    local cell = ffi.new("struct cf_plan_cell")
    core.cf_plan_cell_complete(cell)
    assert.same({ C.CF_STAND_INSIDE, 100, C.CF_EVENTS_DEFAULT, C.CF_PLAN_EGRESS },
      { cell.stand, cell.nflog_group, cell.events, cell.hooks })
    cell.stand, cell.nflog_group, cell.events, cell.hooks = 4, 7, 8, 3
    core.cf_plan_cell_complete(cell)
    assert.same({ 4, 7, 8, 3 }, { cell.stand, cell.nflog_group, cell.events, cell.hooks })
  end)

  describe("difference", function()
    local function keep(old, new)
      local next_plan = plan_of(new)
      local out = ffi.new("int[?]", #new + 1, -9)
      core.cf_plan_diff(plan_of(old), next_plan, out)
      local list = {}
      for i = 0, #new - 1 do list[#list + 1] = out[i] end
      assert.equal(-9, out[#new])
      return list
    end

    local A, B = { netns = "/a", interface = "eth0" }, { netns = "/b", interface = "eth0" }

    it("keeps what is the same, in any order", function()
      assert.same({ 0, 1 }, keep({ A, B }, { A, B }))
      assert.same({ 1, 0 }, keep({ A, B }, { B, A }))
    end)

    it("keeps an attachment under another name and run", function()
      assert.same({ 0 }, keep({ { name = "old", netns = "/a" } }, { { name = "new", netns = "/a", run_id = "r2" } }))
    end)

    it("attaches what is new, and forgets what is not asked for", function()
      assert.same({ -1, 0 }, keep({ A }, { B, A }))
      assert.same({ 1 }, keep({ A, B }, { B }))
      assert.same({}, keep({ A, B }, {}))
      assert.same({ -1 }, keep({}, { A }))
    end)

    it("gives an old attachment to one new cell only", function()
      assert.same({ 0, -1 }, keep({ A }, { A, A }))
      assert.same({ 0, 1 }, keep({ A, A }, { A, A }))
    end)

    for field, other in pairs({
      netns = "/c", interface = "eth1", hooks = 2, attach = 1, bpf_object = "/o.o", sources = 1,
      stand = 2, nflog_group = 7, events = 8,
    }) do
      it("attaches anew when " .. field .. " is another", function()
        assert.same({ -1 }, keep({ A }, { setmetatable({ [field] = other }, { __index = A }) }))
      end)
    end

    it("keeps what is the same in other words", function()
      assert.same({ 0 }, keep({ A }, { { netns = "/a", interface = "eth0", stand = 1, nflog_group = 100,
        events = tonumber(C.CF_EVENTS_DEFAULT) } }))
    end)

    it("attaches anew when the process is another", function()
      assert.same({ -1 }, keep({ { pid = 3 } }, { { pid = 4 } }))
      assert.same({ 0 }, keep({ { pid = 3 } }, { { pid = 3 } }))
    end)
  end)
end)
