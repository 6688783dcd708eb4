-- SPDX-License-Identifier: MIT
-- The one event that `cellflow explain` is asked about: reads the words of the command line, or a JSON record, into a
-- struct cf_event, and fills in what was not said. The fields themselves are event_words.lua's.
local bit = require("bit")
local ffi = require("ffi")
local event_words = require("cellflow.event_words")
local json_decode = require("cellflow.json_decode")
local options = require("cellflow.options")

local C = ffi.C
local M = {}

M.RECORD_TYPE = "network_flow_decision"

local function fail(format, ...) error({ usage = format:format(...) }, 0) end

local function of_pairs(words)
  local given = {}
  for _, word in ipairs(words) do
    local name, value = word:match("^([%w_]+)=(.*)$")
    if not name then
      fail("event: want field=value words or one JSON record, got %s", options.describe(word))
    elseif given[name] ~= nil then
      fail("event: %s is given twice", name)
    end
    given[name] = value
  end
  return given
end

-- A line of cellflow's own may carry members that some policy added; what people write themselves is held to the names.
local function of_record(text)
  local record, wrong = json_decode.object(text)
  if not record then fail("event: no JSON record: %s", wrong) end
  local is_own = record.type == M.RECORD_TYPE
  if record.type ~= nil and not is_own then
    fail('event: a JSON object of type %s is no record (want "%s")', options.describe(record.type), M.RECORD_TYPE)
  end
  local given = {}
  for name, value in pairs(record) do
    local unknown = event_words.unknown(name)
    if not unknown then
      given[name] = value
    elseif not is_own and not event_words.DECIDED[name] then
      fail("event: %s", unknown)
    end
  end
  return given
end

local function read_given(words)
  if #words == 1 and words[1]:match("^%s*{") then return of_record(words[1]), true end
  local given, names = of_pairs(words), {}
  for name in pairs(given) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local unknown = event_words.unknown(name)
    if unknown then fail("event: %s", unknown) end
  end
  return given
end

-- What field=value words leave open is made up, as of a first packet; what a record does not say is not known.
local MADE_UP = {
  [4] = { src_addr = "10.0.0.1", dst_addr = "192.0.2.1" }, [6] = { src_addr = "fd00::1", dst_addr = "2001:db8::1" },
}
local MADE_UP_PORTS = { [6] = true, [17] = true }

local function make_up(raw, given, set)
  local function add(name, value)
    if given[name] == nil then set[name](raw, value) end
  end
  for name, value in pairs(MADE_UP[raw.family]) do add(name, value) end
  local is_fragment = bit.band(raw.flags, C.CF_EVENT_FRAGMENT) ~= 0
  if MADE_UP_PORTS[raw.protocol] and not is_fragment then
    add("src_port", 40000)
    add("dst_port", 443)
    if raw.protocol == 6 then add("tcp_flags", "S") end
  elseif (raw.protocol == 1 or raw.protocol == 58) and not is_fragment then
    add("icmp_type", raw.protocol == 1 and 8 or 128)
    add("icmp_code", 0)
  end
  add("packet_count", 1)
  add("seq", 1)
end

local function guess_protocol(given, family)
  if given.icmp_type or given.icmp_code or given.icmp_id then return family == 6 and 58 or 1 end
  return 6
end

-- After the words, where it depends on them.
local function complete(raw, given)
  if not given.source then
    raw.source = raw.kind == C.CF_KIND_LOGGED and C.CF_SOURCE_NFLOG or C.CF_SOURCE_EBPF
  end
  -- A packet that is logged and no connection is one that was dropped.
  if not given.verdict and raw.kind == C.CF_KIND_LOGGED then raw.verdict = C.CF_VERDICT_DROP end
  local is_egress = raw.direction == C.CF_DIRECTION_EGRESS
  if not given.hook and raw.source == C.CF_SOURCE_EBPF then
    raw.hook = is_egress and C.CF_HOOK_TC_EGRESS or C.CF_HOOK_TC_INGRESS
  end
  if not given.verdict and is_egress and raw.kind ~= C.CF_KIND_LOGGED then
    raw.verdict = C.CF_VERDICT_ACCEPT
  end
end

local function check_whole(raw, given, families)
  local src, dst = families.src_addr, families.dst_addr
  if src and dst and src ~= dst then fail("event: src_addr and dst_addr are of different families") end
  if given.family and (src or dst) and raw.family ~= (src or dst) then
    fail("event: family %s does not fit the address", options.describe(given.family))
  end
  if given.protocol and given.protocol_number and families.protocol ~= raw.protocol then
    fail("event: protocol %s and protocol_number %s are not the same", options.describe(given.protocol),
      options.describe(given.protocol_number))
  end
  if given.close_reason and raw.kind ~= C.CF_KIND_CLOSED then
    fail("event: close_reason belongs to kind closed")
  end
  local is_lasting = raw.kind == C.CF_KIND_UPDATED or raw.kind == C.CF_KIND_CLOSED
  for _, name in ipairs({ "reply_packet_count", "reply_byte_count" }) do
    if given[name] and not is_lasting then fail("event: %s belongs to kinds updated and closed", name) end
  end
  if raw.first_seen_ns > raw.last_seen_ns then fail("event: first_seen is later than the event") end
end

local function apply(raw, given, set)
  local families = {}
  for _, name in ipairs(event_words.ORDER) do
    if given[name] ~= nil then
      local wrong, family = set[name](raw, given[name])
      if wrong then fail("event: %s %s", name, wrong) end
      families[name] = family
      if name == "protocol" then families.protocol = raw.protocol end
    end
  end
  return families
end

-- The family of the addresses, before anything else: defaults depend on it.
local function family_of(given, set)
  local scratch = ffi.new("struct cf_event")
  for _, name in ipairs({ "src_addr", "dst_addr" }) do
    if given[name] ~= nil then
      local _, family = set[name](scratch, given[name])
      if family then return family end
    end
  end
  if given.family == "ipv6" then return C.CF_FAMILY_IPV6 end
end

--- Fill `raw` (struct cf_event) from `words`, a list of texts. `cells` as for event_words.new; now_ns: the time when
--- none is given. Raises { usage = text } for what cannot be read.
function M.read(core, raw, words, cells, now_ns)
  local given, is_record = read_given(words)
  local set = event_words.new(core, cells)
  ffi.fill(raw, ffi.sizeof("struct cf_event"))
  raw.kind, raw.direction, raw.last_seen_ns = C.CF_KIND_OPENED, C.CF_DIRECTION_EGRESS, now_ns
  raw.family = family_of(given, set) or C.CF_FAMILY_IPV4
  if not is_record then raw.protocol = guess_protocol(given, raw.family) end
  local families = apply(raw, given, set)
  if given.first_seen == nil and given.duration == nil and given.duration_ms == nil then
    raw.first_seen_ns = raw.last_seen_ns
  end
  check_whole(raw, given, families)
  complete(raw, given)
  if not is_record then make_up(raw, given, set) end
end

return M
