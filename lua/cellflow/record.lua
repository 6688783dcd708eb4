-- SPDX-License-Identifier: MIT
-- The record as `format` sees it: one reusable object whose members are read from the event and the decision when they
-- are asked for. What a policy assigns lies beside it; untouched records are C's to write. Same names and order as
-- core/record.h.
local bit = require("bit")
local ffi = require("ffi")
local compiler = require("cellflow.compiler")
local event = require("cellflow.event")
local json = require("cellflow.json")
local names_module = require("cellflow.names")
local options = require("cellflow.options")
local place = require("cellflow.place")
local suggest = require("cellflow.suggest")

local C = ffi.C
local M = {}

M.members = {
  "schema_version", "type", "kind", "cell_id", "run_id", "decision_id", "direction", "decision", "reason_code", "rule",
  "nft_rule_ref", "decided_at", "error_at", "src_addr", "src_port", "dst_addr", "dst_port", "protocol",
  "protocol_number", "family", "icmp_type", "icmp_code", "icmp_id", "tcp_flags", "fragment", "vlan", "mark", "source",
  "witnesses", "hook", "verdict", "conflict", "reopened", "midstream", "packet_count", "byte_count",
  "reply_packet_count", "reply_byte_count", "duration_ms", "close_reason", "interface", "generation", "policy_digest",
  "keyset_id", "issuer_kid", "correlation_id", "first_seen", "observed_at", "prefix",
}
local is_member = {}
for _, name in ipairs(M.members) do is_member[name] = true end

local REMOVED = {} -- in place of a nil that was assigned

local function add_decision(get, answer)
  get.schema_version = function() return "1.0.0" end
  get.type = function() return "network_flow_decision" end
  get.decision = function() return answer.decision or nil end
  get.reason_code = function() return answer.error_place and "script_error" or answer.reason or nil end
  get.rule = function() return answer.rule or nil end
  get.decided_at = function() return answer.place or nil end
  get.error_at = function() return answer.error_place or nil end
end

local function add_event(get, now)
  for _, name in ipairs(M.members) do
    local field = not get[name] and event.get[name]
    if field then
      get[name] = function() return (field(now.ev)) end
    end
  end
  -- A record says so only when it is one; an event answers true or false.
  for name, flag in pairs(event.truths) do
    get[name] = function() return bit.band(now.event.flags, flag) ~= 0 or nil end
  end
  get.nft_rule_ref = function() return (event.get.nft_rule(now.ev)) end
  get.hook = function()
    if now.event.hook >= C.CF_HOOK_NF_PREROUTING then return (event.get.hook(now.ev)) end
  end
end

-- What only events of a flow's life and end have.
local function add_lifetime(get, now)
  local function is_lasting()
    local kind = now.event.kind
    return kind == C.CF_KIND_UPDATED or kind == C.CF_KIND_CLOSED
  end
  for _, name in ipairs({ "reply_packet_count", "reply_byte_count" }) do
    local field = event.get[name]
    get[name] = function()
      if is_lasting() then return (field(now.ev)) end
    end
  end
  get.duration_ms = function()
    local first, last = now.event.first_seen_ns, now.event.last_seen_ns
    if is_lasting() and first ~= 0 and last >= first then return tonumber((last - first) / 1000000) end
  end
  get.close_reason = function()
    return now.event.kind == C.CF_KIND_CLOSED and event.get.close_reason(now.ev) or nil
  end
end

-- A list, which is the policy's own to change; nothing for eBPF or a replay alone, as `source` says that.
local function add_witnesses(get, core, now)
  local lists, names = {}, names_module.new(core)
  for bits, text in pairs(names.witnesses) do
    local list = {}
    for word in text:gmatch("%a+") do list[#list + 1] = word end
    if #list > 1 or list[1] == "nflog" then lists[bits] = list end
  end
  get.witnesses = function()
    local list = lists[event.witnesses(now.event)]
    return list and { list[1], list[2], list[3] }
  end
end

local function add_texts(get, core, now)
  local id_text, time_text = core.cf_decision_id_text, core.cf_time_text
  local text = ffi.new("char[?]", math.max(ffi.C.CF_TIME_TEXT_LEN, ffi.C.CF_ID_TEXT_LEN))
  get.decision_id = function()
    local len = id_text(now.event, text)
    if len > 0 then return (ffi.string(text, len)) end
  end
  get.first_seen = function() return (ffi.string(text, time_text(now.event.first_seen_ns, text))) end
  get.observed_at = function() return (ffi.string(text, time_text(now.event.last_seen_ns, text))) end
end

local function add_plan(get, now, cells, metadata)
  get.run_id = function()
    local cell = cells[now.event.cell]
    if cell then return cell.run_id end
    return metadata.run_id
  end
  for _, name in ipairs({ "generation", "policy_digest", "keyset_id", "issuer_kid", "correlation_id" }) do
    get[name] = function() return metadata[name] end
  end
end

local function check_valid(self)
  if not self.now.ev then
    place.raise("a record is valid during the call only (record:copy() gives a table)")
  end
end

local function read(self, name)
  check_valid(self)
  local changed = self.changes and self.changes[name]
  if changed == REMOVED then return nil end
  if changed ~= nil and self.changes then return changed end
  local getter = self.get[name]
  if getter then return (getter()) end
  if name == "copy" then return self.copy end
  if is_member[name] then return nil end
  return event.no_such(('a record has no member "%s"%s'):format(tostring(name), suggest.hint(name, M.members)))
end

local function write(self, name, value)
  check_valid(self)
  if self.now.frozen then
    place.raise("a record can be changed in format only; a handler may emit a copy (record:copy())")
  end
  if type(name) ~= "string" then
    place.raise(("a record's members are named by text, got a %s"):format(type(name)))
  end
  if type(value) == "cdata" and options.is_cdata_number(value) then
    place.raise(("record.%s cannot be %s"):format(name, options.describe(value)))
  elseif type(value) == "cdata" then
    place.raise(("record.%s cannot be a flow event, which is valid during the call only"):format(name))
  end
  self.changes = self.changes or {}
  if value == nil then value = REMOVED end
  self.changes[name] = value
end

-- The names of what it has: the known ones in their order, then the policy's own, sorted.
local function names_of(self)
  local names, own = {}, {}
  for i = 1, #M.members do names[i] = M.members[i] end
  for name in compiler.pairs(self.changes or {}) do
    if not is_member[name] then own[#own + 1] = name end
  end
  table.sort(own)
  for i = 1, #own do names[#names + 1] = own[i] end
  return names
end

local function plain(self)
  check_valid(self)
  local copy, names = {}, names_of(self)
  for i = 1, #names do copy[names[i]] = read(self, names[i]) end
  return copy
end

--- The record of a runtime. `answer` is dispatch's { decision=, reason=, rule=, place=, error_place= } of the event in
--- hand, false where absent; `cells` and `metadata` are the plan's texts. Returns { proxy=, begin=, finish=, changed=,
--- json=, plain= }.
function M.new(core, encoder, answer, cells, metadata)
  local now = { ev = nil, event = nil, frozen = false }
  local self = { now = now, changes = nil, get = {} }
  add_decision(self.get, answer)
  add_event(self.get, now)
  add_lifetime(self.get, now)
  add_witnesses(self.get, core, now)
  add_texts(self.get, core, now)
  add_plan(self.get, now, cells, metadata)
  local record = {
    proxy = setmetatable({}, {
      __index = function(_, name) return (read(self, name)) end,
      __newindex = function(_, name, value) write(self, name, value) end,
      __tostring = function() return "record" end,
      __metatable = false,
    }),
  }
  self.copy = function() return (plain(self)) end
  record.plain = self.copy
  --- Getters by member, of what was begun; not all members have one.
  record.members = self.get
  --- `frozen`: it may be read, not changed.
  function record.begin(ev, raw, frozen) now.ev, now.event, now.frozen, self.changes = ev, raw, frozen or false, nil end
  function record.check_valid() check_valid(self) end
  function record.finish() now.ev, now.event = nil, nil end
  function record.changed() return self.changes ~= nil end
  function record.json(depth)
    check_valid(self)
    return (json.object(encoder, names_of(self), record.proxy, depth))
  end
  return record
end

return M
