-- SPDX-License-Identifier: MIT
-- What a policy sees of an event: fields by name on an opaque pointer. The struct is declared and never defined, so
-- that no arithmetic or index reaches memory next to it, and the getters vanish in compiled code. Fields are numbers,
-- strings, booleans or nil, never cdata. Decides nothing.
local bit = require("bit")
local ffi = require("ffi")
local place = require("cellflow.place")
local suggest = require("cellflow.suggest")
local table_new = require("table.new")

local band, lshift, rshift, cast, tonumber = bit.band, bit.lshift, bit.rshift, ffi.cast, tonumber
local C = ffi.C

ffi.cdef("struct flow_event;")
local event_type = ffi.typeof("const struct cf_event *")

local M = { handle_type = ffi.typeof("struct flow_event *") }

-- What the getters need from the runtime in charge; a metatype lives as long as the Lua state, so it cannot be an
-- argument of theirs.
local bound = { cells = nil, address = nil, wall = nil, prefix_rule = nil }
local words_of = {} -- the words of a field by number: tables that stay, so that a getter has them at hand

local get = {}

local function named(name, member)
  member = member or name
  local words = table_new(256, 1)
  words_of[name] = words
  get[name] = function(e) return words[cast(event_type, e)[member]] end
end
for _, name in ipairs({ "kind", "source", "hook", "direction", "verdict", "family", "protocol", "close_reason" }) do
  named(name)
end

-- A field that is there when its flag is set.
local function flagged(name, flag)
  get[name] = function(e)
    local event = cast(event_type, e)
    if band(event.flags, flag) ~= 0 then return event[name] end
  end
end
flagged("src_port", C.CF_EVENT_PORTS)
flagged("dst_port", C.CF_EVENT_PORTS)
flagged("icmp_type", C.CF_EVENT_ICMP)
flagged("icmp_code", C.CF_EVENT_ICMP)
flagged("icmp_id", C.CF_EVENT_ICMP_ID)
flagged("vlan", C.CF_EVENT_VLAN)

-- A counter or number of which 0 means that nobody said.
local function counted(name, member)
  member = member or name
  get[name] = function(e)
    local value = tonumber(cast(event_type, e)[member])
    if value ~= 0 then return value end
  end
end
counted("packet_count", "packets")
counted("byte_count", "bytes")
counted("reply_packet_count", "reply_packets")
counted("reply_byte_count", "reply_bytes")
counted("seq")
counted("ifindex")
counted("mark")

function get.protocol_number(e) return cast(event_type, e).protocol end

function get.src_addr(e)
  local event = cast(event_type, e)
  return (bound.address(event.src_addr, event.family))
end

function get.dst_addr(e)
  local event = cast(event_type, e)
  return (bound.address(event.dst_addr, event.family))
end

local flags_words = table_new(256, 1)
words_of.tcp_flags = flags_words
function get.tcp_flags(e)
  local event = cast(event_type, e)
  if band(event.flags, C.CF_EVENT_TCP) ~= 0 then return flags_words[event.tcp_flags] end
end

--- Fields that are true or false: name -> flag.
M.truths = { fragment = C.CF_EVENT_FRAGMENT, reopened = C.CF_EVENT_REOPENED, midstream = C.CF_EVENT_MIDSTREAM,
  conflict = C.CF_EVENT_CONFLICT }
for name, flag in pairs(M.truths) do
  get[name] = function(e) return band(cast(event_type, e).flags, flag) ~= 0 end
end

--- Bits of all sources that saw it: the event's own alone where nobody joined any.
function M.witnesses(event)
  local bits = event.witnesses
  if bits ~= 0 then return bits end
  return band(lshift(1, event.source), 255)
end
local witnesses = M.witnesses

local witness_words = table_new(256, 1)
words_of.witnesses = witness_words
function get.witnesses(e) return witness_words[witnesses(cast(event_type, e))] end

-- Only tc runs on the CPU that has the packet.
function get.cpu(e)
  local event = cast(event_type, e)
  if event.hook == C.CF_HOOK_TC_EGRESS or event.hook == C.CF_HOOK_TC_INGRESS then return event.cpu end
end

function get.prefix(e)
  local event = cast(event_type, e)
  if event.prefix[0] ~= 0 then return (ffi.string(event.prefix)) end
end

function get.nft_rule(e)
  local event = cast(event_type, e)
  if event.prefix[0] == 0 then return nil end
  local found = bound.prefix_rule(event.prefix)
  if found ~= 0 then return (ffi.string(event.prefix + rshift(found, 8), band(found, 255))) end
end

function get.cell_id(e)
  local cell = bound.cells[cast(event_type, e).cell]
  return cell and cell.name
end

function get.interface(e)
  local cell = bound.cells[cast(event_type, e).cell]
  return cell and cell.interface
end

local function seconds(ns)
  if ns ~= 0 then return (bound.wall(ns)) end
end
function get.first_seen(e) return (seconds(cast(event_type, e).first_seen_ns)) end
function get.last_seen(e) return (seconds(cast(event_type, e).last_seen_ns)) end
get.time = get.last_seen

function get.duration(e)
  local event = cast(event_type, e)
  if event.first_seen_ns ~= 0 and event.last_seen_ns >= event.first_seen_ns then
    return tonumber(event.last_seen_ns - event.first_seen_ns) / 1e9
  end
end

M.get = get
M.fields = {}
for name in pairs(get) do M.fields[#M.fields + 1] = name end
table.sort(M.fields)

-- `return { kind = get.kind(e), ... }` as text: a loop over the getters would be a trace for each of them.
local function straight_copy()
  local members = {}
  for i, name in ipairs(M.fields) do
    members[i] = ("%s = get.%s(e)"):format(name, name)
  end
  return assert(load("local get = ... return function(e) return { " .. table.concat(members, ", ") .. " } end",
    "=copy"))(get)
end
local copy_fields = straight_copy()

--- A plain table of the fields that are known; it outlives the call.
function M.copy(e)
  if not ffi.istype(M.handle_type, e) then
    place.raise("copy is called with a colon: ev:copy()")
  end
  return (copy_fields(e))
end

--- Told of a field or member that does not exist, and the read gives nil, where somebody put a function here: for
--- `check`, which goes on behind the first mistake. Elsewhere the read is an error.
M.forgive = nil

function M.no_such(text)
  if M.forgive then return M.forgive(text) end
  return place.raise(text)
end

local function no_such_field(name)
  return ('a flow event has no field "%s"%s'):format(tostring(name), suggest.hint(name, M.fields))
end

local function refuse(text)
  return function() place.raise(text) end
end
local no_arithmetic = refuse("a flow event is not a number; name one of its fields, like ev.dst_port")
local no_order = refuse("a flow event cannot be compared; compare one of its fields, like ev.dst_port")

ffi.metatype("struct flow_event", {
  __index = function(e, name)
    local getter = get[name]
    if getter then return (getter(e)) end
    if name == "copy" then return M.copy end
    return M.no_such(no_such_field(name))
  end,
  __newindex = function(_, name)
    if not get[name] then place.raise(no_such_field(name)) end
    place.raise(('a flow event cannot be changed: "%s" is read-only (ev:copy() gives a table)'):format(name))
  end,
  __add = no_arithmetic, __sub = no_arithmetic, __mul = no_arithmetic, __div = no_arithmetic,
  __mod = no_arithmetic, __pow = no_arithmetic, __unm = no_arithmetic,
  __eq = no_order, __lt = no_order, __le = no_order,
  __concat = refuse("a flow event is not text; name one of its fields, like ev.dst_addr"),
  __len = refuse("a flow event has no length"),
  __call = refuse("a flow event is not a function"),
  __pairs = refuse("a flow event cannot be walked; use pairs(ev:copy())"),
  __tostring = function() return "flow event" end,
  __metatable = false,
})

--- From now on events speak through this runtime: { names=, cells=, address=, wall=, prefix_rule= }, where cells
--- is a table by index of { name=, interface= }, address a function of address.lua, wall is boot nanoseconds -> seconds
--- and prefix_rule is core's.
function M.bind(runtime)
  for name in pairs({ cells = 1, address = 1, wall = 1, prefix_rule = 1 }) do
    bound[name] = assert(runtime[name], name)
  end
  for name, words in pairs(words_of) do
    for number = 0, 255 do words[number] = runtime.names[name][number] end
  end
end

return M
