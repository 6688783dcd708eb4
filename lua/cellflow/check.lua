-- SPDX-License-Identifier: MIT
-- Feeds every function of a policy made-up events of every kind, interpreted and bounded, and lists what went wrong:
-- for `cellflow check`. Writes no record and remembers no key. What can be seen without calling anything is lint.lua's,
-- what the functions read check_reads.lua's.
local ffi = require("ffi")
local answers = require("cellflow.answer")
local check_events = require("cellflow.check_events")
local check_fit = require("cellflow.check_fit")
local check_kinds = require("cellflow.check_kinds")
local check_reads = require("cellflow.check_reads")
local event = require("cellflow.event")
local fault = require("cellflow.fault")
local limit = require("cellflow.limit")
local lint = require("cellflow.lint")
local match_review = require("cellflow.match_review")
local place = require("cellflow.place")
local rule_review = require("cellflow.rule_review")

local M = {}

M.STEPS_MAX = 1e7 -- VM instructions of one call; a tenth of a second or so
M.SECONDS_MAX = 5 -- of processor time, of all calls of one function

local NO_GUARD = { begin = function() end, finish = function() end }

local function call_dedup(hook, ev)
  local key, seconds = hook(ev)
  if key then answers.check_dedup(key, seconds) end
end

local function call_verdict(hook, ev, setup)
  local decision, code, rule = hook(ev)
  answers.check_verdict(decision, code, rule)
  if decision ~= nil then
    local answer = setup.answer
    answer.decision, answer.reason, answer.rule, answer.place = decision, code or "check", rule or false,
      setup.places.verdict or false
  end
end

local function call_reason(hook, ev, setup)
  answers.check_reason(hook(ev, setup.answer.decision, setup.answer.reason))
end

local function call_format(hook, ev, setup, raw)
  local record = setup.record
  record.begin(ev, raw)
  local line = hook(record.proxy)
  answers.check_format(line, record.proxy)
  if line == record.proxy and record.changed() then record.json() end
  record.finish()
end

local CALLS = {
  { name = "dedup", call = call_dedup }, { name = "verdict", call = call_verdict },
  { name = "reason", call = call_reason }, { name = "format", call = call_format },
}

-- Handlers as steps of their own: before the hooks for their kind of event, and with the decided record.
local function handler_steps(setup)
  local before, decided = {}, {}
  for _, entry in ipairs(setup.handlers.list) do
    local step = { name = entry.title, place = entry.place, hook = entry.fn, entry = entry }
    if entry.kind == "decision" then
      step.call = function(hook, ev, _, raw)
        setup.record.begin(ev, raw, true)
        hook(setup.record.proxy)
        setup.record.finish()
      end
      decided[#decided + 1] = step
    elseif entry.number then
      step.call = function(hook, ev) hook(ev) end
      before[#before + 1] = step
    end
  end
  return before, decided
end

local function is_for(step, raw)
  local entry = step.entry
  return (not entry.number or entry.number == raw.kind) and (not entry.match or entry.match(raw))
end

local function add(errors, line)
  if not errors.seen[line] then
    errors.seen[line] = true
    errors.lines[#errors.lines + 1] = line
  end
end

-- A name that does not exist is a finding and reads as nil, so that what stands behind it is tried as well; what goes
-- wrong in that call from then on may be its consequence, and is not told.
local function forgiving(errors)
  return function(text)
    local where = place.here()
    add(errors, (where or "?") .. ": " .. text)
    errors.forgiven = true
  end
end

-- What a function's calls took so far, by where it is defined; nil: it had its share.
local function share_of(errors, home, name)
  local share = errors.shares[home]
  if not share then
    share = { home = home, name = name, seconds = 0, calls = 0, is_over = false }
    errors.shares[home], errors.shares[#errors.shares + 1] = share, share
  end
  if share.seconds < M.SECONDS_MAX then return share end
  share.is_over = true
end

local function slow_functions(errors)
  local lines = {}
  for _, share in ipairs(errors.shares) do
    if share.is_over and not errors.stuck[share.home] then
      lines[#lines + 1] = ("%s: %s takes %.0f ms a call, so it was tried on %d made-up events only"):format(share.home,
        share.name, share.seconds / share.calls * 1e3, share.calls)
    end
  end
  return lines
end

local function try(setup, errors, step, ev, raw)
  local hook = step.hook or setup.hooks[step.name]
  local home = step.place or setup.places[step.name] or "cellflow"
  if not hook or errors.stuck[home] then return end
  local share, began = share_of(errors, home, step.name), os.clock()
  if not share then return end
  errors.forgiven = false
  errors.reads.begin(step.name)
  errors.guard.begin(home, step.name, errors.lines)
  local function call() step.call(hook, ev, setup, raw) end
  local ok, stuck, err = limit.call(call, setup.faults.capture, M.STEPS_MAX)
  errors.guard.finish()
  share.seconds, share.calls = share.seconds + os.clock() - began, share.calls + 1
  errors.reads.finish()
  if ok then return end
  setup.relieve(err)
  setup.record.finish()
  errors.stuck[home] = stuck
  local where, text = setup.faults.settle(step.name, home, err)
  if not errors.forgiven or stuck then add(errors, ("%s: %s"):format(where, text)) end
end

-- start, lost, timers and stop, once each.
local function try_moments(setup, errors)
  local now = 3.5
  local function try_each(list, kind, argument)
    for _, entry in ipairs(list) do
      if entry.kind == kind then
        try(setup, errors, { name = entry.title, place = entry.place, hook = entry.fn,
          call = function(fn) fn(argument) end })
      end
    end
  end
  setup.clock.set(now)
  try_each(setup.handlers.list, "start")
  try_each(setup.handlers.list, "lost", { count = 1, total = 1 })
  try_each(setup.timers.list, nil, 1e9 + now)
  try_each(setup.handlers.list, "stop")
  setup.clock.set(false)
end

local function try_handlers(setup, errors, list, ev, raw)
  for _, step in ipairs(list) do
    if is_for(step, raw[0]) then
      step.tried = true
      try(setup, errors, step, ev, raw)
    end
  end
end

local function try_event(setup, errors, before, decided, ev, raw)
  try_handlers(setup, errors, before, ev, raw)
  local answer = setup.answer
  answer.rule, answer.place, answer.error_place = false, false, false
  answer.decision, answer.reason = setup.default_mapping(raw[0])
  for _, step in ipairs(CALLS) do
    if step.name == "format" then try_handlers(setup, errors, decided, ev, raw) end
    try(setup, errors, step, ev, raw)
  end
end

-- Why a handler is never called, or nil: its kind is a condition like those of its match.
local function why_never(entry)
  local match = { kind = entry.number and { kind = "bytes", list = { entry.number }, set = { [entry.number] = true } } }
  for name, cond in pairs(entry.conditions or {}) do
    -- A kind of its own beside that of the handler: both must hold.
    if name == "kind" and match.kind and not cond.set[entry.number] then
      return "its match asks for another kind"
    end
    match[name] = match[name] or cond
  end
  return match_review.never(match)
end

-- Handlers whose match no event met so far get events that are changed to meet it.
local function try_fitted(setup, errors, list, warnings, ev, raw, cells)
  for _, step in ipairs(list) do
    local function try_one()
      check_fit.fit(raw, step.entry.conditions, cells)
      if is_for(step, raw[0]) then
        step.tried = true
        try(setup, errors, step, ev, raw)
      end
    end
    local never = why_never(step.entry)
    if never then
      warnings[#warnings + 1] = ("%s: %s is never called: %s"):format(step.place, step.name, never)
      step.tried = true
    end
    if not step.tried then check_events.each(raw, try_one) end
    if not step.tried then
      warnings[#warnings + 1] = ("%s: %s was not tried: no made-up event meets its match"):format(step.place, step.name)
    end
  end
end

local function setup_of(host)
  local setup = { default_mapping = host.dispatcher.default_mapping, relieve = host.relieve }
  for name, value in pairs(host.setup) do setup[name] = value end
  setup.faults = fault.new({ cf_log_text = function() end })
  return setup
end

local function run_all(host, setup, errors, warnings)
  local raw = host.core.cf_batch_get().events + 0 -- a pointer to the first
  local ev = ffi.cast(event.handle_type, raw)
  local before, decided = handler_steps(setup)
  event.forgive = forgiving(errors)
  limit.interpreted(function()
    check_events.each(raw, function() try_event(setup, errors, before, decided, ev, raw) end)
    try_fitted(setup, errors, before, warnings, ev, raw, host.cells)
    setup.answer.decision, setup.answer.reason = "allow", "check"
    try_fitted(setup, errors, decided, warnings, ev, raw, host.cells)
    try_moments(setup, errors)
  end)
end

--- `host`: the runtime's state in host.lua; `chunks`: the compiled files of the policy (sandbox.lua), or nil. Returns a
--- list of errors and a list of warnings, "file:line: what", each once. Overwrites the batch. `guard` (or nil): told
--- around each call, begin(place, name, errors so far) and finish().
function M.run(host, chunks, guard)
  local cell, kinds = host.cells[0], check_kinds.new(host.cells)
  -- A policy whose cell comes from the command line would find an event without one, which no run has; and every cell
  -- has an interface in a run.
  if not cell then
    cell = { name = "check", run_id = host.metadata.run_id }
    host.cells[0] = cell
  end
  local interface = cell.interface
  cell.interface = interface or "eth0"
  local setup = setup_of(host)
  local errors, warnings = { lines = {}, seen = {}, stuck = {}, forgiven = false, reads = check_reads.new(),
    guard = guard or NO_GUARD, shares = {} }, {}
  errors.reads.open()
  host.is_trying = true
  local ok, wrong = pcall(run_all, host, setup, errors, warnings)
  host.is_trying = false
  event.forgive = nil
  errors.reads.close()
  cell.interface = interface
  if not ok then error(wrong, 0) end
  for _, line in ipairs(lint.names(chunks or {}, host.names, setup.hooks)) do add(errors, line) end
  for _, list in ipairs({ slow_functions(errors), kinds.warnings(setup), errors.reads.warnings(kinds),
    lint.answers(setup.hooks, setup.places, errors.stuck), lint.locals(chunks or {}, setup.hooks),
    lint.timers(setup.timers.list), rule_review.run(setup.rules, setup.places) }) do
    for _, line in ipairs(list) do warnings[#warnings + 1] = line end
  end
  return errors.lines, warnings
end

return M
