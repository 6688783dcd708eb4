-- SPDX-License-Identifier: MIT
-- From a batch of events to decisions: handlers, dedup, rules, verdict, default, reason, handlers of the decision,
-- format, output, for each event. One protected call runs a whole batch; after an error it is entered again at the
-- next step of the same event, so that a faulty hook costs an event its hook and never the event. Reads policies
-- nowhere, writes output nowhere.
local bit = require("bit")
local ffi = require("ffi")
local compiler = require("cellflow.compiler")
local event = require("cellflow.event")
local memory = require("cellflow.memory")
local progress_of = require("cellflow.progress")
local ruleset = require("cellflow.ruleset")
local steps = require("cellflow.steps")

local C, band = ffi.C, bit.band
local START, FORMAT, HOOK_BEFORE = steps.START, steps.FORMAT, steps.HOOK_BEFORE

local M = {}

M.DEDUP_SECONDS = steps.DEDUP_SECONDS
M.QUARANTINE_AFTER = 1000 -- failures in a row

local IDS_MAX = 65536 -- texts whose id is remembered here; core keeps fewer

local NFLOG_SAW = bit.lshift(1, C.CF_SOURCE_NFLOG)

-- Decision and reason code by what the kernel proved. A logged packet is NFLOG's, live or replayed, and so is a drop of
-- which NFLOG is a witness.
local function default_mapping(raw)
  local drop = raw.verdict == C.CF_VERDICT_DROP
  if raw.source == C.CF_SOURCE_NFLOG or raw.kind == C.CF_KIND_LOGGED then
    return drop and "deny" or "allow", "nflog_match"
  elseif drop then
    return "deny", band(raw.witnesses, NFLOG_SAW) ~= 0 and "nflog_match" or "ebpf_xdp_drop"
  end
  return "allow", "ebpf_flow_observed"
end

-- A function text (or false) -> id of core's. Most texts are few and are found in the table.
local function interner(core)
  local intern, is_shared = core.cf_intern, core.cf_intern_is_shared
  local ids, known = {}, 0
  local function add(text)
    local id = intern(text, #text)
    if is_shared(id) ~= 0 then return id end
    if known >= IDS_MAX then
      ids, known = {}, 0
    end
    ids[text], known = id, known + 1
    return id
  end
  return function(text)
    if not text then return 0 end
    return ids[text] or add(text)
  end
end

-- Pointers to the events of the batch, made once: as core sees them and as policies see them.
local function pointers(batch)
  local raws, handles = {}, {}
  for i = 0, C.CF_BATCH_MAX - 1 do
    raws[i] = ffi.cast("const struct cf_event *", batch.events + i)
    handles[i] = ffi.cast(event.handle_type, batch.events + i)
  end
  return raws, handles
end

-- Without hooks: no Lua string, table or closure for an event.
local function plain_taker(self)
  local state, raws, decision = self.state, self.raws, self.decision
  local record_write, intern = self.core.cf_record_write, self.intern
  return function()
    local raw = raws[state.index]
    local verdict, code = default_mapping(raw)
    decision.decision = verdict == "deny" and C.CF_DENY or C.CF_ALLOW
    decision.reason = intern(code)
    state.index = state.index + 1
    record_write(raw, decision)
  end
end

local function fill_decision(self)
  local answer, decision, intern = self.answer, self.decision, self.intern
  return function()
    decision.decision = answer.decision == "deny" and C.CF_DENY or C.CF_ALLOW
    decision.rule, decision.place = intern(answer.rule), intern(answer.place)
    decision.error_place = intern(answer.error_place)
    decision.reason = intern(answer.error_place and steps.SCRIPT_ERROR or answer.reason)
  end
end

-- With hooks. An event that an error interrupted goes on at the step noted; for all others the first step is a
-- constant, so that the questions about it are answered when the loop is compiled.
local function event_taker(self)
  local state, take = self.state, steps.new(self)
  return function()
    if state.step == START then
      take(START)
    elseif state.step < steps.DONE then
      take(state.step)
    end
    state.step = START
    state.index = state.index + 1
  end
end

-- The handler that met the error, if one did.
local function failing_handler(self)
  local state = self.state
  if state.at > 0 and (state.step == START or state.step == FORMAT) then return self.handlers.list[state.at] end
end

local after_error = compiler.once(function(self, err)
  self.relieve(err)
  local state, hooks, places = self.state, self.hooks, self.places
  local step, handler = state.step, failing_handler(self)
  local name = HOOK_BEFORE[step]
  local where
  if handler then
    where = self.faults.settle(handler.title, handler.place, err)
    self.handlers.failed(handler.id, self.faults)
  else
    local home = step == steps.LEFT_OUT and "--where" or "cellflow"
    where = self.faults.settle(name or home, places[name] or home, err)
  end
  self.answer.error_place = self.answer.error_place or where
  self.core.cf_script_error()
  if self.record then self.record.finish() end
  if not name then return end
  state.failures[step] = state.failures[step] + 1
  if state.failures[step] >= M.QUARANTINE_AFTER then
    hooks[name] = false
    self.faults.quarantined(name, places[name] or "cellflow", M.QUARANTINE_AFTER)
  end
end)

-- Tell what the hooks are called, and leave out those over which an earlier worker hung.
local function switch_off(self, progress)
  for step, name in pairs(HOOK_BEFORE) do
    if self.hooks[name] then
      progress.name(progress_of.of_step(step), ("%s at %s"):format(name, self.places[name] or "?"))
      if progress.is_off(progress_of.of_step(step)) then self.hooks[name] = false end
    end
  end
  if not self.selects then return end
  progress.name(progress_of.of_step(steps.LEFT_OUT), "--where")
  if progress.is_off(progress_of.of_step(steps.LEFT_OUT)) then
    self.selects = function() return false end
  end
end

--- A dispatcher over `core`. `setup`: hooks (name -> function; false is put for one that is absent or quarantined),
--- places (name -> text), record (of record.lua), answer (shared with the record), faults (of fault.lua), rules (of
--- ruleset.lua), handlers (of handlers.lua), clock (of clock.lua), progress (of progress.lua), selects (of
--- selection.lua, or nil: every event is to be shown).
function M.new(core, setup)
  local batch = core.cf_batch_get()
  local hooks, any = setup.hooks, next(setup.hooks) or #setup.handlers.list > 0 or setup.selects
  -- false and not absent: looking for a key that is not there is the slow case.
  for _, name in pairs(HOOK_BEFORE) do hooks[name] = hooks[name] or false end
  local self = { core = core, hooks = hooks, places = setup.places, record = setup.record,
    answer = setup.answer, faults = setup.faults, rules = setup.rules, handlers = setup.handlers,
    selects = setup.selects, default_mapping = default_mapping, relieve = memory.new(core) }
  self.state, self.decision = setup.progress.state, ffi.new("struct cf_decision")
  switch_off(self, setup.progress)
  self.raws, self.handles = pointers(batch)
  self.intern = interner(core)
  self.fill = fill_decision(self)
  setup.clock.follow(self.state, self.raws)
  local one = any and event_taker(self) or self.rules.any and ruleset.taker(self.rules, self) or plain_taker(self)
  local state, capture = self.state, self.faults.capture
  local loop, few = compiler.batch_loop(state, one)
  local rules, events, raws, handles = self.rules, batch.events, self.raws, self.handles

  --- Decide and end the first `count` events of the batch.
  local run = compiler.once(function(count)
    state.index, state.count, state.step, state.at = 0, count, START, 0
    rules.decide(events, handles, count)
    local ok, err = xpcall(count < compiler.FEW and few or loop, capture)
    while not ok do
      after_error(self, err)
      ok, err = xpcall(state.count - state.index < compiler.FEW and few or loop, capture)
    end
    state.step = START -- none of the policy's functions runs
  end)
  local extra_record = core.cf_extra_record
  --- The record of the event in hand, once more.
  local function write_extra()
    self.fill()
    extra_record(self.raws[state.index], self.decision)
  end
  return { run = run, loop = loop, write_extra = write_extra, default_mapping = default_mapping, handles = handles,
    raws = raws }
end

return M
