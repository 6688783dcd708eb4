-- SPDX-License-Identifier: MIT
-- Feeds every hook of a policy synthetic events of every kind, interpreted and bounded, and lists what went wrong: for
-- `cellflow check`. Writes no record and remembers no key.
local ffi = require("ffi")
local answers = require("cellflow.answer")
local event = require("cellflow.event")
local limit = require("cellflow.limit")

local C = ffi.C
local M = {}

M.STEPS_MAX = 1e7 -- VM instructions of one call; a tenth of a second or so

local PROTOCOLS = {
  { number = 6, flags = C.CF_EVENT_PORTS + C.CF_EVENT_TCP },
  { number = 17, flags = C.CF_EVENT_PORTS },
  { number = 17, flags = C.CF_EVENT_FRAGMENT },
  { number = 1, flags = C.CF_EVENT_ICMP + C.CF_EVENT_ICMP_ID },
  { number = 58, flags = C.CF_EVENT_ICMP },
  { number = 47, flags = 0 },
}

local function fill(raw, kind, family, protocol, verdict)
  ffi.fill(raw, ffi.sizeof("struct cf_event"))
  raw.kind, raw.family, raw.verdict = kind, family, verdict
  raw.source = kind == C.CF_KIND_LOGGED and C.CF_SOURCE_NFLOG or C.CF_SOURCE_EBPF
  raw.hook = kind == C.CF_KIND_LOGGED and 0 or C.CF_HOOK_TC_EGRESS
  raw.direction = verdict == C.CF_VERDICT_DROP and C.CF_DIRECTION_INGRESS or C.CF_DIRECTION_EGRESS
  raw.protocol, raw.flags = protocol.number, protocol.flags
  raw.first_seen_ns, raw.last_seen_ns = 1000000000ULL, 3500000000ULL
  raw.packets, raw.seq, raw.ifindex = 3, 1, 2
  raw.bytes = kind == C.CF_KIND_UPDATED and 0 or 4242
  raw.src_port, raw.dst_port, raw.icmp_type, raw.tcp_flags = 40000, 443, 8, 0x12
  raw.close_reason = kind == C.CF_KIND_CLOSED and C.CF_CLOSE_FIN or C.CF_CLOSE_NONE
  raw.src_addr[0], raw.src_addr[3], raw.dst_addr[0], raw.dst_addr[3] = 10, 1, 192, 7
  if kind == C.CF_KIND_LOGGED then ffi.copy(raw.prefix, "check") end
end

-- Calls fn(raw) for each synthetic event; families without a protocol of their own are left to real life.
local function each_event(raw, fn)
  for kind = C.CF_KIND_OPENED, C.CF_KIND_LOGGED do
    for _, family in ipairs({ C.CF_FAMILY_IPV4, C.CF_FAMILY_IPV6 }) do
      for _, protocol in ipairs(PROTOCOLS) do
        for verdict = C.CF_VERDICT_UNKNOWN, C.CF_VERDICT_DROP do
          fill(raw, kind, family, protocol, verdict)
          fn()
        end
      end
    end
  end
end

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

local function try(setup, errors, step, ev, raw)
  local hook = step.hook or setup.hooks[step.name]
  if not hook or errors.stuck[step.name] then return end
  local function call() step.call(hook, ev, setup, raw) end
  local ok, stuck, err = limit.call(call, setup.faults.capture, M.STEPS_MAX)
  if ok then return end
  setup.relieve(err)
  setup.record.finish()
  errors.stuck[step.name] = stuck
  local home = step.place or setup.places[step.name] or "cellflow"
  local where, text = setup.faults.settle(step.name, home, err)
  local line = ("%s: %s"):format(where, text)
  if not errors.seen[line] then
    errors.seen[line] = true
    errors.lines[#errors.lines + 1] = line
  end
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

--- Returns a list of error lines "file:line: what", each once. `setup` as for dispatch.new, with faults of its own that
--- log nothing; `default_mapping` of dispatch.lua.
function M.run(core, setup, default_mapping)
  local errors = { lines = {}, seen = {}, stuck = {} }
  local raw = core.cf_batch_get().events + 0 -- a pointer to the first
  local ev = ffi.cast(event.handle_type, raw)
  local before, decided = handler_steps(setup)
  limit.interpreted(function()
    each_event(raw, function()
      for _, step in ipairs(before) do
        if is_for(step, raw[0]) then try(setup, errors, step, ev, raw) end
      end
      local answer = setup.answer
      answer.rule, answer.place, answer.error_place = false, false, false
      answer.decision, answer.reason = default_mapping(raw[0])
      for _, step in ipairs(CALLS) do
        if step.name == "format" then
          for _, handler in ipairs(decided) do
            if is_for(handler, raw[0]) then try(setup, errors, handler, ev, raw) end
          end
        end
        try(setup, errors, step, ev, raw)
      end
    end)
    try_moments(setup, errors)
  end)
  return errors.lines
end

return M
