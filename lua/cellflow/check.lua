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

local function try(setup, errors, step, ev, raw)
  local hook = setup.hooks[step.name]
  if not hook or errors.stuck[step.name] then return end
  local function call() step.call(hook, ev, setup, raw) end
  local ok, stuck, err = limit.call(call, setup.faults.capture, M.STEPS_MAX)
  if ok then return end
  setup.relieve(err)
  setup.record.finish()
  errors.stuck[step.name] = stuck
  local where, text = setup.faults.settle(step.name, setup.places[step.name] or "cellflow", err)
  local line = ("%s: %s"):format(where, text)
  if not errors.seen[line] then
    errors.seen[line] = true
    errors.lines[#errors.lines + 1] = line
  end
end

--- Returns a list of error lines "file:line: what", each once. `setup` as for dispatch.new, with faults of its own that
--- log nothing; `default_mapping` of dispatch.lua.
function M.run(core, setup, default_mapping)
  local errors = { lines = {}, seen = {}, stuck = {} }
  local raw = core.cf_batch_get().events + 0 -- a pointer to the first
  local ev = ffi.cast(event.handle_type, raw)
  limit.interpreted(function()
    each_event(raw, function()
      local answer = setup.answer
      answer.rule, answer.place, answer.error_place = false, false, false
      answer.decision, answer.reason = default_mapping(raw[0])
      for _, step in ipairs(CALLS) do try(setup, errors, step, ev, raw) end
    end)
  end)
  return errors.lines
end

return M
