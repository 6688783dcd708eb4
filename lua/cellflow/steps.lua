-- SPDX-License-Identifier: MIT
-- What happens to one event, step by step: handlers, dedup, rules, verdict, default, reason, handlers of the decision,
-- format, output. A step that fails is the business of dispatch.lua, which calls again from the next one.
--
-- All of it becomes one trace of the compiler, with the hooks and what they call in the middle. So nothing is kept in
-- locals while a hook runs: what is live there every branch inside the hook has to hand over in a register, and with
-- too many of them the compiler gives up on that branch ("register coalescing too complex") and the interpreter takes
-- it from then on. What a step needs of the event it reads anew by `state.index`. And nothing here ends in a tail call:
-- a trace with more than 15 of them is given up.
local ffi = require("ffi")
local answers = require("cellflow.answer")

local C = ffi.C
local check_dedup, check_verdict = answers.check_dedup, answers.check_verdict
local check_reason, check_format = answers.check_reason, answers.check_format

local M = {}

M.DEDUP_SECONDS = 60 -- when dedup names no time
M.SCRIPT_ERROR = "script_error"

-- The step to take next. A step notes its successor before it calls a hook: after an error the event goes on there.
-- START and FORMAT are the handlers' too: `at` is the one that runs, and there the line of handlers goes on behind it.
-- LEFT_OUT is the end of an event that the command line does not show, or over which --where failed.
local START, VERDICT, REASON, DECIDED, FORMAT, WRITE, GIVE_UP, LEFT_OUT, DONE = 0, 1, 2, 3, 4, 5, 6, 7, 8
M.START, M.FORMAT, M.LEFT_OUT, M.DONE = START, FORMAT, LEFT_OUT, DONE
M.HOOK_BEFORE = { [VERDICT] = "dedup", [REASON] = "verdict", [DECIDED] = "reason", [WRITE] = "format" }

local SCRIPT_ERROR = M.SCRIPT_ERROR

local function dedup_step(self)
  local seen, state, raws, handles, hooks = self.core.cf_dedup_seen, self.state, self.raws, self.handles, self.hooks
  local seconds_default = M.DEDUP_SECONDS
  return function()
    local hook = hooks.dedup
    local key, seconds = hook(handles[state.index])
    local duplicate = false
    if key then
      check_dedup(key, seconds)
      local text = tostring(key)
      duplicate = seen(text, #text, seconds or seconds_default, raws[state.index].last_seen_ns) == 1
    end
    state.failures[VERDICT] = 0
    return duplicate
  end
end

local function verdict_step(self)
  local answer, state, handles, hooks, places = self.answer, self.state, self.handles, self.hooks, self.places
  return function()
    local hook = hooks.verdict
    local decision, code, rule = hook(handles[state.index])
    check_verdict(decision, code, rule)
    if decision ~= nil then
      answer.decision, answer.rule, answer.place = decision, rule or false, places.verdict or false
      answer.reason = code or (decision == "deny" and "policy_deny" or "policy_allow")
    end
    state.failures[REASON] = 0
  end
end

local function reason_step(self)
  local answer, state, handles, hooks = self.answer, self.state, self.handles, self.hooks
  return function()
    local hook = hooks.reason
    local code = hook(handles[state.index], answer.decision, answer.error_place and SCRIPT_ERROR or answer.reason)
    check_reason(code)
    if code ~= nil then answer.reason = code end
    state.failures[DECIDED] = 0
  end
end

-- Returns the line, false for "core's record will do", nil for "suppress".
local function format_step(self)
  local record, state, raws, handles, hooks = self.record, self.state, self.raws, self.handles, self.hooks
  return function()
    record.begin(handles[state.index], raws[state.index])
    local hook = hooks.format
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

-- Handlers of decisions, who read the record and leave it as it is. False: there are none.
local function decided_step(self)
  local record, state, raws, handles = self.record, self.state, self.raws, self.handles
  local decider = self.handlers.decider(state)
  return decider and function()
    record.begin(handles[state.index], raws[state.index], true)
    decider(raws[state.index], record.proxy)
    record.finish()
  end
end

-- The one ending of an event. `line`: as of format_step.
local function ending(self)
  local core, state, raws, decision = self.core, self.state, self.raws, self.decision
  local record_write, line_write, suppress = core.cf_record_write, core.cf_line_write, core.cf_event_suppress
  return function(line)
    if line then
      line_write(line, #line, decision)
    elseif line == nil then
      suppress(decision)
    else
      record_write(raws[state.index], decision)
    end
  end
end

-- Whether the command line leaves the event in hand out. False: it selects nothing.
local function filter_step(self)
  local state, raws, handles, selects = self.state, self.raws, self.handles, self.selects
  return selects and function()
    state.step = LEFT_OUT
    local yes = selects(handles[state.index], raws[state.index])
    return not yes
  end
end

local function leave_out(self)
  local state, answer, event_end = self.state, self.answer, self.core.cf_event_end
  return function()
    state.step = DONE
    event_end(answer.decision == "deny" and C.CF_ENDING_FILTERED_DENY or C.CF_ENDING_FILTERED)
  end
end

-- The steps from the decision on: handlers, filters, format, then exactly one ending.
local function last_steps(self)
  local state, hooks, fill, event_end = self.state, self.hooks, self.fill, self.core.cf_event_end
  local format, decided, finish = format_step(self), decided_step(self), ending(self)
  local is_filtered, drop = filter_step(self), leave_out(self)
  return function(step)
    local line = false
    if step <= FORMAT and decided then
      state.step = FORMAT
      decided()
      state.at = 0
    end
    if step == LEFT_OUT or (step <= FORMAT and is_filtered and is_filtered()) then
      drop()
      return
    end
    if step <= FORMAT and hooks.format then
      state.step = WRITE
      line = format()
    end
    state.step = GIVE_UP
    if step < GIVE_UP then fill() end
    state.step = DONE
    if step == GIVE_UP then
      event_end(C.CF_ENDING_FAILED)
    else
      finish(line)
    end
  end
end

local function take_rule(answer, rule)
  answer.decision, answer.reason, answer.rule, answer.place = rule.decision, rule.reason, rule.name, rule.place
end

-- Handlers of the event, then dedup. Returns whether that ended the event.
local function first_steps(self)
  local state, hooks, raws, handles, answer = self.state, self.hooks, self.raws, self.handles, self.answer
  local event_end, dedup, observe = self.core.cf_event_end, dedup_step(self), self.handlers.observer(self.state)
  return function()
    if state.at == 0 then
      -- false and not nil: a member that is nil is a new key each time, which cost half of the loop's time.
      answer.decision, answer.reason, answer.rule = false, false, false
      answer.place, answer.error_place = false, false
    end
    if observe then
      observe(raws[state.index], handles[state.index])
      state.at = 0
    end
    state.step = VERDICT
    if not hooks.dedup or not dedup() then return false end
    state.step = DONE
    event_end(C.CF_ENDING_DEDUPLICATED)
    return true
  end
end

--- A function(step): the event at state.index from that step on. `self` is dispatch's own: core, state (struct
--- cf_progress *), raws, handles, hooks, places, answer, record, decision, rules, handlers, selects (of
--- selection.lua, or nil), fill, default_mapping.
function M.new(self)
  local rules, decided, default = self.rules.list, self.rules.decided, self.rules.default
  local state, hooks, raws, answer, default_mapping = self.state, self.hooks, self.raws, self.answer,
    self.default_mapping
  local begin, verdict, reason, finish = first_steps(self), verdict_step(self), reason_step(self), last_steps(self)
  return function(step)
    if step == START and begin() then return end
    if step <= VERDICT then
      state.step = REASON
      local number = decided[state.index]
      if number > 0 then
        take_rule(answer, rules[number])
      elseif hooks.verdict then
        verdict()
      end
    end
    if not answer.decision and default then take_rule(answer, default) end
    if not answer.decision then answer.decision, answer.reason = default_mapping(raws[state.index]) end
    if step <= REASON then
      state.step = DECIDED
      if hooks.reason then reason() end
    end
    finish(step)
  end
end

return M
