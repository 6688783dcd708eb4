-- SPDX-License-Identifier: MIT
-- An event from what people write: field=value words or a JSON record, under the names of docs/records.md. The inverse
-- of event.lua, for `explain` and for the made-up events of `check`; what sources do is none of its business.
local bit = require("bit")
local ffi = require("ffi")
local event = require("cellflow.event")
local names = require("cellflow.names")
local options = require("cellflow.options")
local suggest = require("cellflow.suggest")
local wall_time = require("cellflow.wall_time")

local C = ffi.C
local M = {}

local LETTERS = "FSRPAUEC" -- TCP flags by bit, from the lowest
local U32, EXACT = 2 ^ 32 - 1, 2 ^ 53

-- Members of a record that say what was decided, or by whom: no part of the event.
M.DECIDED = { schema_version = true, type = true, decision = true, reason_code = true, rule = true, decided_at = true,
  error_at = true, decision_id = true, run_id = true, generation = true, policy_digest = true, keyset_id = true,
  issuer_kid = true, correlation_id = true }

local function number(low, high)
  return function(value)
    local n = type(value) == "string" and value:match("^%d+$") and tonumber(value) or value
    if type(n) ~= "number" or n ~= math.floor(n) or n < low or n > high then
      return nil, ("must be a whole number from %d to %.0f, got %s"):format(low, high, options.describe(value))
    end
    return n
  end
end

local function plain(low, high, member, flag)
  local read = number(low, high)
  return function(raw, value)
    local n, wrong = read(value)
    if not n then return wrong end
    raw[member] = n
    if flag then raw.flags = bit.bor(raw.flags, flag) end
  end
end

local function named(by_number, member)
  local numbers_of = {}
  for n, word in pairs(by_number) do numbers_of[word] = n end
  local choose = options.choice(numbers_of)
  return function(raw, value)
    local n, wrong = choose(value)
    if not n then return wrong end
    raw[member] = n
  end
end

local function address(core, member)
  return function(raw, value)
    local bytes = ffi.new("uint8_t[16]")
    local family = type(value) == "string" and core.cf_address_parse(value, #value, bytes) or 0
    if family == 0 then
      return ('must be an address like "192.0.2.7" or "2001:db8::1", got %s'):format(options.describe(value))
    end
    ffi.copy(raw[member], bytes, 16)
    return nil, family
  end
end

local function tcp_flags(raw, value)
  local flags = 0
  if type(value) ~= "string" then return ("must be letters of %s, got %s"):format(LETTERS, options.describe(value)) end
  for letter in value:gmatch(".") do
    local index = LETTERS:find(letter, 1, true)
    if not index then
      return ("%s: there is no flag %s, only letters of %s"):format(options.describe(value), options.describe(letter),
        LETTERS)
    end
    flags = bit.bor(flags, bit.lshift(1, index - 1))
  end
  raw.tcp_flags, raw.flags = flags, bit.bor(raw.flags, C.CF_EVENT_TCP)
end

local function truth(flag)
  return function(raw, value)
    if value == "true" then value = true elseif value == "false" then value = false end
    if type(value) ~= "boolean" then return "must be true or false, got " .. options.describe(value) end
    raw.flags = value and bit.bor(raw.flags, flag) or bit.band(raw.flags, bit.bnot(flag))
  end
end

-- "ebpf,nflog" as events show it, or the list that records have.
local function witnesses(by_number)
  local one = named(by_number, "witnesses")
  return function(raw, value)
    if type(value) == "table" then
      for i = 1, #value do
        if type(value[i]) ~= "string" then return "must be a list of text" end
      end
      value = table.concat(value, ",")
    end
    return one(raw, value)
  end
end

local function prefix(raw, value)
  local text, wrong = options.text(C.CF_EVENT_PREFIX_LEN)(value)
  if not text then return wrong end
  ffi.fill(raw.prefix, C.CF_EVENT_PREFIX_LEN)
  ffi.copy(raw.prefix, text, #text)
end

-- As a rule of the firewall that is named by its prefix logs it.
local function nft_rule(raw, value)
  local word = raw.verdict == C.CF_VERDICT_ACCEPT and "allow" or "deny"
  if type(value) ~= "string" then return "must be text, got " .. options.describe(value) end
  return prefix(raw, ("cellflow:%s:%s"):format(word, value))
end

local function moment(member)
  return function(raw, value)
    local ns, wrong = wall_time.parse(value)
    if not ns then return wrong end
    raw[member] = ns
  end
end

local function duration(raw, value)
  local seconds = type(value) == "string" and value:match("^%d+%.?%d*$") and tonumber(value) or value
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds < 1e9) then
    return "must be a number of seconds, got " .. options.describe(value)
  end
  raw.first_seen_ns = raw.last_seen_ns - ffi.cast("uint64_t", seconds * 1e9 + 0.5)
end

local function duration_ms(raw, value)
  local ms, wrong = number(0, 1e12)(value)
  if not ms then return wrong end
  raw.first_seen_ns = raw.last_seen_ns - ffi.cast("uint64_t", ms * 1e6)
end

local function cell_id(cells)
  local slots = {}
  for i, cell in pairs(cells) do slots[cell.name] = i end
  local choose = options.choice(slots)
  return function(raw, value)
    local slot, wrong = choose(value)
    if not slot then return wrong:gsub("^must be", "must be a cell of the policy,", 1) end
    raw.cell = slot
  end
end

local function interface(cells)
  return function(raw, value)
    local text, wrong = options.text(C.CF_IFNAME_LEN)(value)
    if not text then return wrong end
    cells[raw.cell].interface = text
  end
end

--- The order matters: what comes later may use what comes first.
M.ORDER = { "cell_id", "interface", "kind", "source", "witnesses", "hook", "direction", "verdict", "conflict",
  "reopened", "midstream", "family", "src_addr", "dst_addr", "protocol", "protocol_number", "src_port", "dst_port",
  "icmp_type", "icmp_code", "icmp_id", "tcp_flags", "fragment", "vlan", "mark", "ifindex", "cpu", "seq",
  "packet_count", "byte_count", "reply_packet_count", "reply_byte_count", "close_reason", "nft_rule", "nft_rule_ref",
  "prefix", "observed_at", "time", "last_seen", "duration_ms", "first_seen", "duration" }

--- { field = function(raw, value) -> what is wrong, or nil [and the family of an address] }. A value is text, or a
--- number or boolean where the field is one. `cells` is a table by slot of { name =, interface = }, which
--- interface changes.
function M.new(core, cells)
  local by_number = names.new(core)
  local set = {
    protocol_number = plain(0, 255, "protocol"), src_addr = address(core, "src_addr"),
    dst_addr = address(core, "dst_addr"), src_port = plain(0, 65535, "src_port", C.CF_EVENT_PORTS),
    dst_port = plain(0, 65535, "dst_port", C.CF_EVENT_PORTS), icmp_type = plain(0, 255, "icmp_type", C.CF_EVENT_ICMP),
    icmp_code = plain(0, 255, "icmp_code", C.CF_EVENT_ICMP), icmp_id = plain(0, 65535, "icmp_id", C.CF_EVENT_ICMP_ID),
    tcp_flags = tcp_flags, vlan = plain(0, 4095, "vlan", C.CF_EVENT_VLAN),
    mark = plain(0, U32, "mark"), ifindex = plain(0, U32, "ifindex"), cpu = plain(0, 65535, "cpu"),
    seq = plain(0, EXACT, "seq"), packet_count = plain(0, EXACT, "packets"), byte_count = plain(0, EXACT, "bytes"),
    reply_packet_count = plain(0, EXACT, "reply_packets"), reply_byte_count = plain(0, EXACT, "reply_bytes"),
    witnesses = witnesses(by_number.witnesses), nft_rule = nft_rule, nft_rule_ref = nft_rule,
    prefix = prefix, duration = duration, duration_ms = duration_ms, cell_id = cell_id(cells),
    interface = interface(cells),
  }
  for _, name in ipairs({ "kind", "source", "hook", "direction", "verdict", "family", "protocol", "close_reason" }) do
    set[name] = named(by_number[name], name)
  end
  for name, flag in pairs(event.truths) do set[name] = truth(flag) end
  for _, name in ipairs({ "observed_at", "time", "last_seen" }) do set[name] = moment("last_seen_ns") end
  set.first_seen = moment("first_seen_ns")
  return set
end

--- nil when `name` is a field of events, else what is wrong.
function M.unknown(name)
  for _, known in ipairs(M.ORDER) do
    if known == name then return nil end
  end
  if M.DECIDED[name] then return ('"%s" is what a policy decides, no field of an event'):format(name) end
  return ('an event has no field "%s"%s'):format(name, suggest.hint(name, M.ORDER))
end

return M
