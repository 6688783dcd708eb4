-- SPDX-License-Identifier: MIT
-- Random rules and events that have to do with each other: values come from small pools, networks lie within networks,
-- and most events are made to match some rule and then moved over a boundary of it, or not. rule_world.new(seed, count)
-- gives { matches = (count match tables), event = function(raw) } where event fills a struct cf_event and returns the
-- same as a plain table for rule_reference.lua.
local ffi = require("ffi")
local reference = require("rule_reference")
local seeded = require("seeded")

local M = {}

local LENGTHS = { [4] = { 0, 1, 8, 15, 16, 17, 20, 23, 24, 25, 30, 31, 32 },
  [6] = { 0, 3, 16, 31, 32, 33, 47, 48, 49, 64, 65, 96, 112, 127, 128 } }
local EVERY = 20 -- of so many rules, one asks for a given rare field

local KINDS = { "opened", "updated", "closed", "logged" }
local CLOSE = { "fin", "rst", "idle", "evicted", "cell_gone", "shutdown" }
local PROTOCOLS = { tcp = 6, udp = 17, icmp = 1, icmpv6 = 58 }
local PREFIXES = { "deny-ssh ", "deny-ssh", "in", "out: ", ("x"):rep(127), "\195\169", "cellflow:allow:in: " }
local WITNESSES = { "ebpf", "nflog", "ebpf,nflog", "replay" }
local WITNESS_BITS = { ebpf = 2, nflog = 4, ["ebpf,nflog"] = 6, replay = 8 }
M.CELLS = { [0] = { name = "web", interface = "eth0" }, { name = "db", interface = "eth0" },
  { name = "cache", interface = "veth-cache" } }

local function address_text(address)
  if address.family == 4 then
    return ("%d.%d.%d.%d"):format(address[1] / 256, address[1] % 256, address[2] / 256, address[2] % 256)
  end
  return ("%x:%x:%x:%x:%x:%x:%x:%x"):format(unpack(address))
end

-- An address near others: few sites, few hosts in each; `spread` widens the pools with the number of rules.
local function any_address(r, spread)
  if r:below(2) == 0 then
    return { family = 4, r:pick({ 2560, 2561, 2688, 49320 }), r:below(spread) * 256 + r:below(4) * 64 + r:below(3) }
  end
  return { family = 6, r:pick({ 0x2001, 0xfd00 }), 0xdb8, r:below(4), r:below(spread), 0, r:below(2), 0, r:below(3) }
end

local function masked(address, len)
  local out = { family = address.family }
  for i = 1, #address do
    local unit = 2 ^ math.max(0, math.min(16, 16 * i - len))
    out[i] = address[i] - address[i] % unit
  end
  return out
end

-- The last address of a network.
local function last_of(net, len)
  local out = { family = net.family }
  for i = 1, #net do
    out[i] = net[i] + 2 ^ math.max(0, math.min(16, 16 * i - len)) - 1
  end
  return out
end

-- The neighbour `step` (1, -1) away, wrapping round at the ends.
local function neighbour(address, step)
  local out = { family = address.family }
  for i = #address, 1, -1 do
    out[i] = (address[i] + step) % 65536
    step = step == 1 and out[i] == 0 and 1 or step == -1 and out[i] == 65535 and -1 or 0
  end
  return out
end

local function any_network(r, spread)
  local address = any_address(r, spread)
  local len = r:below(3) == 0 and r:pick(LENGTHS[address.family]) or 16 * #address - r:below(3) * 8
  if len == 16 * #address and r:below(2) == 0 then return address_text(address) end
  return address_text(masked(address, len)) .. "/" .. len
end

local function numbers(from, to, pool)
  local function value(r) return r:below(4) == 0 and from + r:below(to - from + 1) or r:pick(pool) end
  local function wanted(r)
    if r:below(2) == 0 then return value(r) end
    local a, b = value(r), value(r)
    return ("%.14g-%.14g"):format(math.min(a, b), math.max(a, b))
  end
  return { value = value, wanted = wanted }
end

local function words(list)
  local function pick(r) return r:pick(list) end
  return { value = pick, wanted = pick }
end

local PORT = numbers(0, 65535, { 0, 1, 22, 53, 79, 80, 81, 442, 443, 444, 1023, 1024, 8080, 32768, 65534, 65535 })
local COUNT = numbers(1, 100000, { 1, 2, 3, 1000, 1001, 99999 })
local MOMENT = numbers(1000000, 1000100, { 1000000.5, 1000001, 1000002.25 })
local FIELDS = {
  kind = words(KINDS), source = words({ "ebpf", "nflog", "replay" }),
  hook = words({ "tc_egress", "tc_ingress", "nf_output", "nf_egress" }),
  direction = words({ "egress", "ingress" }), verdict = words({ "accept", "drop" }), family = words({ "ipv4", "ipv6" }),
  close_reason = words(CLOSE), fragment = words({ true, false }), prefix = words(PREFIXES),
  witnesses = words(WITNESSES), nft_rule = words({ "no-ssh", "in", "x: y" }), reopened = words({ true, false }),
  midstream = words({ true, false }), conflict = words({ true, false }),
  protocol = words({ "tcp", "udp", "icmp", "icmpv6" }), protocol_number = numbers(0, 255, { 1, 6, 17, 47, 58, 132 }),
  tcp_flags = words({ "S", "SA", "F", "R", "PA", "FSRPAUEC", "EC" }),
  icmp_type = numbers(0, 255, { 0, 3, 8, 128, 129 }), icmp_code = numbers(0, 255, { 0, 1, 3 }),
  icmp_id = PORT, src_port = PORT, dst_port = PORT, vlan = numbers(0, 4095, { 0, 1, 100, 4095 }),
  mark = numbers(1, 4294967295, { 1, 7, 255, 2147483647, 2147483648, 4294967295 }),
  cpu = numbers(0, 65535, { 0, 1, 3 }),
  ifindex = numbers(1, 4294967295, { 1, 2, 3 }), packet_count = COUNT, byte_count = COUNT, seq = COUNT,
  reply_packet_count = COUNT, reply_byte_count = COUNT,
  duration = numbers(0, 100, { 0, 0.5, 1, 2.5 }), time = MOMENT, first_seen = MOMENT, last_seen = MOMENT,
  cell_id = words({ "web", "db", "cache", "gone" }), interface = words({ "eth0", "veth-cache", "lo" }),
}
M.fields = { src_addr = true, dst_addr = true }
for name in pairs(FIELDS) do M.fields[name] = true end
local RARE = {}
for name in pairs(FIELDS) do RARE[#RARE + 1] = name end
table.sort(RARE)
local ALL = { "src_addr", "dst_addr", unpack(RARE) }

local function list_of(r, make)
  if r:below(5) > 0 then return make() end
  local list = {}
  for i = 1, 1 + r:below(4) do list[i] = make() end
  return list
end

local function wanted(r, name, spread)
  if name == "src_addr" or name == "dst_addr" then
    return list_of(r, function() return any_network(r, spread) end)
  end
  return list_of(r, function() return FIELDS[name].wanted(r) end)
end

-- Long lists of rules are narrow ones, or the first few would match everything.
local function make_match(r, count, spread)
  local match, often = {}, count > 100 and 1 or 2
  local function add(name, of) if r:below(of) == 0 then match[name] = wanted(r, name, spread) end end
  add("dst_addr", often)
  add("dst_port", often)
  add("protocol", often)
  add("src_addr", often + 1)
  add("src_port", 8)
  add("direction", 6)
  for _, name in ipairs(RARE) do add(name, EVERY) end
  if not next(match) then match.dst_port = wanted(r, "dst_port", spread) end
  return match
end

-- A value that meets `want`, or is next to one that does.
local function value_for(r, name, want)
  if type(want) == "table" then want = r:pick(want) end
  if name == "src_addr" or name == "dst_addr" then
    local host, len = want:match("^(.*)/(%d+)$")
    local net = reference.address(host or want)
    local edge = r:below(2) == 0 and net or last_of(net, tonumber(len) or 16 * #net)
    local step = r:below(4)
    return step < 2 and edge or neighbour(edge, step == 2 and 1 or -1)
  end
  if type(want) ~= "string" or not want:match("^[%d.]+%-") then return want end
  local from, to = want:match("^([%d.]+)%-([%d.]+)$")
  local step = r:below(6)
  return r:pick({ tonumber(from), tonumber(to) }) + (step == 0 and 1 or step == 1 and -1 or 0)
end

local function pick_fields(r, match, spread)
  local e = { src_addr = any_address(r, spread), dst_addr = any_address(r, spread) }
  for _, name in ipairs(RARE) do
    if r:below(3) > 0 then e[name] = FIELDS[name].value(r) end
  end
  for _, name in ipairs(ALL) do -- in a fixed order: the same seed is to give the same events
    if match[name] ~= nil then e[name] = value_for(r, name, match[name]) end
  end
  return e
end

local RANK = {}
local function number_of(list, word)
  RANK[list] = RANK[list] or {}
  if not next(RANK[list]) then
    for i, each in pairs(list) do RANK[list][each] = i end
  end
  return RANK[list][word] or 0
end

local SOURCES, DIRECTIONS = { "ebpf", "nflog", "replay" }, { "egress", "ingress" }
local HOOKS = { "tc_egress", "tc_ingress", [6] = "nf_output", [9] = "nf_egress" }
local VERDICTS, FAMILIES = { "accept", "drop" }, { [4] = "ipv4", [6] = "ipv6" }

local function put_address(bytes, address)
  ffi.fill(bytes, 16)
  for i = 1, #address do
    bytes[2 * i - 2], bytes[2 * i - 1] = address[i] / 256, address[i] % 256
  end
end

local function put_words(raw, e)
  raw.kind, raw.source = number_of(KINDS, e.kind), number_of(SOURCES, e.source)
  raw.hook, raw.direction = number_of(HOOKS, e.hook), number_of(DIRECTIONS, e.direction)
  raw.verdict, raw.close_reason = number_of(VERDICTS, e.verdict), number_of(CLOSE, e.close_reason)
  raw.cpu = e.cpu or 0
  if raw.hook ~= 1 and raw.hook ~= 2 then e.cpu = nil elseif not e.cpu then e.cpu = 0 end
  raw.witnesses = WITNESS_BITS[e.witnesses] or 0
  e.witnesses = e.witnesses or e.source -- nobody joined anything
  raw.family = e.dst_addr.family
  e.family = FAMILIES[e.dst_addr.family]
  if e.src_addr.family ~= e.dst_addr.family then
    e.src_addr = masked(e.dst_addr, 16)
  end
  put_address(raw.src_addr, e.src_addr)
  put_address(raw.dst_addr, e.dst_addr)
  if e.nft_rule then
    e.prefix = "cellflow:deny:" .. e.nft_rule
  elseif e.prefix == "cellflow:allow:in: " then
    e.nft_rule = "in"
  end
  if e.prefix then ffi.copy(raw.prefix, e.prefix) end
end

local function put_protocol(raw, e)
  raw.protocol = PROTOCOLS[e.protocol] or e.protocol_number or 0
  e.protocol_number, e.protocol = raw.protocol, nil
  for word, number in pairs(PROTOCOLS) do
    if number == raw.protocol then e.protocol = word end
  end
end

local function put_flagged(raw, e)
  local C, flags = ffi.C, 0
  local function known(flag, ...)
    local any = false
    for _, name in ipairs({ ... }) do any = any or e[name] ~= nil end
    if not any then return end
    flags = flags + flag
    for _, name in ipairs({ ... }) do
      e[name] = e[name] or 0
      raw[name] = e[name]
    end
  end
  known(C.CF_EVENT_PORTS, "src_port", "dst_port")
  known(C.CF_EVENT_ICMP, "icmp_type", "icmp_code")
  known(C.CF_EVENT_ICMP_ID, "icmp_id")
  known(C.CF_EVENT_VLAN, "vlan")
  if e.tcp_flags then
    flags = flags + C.CF_EVENT_TCP
    for i = 1, 8 do
      if e.tcp_flags:find(("FSRPAUEC"):sub(i, i), 1, true) then raw.tcp_flags = raw.tcp_flags + 2 ^ (i - 1) end
    end
  end
  for name, flag in pairs({ fragment = C.CF_EVENT_FRAGMENT, reopened = C.CF_EVENT_REOPENED,
    midstream = C.CF_EVENT_MIDSTREAM, conflict = C.CF_EVENT_CONFLICT }) do
    e[name] = e[name] or false
    if e[name] then flags = flags + flag end
  end
  raw.flags = flags
end

local WHOLE = { "src_port", "dst_port", "icmp_type", "icmp_code", "icmp_id", "vlan", "protocol_number", "cpu", "mark",
  "ifindex", "packet_count", "byte_count", "reply_packet_count", "reply_byte_count", "seq" }
local MOST = { src_port = 65535, dst_port = 65535, icmp_id = 65535, cpu = 65535, vlan = 65535, icmp_type = 255,
  icmp_code = 255, protocol_number = 255, mark = 4294967295, ifindex = 4294967295 }
local ABSENT_AT_0 = { mark = true, ifindex = true, packet_count = true, byte_count = true, reply_packet_count = true,
  reply_byte_count = true, seq = true }

-- Values that were moved over a boundary may have left what the struct can hold.
local function clamp(e)
  for _, name in ipairs(WHOLE) do
    local value = e[name]
    if value and (value < 0 or value > (MOST[name] or 1e9)) then e[name] = 0 end
    if ABSENT_AT_0[name] and e[name] == 0 then e[name] = nil end
  end
end

local function put_counters(raw, e)
  raw.mark, raw.ifindex, raw.seq = e.mark or 0, e.ifindex or 0, e.seq or 0
  raw.packets, raw.bytes = e.packet_count or 0, e.byte_count or 0
  raw.reply_packets, raw.reply_bytes = e.reply_packet_count or 0, e.reply_byte_count or 0
end

-- Times are what the clock makes of nanoseconds, so the event says what they are, in both languages the same.
local function put_times(raw, e, core)
  local from = e.first_seen and math.max(0, e.first_seen - 900000) * 1e9 or 0
  local span = e.duration and math.max(0, e.duration) * 1e9 or 0
  raw.first_seen_ns, raw.last_seen_ns = from, e.last_seen and from + span or 0
  local first, last = raw.first_seen_ns, raw.last_seen_ns
  e.first_seen = first ~= 0 and core.cf_wall_seconds(first) or nil
  e.last_seen = last ~= 0 and core.cf_wall_seconds(last) or nil
  e.time = e.last_seen
  e.duration = first ~= 0 and last >= first and tonumber(last - first) / 1e9 or nil
end

local function put_cell(raw, e, r)
  raw.cell = r:pick({ 0, 1, 2, 2, 3, 4095, 4096, 4294967295 })
  local cell = M.CELLS[tonumber(raw.cell)]
  e.cell_id, e.interface = cell and cell.name, cell and cell.interface
end

function M.new(seed, count, core)
  local r = seeded.new(seed)
  local world, spread = { matches = {} }, math.max(4, math.min(200, math.floor(count / 20)))
  for i = 1, count do world.matches[i] = make_match(r, count, spread) end

  function world.event(raw)
    local e = pick_fields(r, r:below(4) > 0 and r:pick(world.matches) or {}, spread)
    ffi.fill(raw, ffi.sizeof("struct cf_event"))
    clamp(e)
    put_words(raw, e)
    put_protocol(raw, e)
    put_flagged(raw, e)
    put_counters(raw, e)
    put_times(raw, e, core)
    put_cell(raw, e, r)
    return e
  end
  return world
end

return M
