-- SPDX-License-Identifier: MIT
-- One event through a policy, with a note of every function and rule that was asked and what it answered. It is the
-- dispatcher of a run that decides, over observed_core.lua; here its functions are only listened to. Rules are asked
-- once more, one condition after the other, and must agree with the index. How it is shown is explain_text.lua's.
local condition_module = require("cellflow.condition")
local event = require("cellflow.event")
local limit = require("cellflow.limit")

local M = {}

M.STEPS_MAX = 1e7 -- VM instructions of one call

-- The order in which dispatch asks; what is found out afterwards is put where it belongs.
local PHASES = { "start", "handler", "dedup", "rule", "verdict", "default", "mapping", "reason", "decision", "format",
  "ending" }
local phase_number = {}
for i, name in ipairs(PHASES) do phase_number[name] = i end

local function note(self, step, phase)
  step.phase, step.order = phase_number[phase or self.phase], #self.steps
  self.steps[#self.steps + 1] = step
  return step
end

-- `hook`, noted as a step; answered(step, ...) tells what it returned.
local function listened(self, phase, step_of, hook, answered)
  return function(...)
    self.phase = phase
    local step = note(self, step_of())
    self.asked = step
    self.guard.begin(step.place or "?", phase)
    limit.begin(M.STEPS_MAX, limit.SECONDS)
    local a, b, c = hook(...)
    limit.finish()
    self.guard.finish()
    answered(step, { a, b, c }, ...)
    return a, b, c
  end
end

local ANSWERED = {}

function ANSWERED.dedup(step, answers)
  step.key = answers[1] or nil
end

function ANSWERED.verdict(step, answers)
  step.answer, step.reason_code, step.rule = answers[1], answers[2], answers[3]
end

function ANSWERED.reason(step, answers, _, _, code)
  step.answer, step.given = answers[1], code
end

local function format_answered(record)
  return function(step, answers)
    local line = answers[1]
    if line == nil then
      step.answer = "nothing"
    elseif rawequal(line, record.proxy) then
      step.answer = record.changed() and "record, changed" or "record"
    else
      step.answer = "line"
    end
  end
end

local function listen_to_hooks(self, setup)
  ANSWERED.format = format_answered(setup.record)
  for name, answered in pairs(ANSWERED) do
    local hook = setup.hooks[name]
    if hook then
      setup.hooks[name] = listened(self, name, function() return { step = name, place = setup.places[name] } end, hook,
        answered)
    end
  end
end

local function listen_to_handlers(self, setup)
  for _, entry in ipairs(setup.handlers.list) do
    local phase = entry.number and "handler" or entry.kind
    if setup.handlers.fns[entry.id] then
      setup.handlers.fns[entry.id] = listened(self, phase, function()
        return { step = "handler", place = entry.place, name = entry.kind }
      end, entry.fn, function() end)
    end
  end
end

--- Faults whose handler ends the count of instructions: behind it the runtime itself runs.
function M.counted(faults)
  local capture = faults.capture
  function faults.capture(err)
    limit.finish()
    return capture(err)
  end
  return faults
end

-- The error of a step stands with that step.
local function listen_to_errors(self, faults)
  local settle = faults.settle
  function faults.settle(...)
    local where, text = settle(...)
    self.guard.finish()
    local step = self.asked or note(self, { step = "error" })
    step.error, step.place = text, where
    step.answer, step.reason_code, step.rule, step.key = nil, nil, nil, nil
    return where, text
  end
end

local function listen_to_core(self, listen)
  listen({
    dedup = function(key, seconds) self.asked.key, self.asked.seconds = key, seconds end,
    emit = function(line) note(self, { step = "emit", line = line }) end,
    record = function(line) self.ending, self.line = "record", line end,
    line = function(line)
      local changed = self.asked and self.asked.step == "format" and self.asked.answer ~= "line"
      self.ending, self.line = changed and "record" or "line", line
    end,
    ending = function(word) self.ending = word end,
  })
end

local function unmet(conditions, rule, raw)
  local found, names = {}, {}
  for name in pairs(rule.match) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    if not conditions.meets(raw, name, rule.match[name]) then
      found[#found + 1] = { field = name, has = conditions.has(raw, name),
        wants = conditions.wants(name, rule.match[name]) }
    end
  end
  return found
end

-- Every rule up to the one that matches, and whether the index says the same.
local function ask_rules(self, rules, raw)
  local conditions = condition_module.new(self.core)
  local first = 0
  for number, rule in ipairs(rules.list) do
    local why = unmet(conditions, rule, raw)
    note(self, { step = "rule", place = rule.place, name = rule.name, decision = rule.decision,
      reason_code = rule.reason, matches = #why == 0, unmet = #why > 0 and why or nil }, "rule")
    if #why == 0 then
      first = number
      break
    end
  end
  local by_index = rules.decided[0]
  if by_index ~= first then
    self.disagreement = ("this is a bug of cellflow: rule by rule %s matches, by the index %s"):format(
      first > 0 and "number " .. first or "none", by_index > 0 and "number " .. by_index or "none")
  end
  return first > 0 and rules.list[first]
end

-- What dispatch passed by or did without asking a function of the policy.
local function add_unasked(self, setup, raw, mapping, rule)
  local places, default = setup.places, setup.rules.default
  local asked, decided = {}, rule
  for _, step in ipairs(self.steps) do asked[step.step] = step end
  if places.verdict and not asked.verdict then
    note(self, { step = "verdict", place = places.verdict, skipped = "a rule decided" }, "verdict")
  end
  decided = decided or (asked.verdict and asked.verdict.answer)
  if default then
    note(self, decided and { step = "default", place = default.place, skipped = "the event is decided" } or
      { step = "default", place = default.place, answer = default.decision, reason_code = default.reason }, "default")
  elseif not decided then
    local decision, code = mapping(raw)
    note(self, { step = "mapping", answer = decision, reason_code = code }, "mapping")
  end
end

local function in_order(steps)
  table.sort(steps, function(a, b)
    if a.phase ~= b.phase then return a.phase < b.phase end
    return a.order < b.order
  end)
  for _, step in ipairs(steps) do step.phase, step.order = nil, nil end
  return steps
end

--- Decide the first event of the batch. `host` is the runtime's state in host.lua, which must be one of purpose
--- "explain" and is spent afterwards. Returns { event = its fields, steps = list in order, ending = record, line,
--- suppressed, deduplicated or failed, line = what is written or nil, answer = { decision, reason_code, rule },
--- disagreement = text or nil }. A step has step and, where it has them: place, name, answer, reason_code, rule, key,
--- seconds, given, matches, unmet, skipped, error, line. `guard` (last_words.lua) is told around each call.
function M.run(host, guard)
  local setup, dispatcher = host.setup, host.dispatcher
  local self = { core = host.core, guard = guard, steps = {}, phase = "start", asked = nil, ending = nil, line = nil }
  local raw, ev = dispatcher.raws[0], dispatcher.handles[0]
  listen_to_core(self, host.listen)
  listen_to_errors(self, setup.faults)
  listen_to_hooks(self, setup)
  listen_to_handlers(self, setup)
  limit.interpreted(function()
    host.moment("start", tonumber(raw.last_seen_ns) / 1e9, 0, 0)
    dispatcher.run(1)
  end)
  local rule = ask_rules(self, setup.rules, raw)
  add_unasked(self, setup, raw, dispatcher.default_mapping, rule)
  local answer = setup.answer
  return { event = event.copy(ev), steps = in_order(self.steps), ending = self.ending, line = self.line,
    disagreement = self.disagreement, answer = { decision = answer.decision or nil,
      reason_code = answer.error_place and "script_error" or answer.reason or nil, rule = answer.rule or nil } }
end

return M
