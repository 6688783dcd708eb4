-- SPDX-License-Identifier: MIT
-- From a batch of events to decisions: handlers, dedup, rules, verdict, default, reason, handlers of the decision,
-- format, output, for each event. One protected call runs a whole batch; after an error it is entered again at the
-- next step of the same event, so that a faulty hook costs an event its hook and never the event. Reads policies
-- nowhere, writes output nowhere.
local bit = require("bit")
local ffi = require("ffi")
local answers = require("cellflow.answer")
local event = require("cellflow.event")
local memory = require("cellflow.memory")
local progress_of = require("cellflow.progress")
local ruleset = require("cellflow.ruleset")

local C, band = ffi.C, bit.band
local check_dedup, check_verdict = answers.check_dedup, answers.check_verdict
local check_reason, check_format = answers.check_reason, answers.check_format

local M = {}

M.DEDUP_SECONDS = 60 -- when dedup names no time
M.QUARANTINE_AFTER = 1000 -- failures in a row
M.SCRIPT_ERROR = "script_error"

local IDS_MAX = 65536 -- texts whose id is remembered here; core keeps fewer

-- The step to take next. A step notes its successor before it calls a hook: after an error the loop goes on there.
-- START and FORMAT are the handlers' too: `at` is the one that runs, and there the line of handlers goes on behind it.
local START, VERDICT, REASON, DECIDED, FORMAT, WRITE, GIVE_UP, DONE = 0, 1, 2, 3, 4, 5, 6, 7
local HOOK_BEFORE = { [VERDICT] = "dedup", [REASON] = "verdict", [DECIDED] = "reason", [WRITE] = "format" }

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
local function plain_loop(self)
  local state, raws, decision = self.state, self.raws, self.decision
  local record_write, intern = self.core.cf_record_write, self.intern
  return function()
    while state.index < state.count do
      local raw = raws[state.index]
      local verdict, code = default_mapping(raw)
      decision.decision = verdict == "deny" and C.CF_DENY or C.CF_ALLOW
      decision.reason = intern(code)
      state.index = state.index + 1
      record_write(raw, decision)
    end
  end
end

local function dedup_step(self)
  local seen, state = self.core.cf_dedup_seen, self.state
  local seconds_default = M.DEDUP_SECONDS
  return function(hook, ev, raw)
    local key, seconds = hook(ev)
    local duplicate = false
    if key then
      check_dedup(key, seconds)
      local text = tostring(key)
      duplicate = seen(text, #text, seconds or seconds_default, raw.last_seen_ns) == 1
    end
    state.failures[VERDICT] = 0
    return duplicate
  end
end

local function verdict_step(self)
  local answer, state, places = self.answer, self.state, self.places
  return function(hook, ev)
    local decision, code, rule = hook(ev)
    check_verdict(decision, code, rule)
    if decision ~= nil then
      answer.decision, answer.rule, answer.place = decision, rule or false, places.verdict or false
      answer.reason = code or (decision == "deny" and "policy_deny" or "policy_allow")
    end
    state.failures[REASON] = 0
  end
end

local function reason_step(self)
  local answer, state = self.answer, self.state
  return function(hook, ev)
    local code = hook(ev, answer.decision, answer.error_place and M.SCRIPT_ERROR or answer.reason)
    check_reason(code)
    if code ~= nil then answer.reason = code end
    state.failures[DECIDED] = 0
  end
end

-- Returns the line, false for "core's record will do", nil for "suppress".
local function format_step(self)
  local record, state = self.record, self.state
  return function(hook, ev, raw)
    record.begin(ev, raw)
    local line = hook(record.proxy)
    check_format(line, record.proxy)
    if line == record.proxy then
      line = record.changed() and record.json()
    end
    record.finish()
    state.failures[WRITE] = 0
    return line
  end
end

local function fill_decision(self)
  local answer, decision, intern = self.answer, self.decision, self.intern
  return function()
    decision.decision = answer.decision == "deny" and C.CF_DENY or C.CF_ALLOW
    decision.rule, decision.place = intern(answer.rule), intern(answer.place)
    decision.error_place = intern(answer.error_place)
    decision.reason = intern(answer.error_place and M.SCRIPT_ERROR or answer.reason)
  end
end

-- Handlers of decisions, who read the record and leave it as it is.
local function decided_step(self)
  local record, decider = self.record, self.handlers.decider(self.state)
  return decider and function(ev, raw)
    record.begin(ev, raw, true)
    decider(raw, record.proxy)
    record.finish()
  end
end

-- The steps from the decision on: handlers, format, then exactly one ending.
local function ending_steps(self)
  local core, state, hooks, decision = self.core, self.state, self.hooks, self.decision
  local record_write, line_write, event_end = core.cf_record_write, core.cf_line_write, core.cf_event_end
  local format, fill, decided, selects = format_step(self), self.fill, decided_step(self), self.selects
  return function(step, ev, raw)
    local line = false
    if step <= FORMAT and decided then
      state.step = FORMAT
      decided(ev, raw)
      state.at = 0
    end
    if step <= FORMAT and selects and not selects(ev, raw) then
      state.step = DONE
      event_end(self.answer.decision == "deny" and C.CF_ENDING_FILTERED_DENY or C.CF_ENDING_FILTERED)
      return
    end
    if step <= FORMAT and hooks.format then
      state.step = WRITE
      line = format(hooks.format, ev, raw)
    end
    state.step = GIVE_UP
    if step < GIVE_UP then fill() end
    state.step = DONE
    if step == GIVE_UP then
      event_end(C.CF_ENDING_FAILED)
    elseif line then
      line_write(line, #line, decision)
    elseif line == nil then
      event_end(C.CF_ENDING_SUPPRESSED)
    else
      record_write(raw, decision)
    end
  end
end

local function take_rule(answer, rule)
  answer.decision, answer.reason, answer.rule, answer.place = rule.decision, rule.reason, rule.name, rule.place
end

-- An event from its `step` on.
local function steps(self)
  local rules, decided, default = self.rules.list, self.rules.decided, self.rules.default
  local state, hooks, answer, event_end = self.state, self.hooks, self.answer, self.core.cf_event_end
  local dedup, verdict, reason, finish = dedup_step(self), verdict_step(self), reason_step(self), ending_steps(self)
  local observe = self.handlers.observer(state)
  return function(step, ev, raw)
    if step == START then
      if state.at == 0 then
        -- false and not nil: a member that is nil is a new key each time, which cost half of the loop's time.
        answer.decision, answer.reason, answer.rule = false, false, false
        answer.place, answer.error_place = false, false
      end
      if observe then
        observe(raw, ev)
        state.at = 0
      end
      state.step = VERDICT
      if hooks.dedup and dedup(hooks.dedup, ev, raw) then
        state.step = DONE
        event_end(C.CF_ENDING_DEDUPLICATED)
        return
      end
    end
    if step <= VERDICT then
      state.step = REASON
      local number = decided[state.index]
      if number > 0 then
        take_rule(answer, rules[number])
      elseif hooks.verdict then
        verdict(hooks.verdict, ev)
      end
    end
    if not answer.decision and default then take_rule(answer, default) end
    if not answer.decision then answer.decision, answer.reason = default_mapping(raw) end
    if step <= REASON then
      state.step = DECIDED
      if hooks.reason then reason(hooks.reason, ev) end
    end
    finish(step, ev, raw)
  end
end

local function hook_loop(self)
  local state, raws, handles, take = self.state, self.raws, self.handles, steps(self)
  return function()
    while state.index < state.count do
      local index = state.index
      if state.step < DONE then take(state.step, handles[index], raws[index]) end
      state.step = START
      state.index = index + 1
    end
  end
end

-- The handler that met the error, if one did.
local function failing_handler(self)
  local state = self.state
  if state.at > 0 and (state.step == START or state.step == FORMAT) then return self.handlers.list[state.at] end
end

local function after_error(self, err)
  self.relieve(err)
  local state, hooks, places = self.state, self.hooks, self.places
  local step, handler = state.step, failing_handler(self)
  local name = HOOK_BEFORE[step]
  local where
  if handler then
    where = self.faults.settle(handler.title, handler.place, err)
    self.handlers.failed(handler.id, self.faults)
  else
    where = self.faults.settle(name or "cellflow", places[name] or "cellflow", err)
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
end

-- Tell what the hooks are called, and leave out those over which an earlier worker hung.
local function switch_off(self, progress)
  for step, name in pairs(HOOK_BEFORE) do
    if self.hooks[name] then
      progress.name(progress_of.of_step(step), ("%s at %s"):format(name, self.places[name] or "?"))
      if progress.is_off(progress_of.of_step(step)) then self.hooks[name] = false end
    end
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
  local loop = any and hook_loop(self) or self.rules.any and ruleset.loop(self.rules, self) or plain_loop(self)
  local state, capture = self.state, self.faults.capture
  local rules, raws, handles = self.rules, self.raws, self.handles

  --- Decide and end the first `count` events of the batch.
  local function run(count)
    state.index, state.count, state.step, state.at = 0, count, START, 0
    rules.decide(raws, handles, count)
    local ok, err = xpcall(loop, capture)
    while not ok do
      after_error(self, err)
      ok, err = xpcall(loop, capture)
    end
    state.step = START -- none of the policy's functions runs
  end
  -- One call a batch: nothing to gain here, and as a trace it would only run into the loop's own.
  jit.off(run)
  jit.off(after_error)
  --- The record of the event in hand, once more.
  local function write_extra()
    self.fill()
    core.cf_extra_record(self.raws[state.index], self.decision)
  end
  return { run = run, loop = loop, write_extra = write_extra, default_mapping = default_mapping, handles = handles,
    raws = raws }
end

return M
