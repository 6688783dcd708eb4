-- SPDX-License-Identifier: MIT
-- What of the output to show: from options to a selection, and how the worker's hand on its outputs keeps to it.
local ffi = require("ffi")
require("output_core")
local outcome_core = require("outcome_core")
require("core_headers")("error", "options", "select")
local core = outcome_core.core
local environment = require("environment")

local C = ffi.C
local kept = {}

local function text(value)
  kept[#kept + 1] = value
  return ffi.cast("const char *", value)
end

local function fill(change)
  local given, selection = ffi.new("struct cf_select_options"), ffi.new("struct cf_selection")
  local err = ffi.new("struct cf_error")
  change(given)
  if core.cf_select_fill(given, "select-cell", selection, err) < 0 then return nil, ffi.string(err.text), err.kind end
  return selection
end

local function add(list, value)
  list.items[list.count] = text(value)
  list.count = list.count + 1
end

describe("a selection", function()
  after_each(function()
    environment.clear({ "NO_COLOR" })
    kept = {}
  end)

  it("is words for the runtime, the verb's own name for cells among them", function()
    local selection = assert(fill(function(given)
      add(given.filters[C.CF_SELECT_KIND], "opened")
      add(given.filters[C.CF_SELECT_KIND], "closed")
      add(given.filters[C.CF_SELECT_CELL], "web")
      add(given.filters[C.CF_SELECT_WHERE], "rule")
      given.limit = 7
    end))
    local words, i = {}, 0
    while selection.words[i] ~= nil do
      words[i + 1], i = ffi.string(selection.words[i]), i + 1
    end
    assert.same({ "where", "rule", "kind", "opened", "kind", "closed", "select-cell", "web" }, words)
    assert.equal(7, tonumber(selection.limit))
    assert.equal(C.CF_SELECT_AS_PLANNED, selection.format)
  end)
  it("has room for every filter as often as it can be given", function()
    local selection = assert(fill(function(given)
      for which = 0, C.CF_SELECT_COUNT - 1 do
        for _ = 1, C.CF_OPTION_LIST_MAX do add(given.filters[which], "x") end
      end
    end))
    assert.is_true(selection.words[C.CF_SELECT_WORDS_MAX - 2] ~= nil)
    assert.is_true(selection.words[C.CF_SELECT_WORDS_MAX - 1] == nil)
  end)
  it("knows formats and when to colour", function()
    for i, name in ipairs({ "json", "compact", "table", "csv" }) do
      assert.equal(i - 1, fill(function(given) given.output = text(name) end).format)
    end
    local _, wrong, kind = fill(function(given) given.output = text("tabel") end)
    assert.equal('--output: "tabel" is not known (did you mean "table"?)', wrong)
    assert.equal(C.CF_FAIL_USAGE, tonumber(kind))
    local function color(when) return fill(function(given) given.color = when and text(when) end).color end
    assert.same({ 1, 0 }, { color("always"), color("never") })
    environment.set("NO_COLOR", "1")
    assert.same({ 1, 0, 0, 0 }, { color("always"), color("never"), color("auto"), color(nil) })
    assert.equal('--color: "on" is not known (there are: auto, never, always)',
      select(2, fill(function(given) given.color = text("on") end)))
  end)
  it("gives stdout its format, and a plan without stdout one", function()
    local selection = assert(fill(function(given) given.output = text("csv") end))
    local plan = ffi.new("struct cf_plan", { output_count = 2 })
    plan.outputs[0].kind, plan.outputs[1].kind = C.CF_OUTPUT_FILE, C.CF_OUTPUT_STDOUT
    assert.equal(0, core.cf_select_merge(selection, plan, nil))
    assert.same({ 2, C.CF_FORMAT_JSON, C.CF_FORMAT_CSV },
      { plan.output_count, plan.outputs[0].format, plan.outputs[1].format })
    plan.outputs[1].kind = C.CF_OUTPUT_UNIX
    assert.equal(0, core.cf_select_merge(selection, plan, nil))
    assert.same({ 3, C.CF_OUTPUT_STDOUT, C.CF_FORMAT_CSV },
      { plan.output_count, plan.outputs[2].kind, plan.outputs[2].format })
    plan.output_count, plan.outputs[2].kind = C.CF_OUTPUTS_MAX, C.CF_OUTPUT_FILE
    for i = 0, C.CF_OUTPUTS_MAX - 1 do plan.outputs[i].kind = C.CF_OUTPUT_FILE end
    local err = ffi.new("struct cf_error")
    assert.equal(-1, core.cf_select_merge(selection, plan, err))
    assert.equal("--output: the policy has 8 outputs already, and none of them is stdout", ffi.string(err.text))
  end)
end)

describe("outputs", function()
  local outcome, plan, decision
  before_each(function()
    plan = ffi.new("struct cf_plan", { cell_count = 1, output_count = 1 })
    plan.cells[0].name = "web"
    core.cf_intern_reset()
    core.cf_clock_set_offset(0)
    assert(core.cf_record_bind(plan, nil) == 0)
    outcome = outcome_core.open()
    decision = ffi.new("struct cf_decision", { decision = C.CF_DENY, reason = core.cf_intern("why", 3) })
  end)
  after_each(function()
    core.cf_emit_limit(0)
    core.cf_emit_formats(ffi.new("struct cf_plan", { output_count = C.CF_OUTPUTS_MAX }), 0)
    outcome:close()
    core.cf_record_unbind()
    core.cf_clock_follow()
  end)

  local function as(format, color, kind)
    plan.outputs[0].format, plan.outputs[0].kind = format, kind or C.CF_OUTPUT_STDOUT
    core.cf_emit_formats(plan, color or 0)
  end
  local function event() return ffi.new("struct cf_event", { kind = 1, direction = 1, family = 4, protocol = 6 }) end

  it("write records in their format, with colours on stdout only", function()
    local words = "1970-01-01T00:00:00.000Z web 0.0.0.0 -> 0.0.0.0 tcp deny why\n"
    outcome:run(function()
      as(C.CF_FORMAT_COMPACT)
      core.cf_record_write(event(), decision)
      as(C.CF_FORMAT_COMPACT, 1, C.CF_OUTPUT_FILE)
      core.cf_record_write(event(), decision)
      as(C.CF_FORMAT_COMPACT, 1)
      core.cf_record_write(event(), decision)
      as(C.CF_FORMAT_CSV, 1)
      core.cf_extra_record(event(), decision)
      as(C.CF_FORMAT_JSON, 1)
      core.cf_record_write(event(), decision)
    end)
    local written = outcome:written()
    local wanted = words .. words .. words:gsub("deny", "\27[31mdeny\27[0m") ..
      "1.0.0,network_flow_decision,opened,web,"
    assert.equal(wanted, written:sub(1, #wanted))
    assert.equal(1, select(2, written:gsub("\27%[31m", "")))
    assert.matches('\r\n{"schema_version":[^\n]*}\n$', written)
  end)
  it("take a line of the policy's own in place of JSON, and the record itself elsewhere", function()
    local batch = core.cf_batch_get()
    batch.events[3] = event()
    batch.events[3].protocol = 17
    local progress = core.cf_progress_get()
    outcome:run(function()
      progress.index = 3
      as(C.CF_FORMAT_JSON)
      core.cf_line_write("mine", 4, decision)
      as(C.CF_FORMAT_COMPACT)
      core.cf_line_write("mine", 4, decision)
      core.cf_extra_write("\27[2Jextra", 9)
    end)
    progress.index = 0
    assert.equal("mine\n1970-01-01T00:00:00.000Z web 0.0.0.0 -> 0.0.0.0 udp deny why\n\\u001b[2Jextra\n",
      outcome:written())
  end)
  it("end what the filters leave out apart, and count who was denied", function()
    outcome:run(function()
      core.cf_event_end(C.CF_ENDING_FILTERED)
      core.cf_event_end(C.CF_ENDING_FILTERED_DENY)
      assert.equal(2, core.cf_emit_ended())
    end)
    local now = outcome:now()
    assert.same({ 2, 1, 0, 0 }, { tonumber(now.filtered), tonumber(now.filtered_deny), tonumber(now.failed),
      tonumber(now.records) })
  end)
  it("take as many records as the limit says, over all batches and without those that were not committed", function()
    core.cf_emit_limit(3)
    local function two()
      core.cf_record_write(event(), decision)
      core.cf_line_write("line", 4, decision)
    end
    outcome:run(two)
    assert.equal(0, core.cf_emit_is_full(outcome:now()))
    outcome:run(function()
      two()
      return "die"
    end)
    assert.equal(0, core.cf_emit_is_full(outcome:now()))
    outcome:run(two)
    assert.equal(1, core.cf_emit_is_full(outcome:now()))
    outcome:run(two)
    local now = outcome:now()
    assert.same({ 3, 3, 3 }, { tonumber(now.records), tonumber(now.filtered), tonumber(now.filtered_deny) })
    assert.equal(3, select(2, outcome:written():gsub("\n", "")))
  end)
end)
