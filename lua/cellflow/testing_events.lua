-- SPDX-License-Identifier: MIT
-- Events as an attacker would send them, for specs that say what must hold for every event: all kinds, families and
-- protocols in turn, every number at its edges, fields that are missing, text that no serialiser likes. Valid: a source
-- could have made each of them.
local bit = require("bit")

local M = {}

local KINDS = { "opened", "updated", "closed", "logged" }
local PROTOCOLS = { 6, 17, 1, 58, 0, 47, 50, 132, 255 }
local ADDRESSES = {
  { "0.0.0.0", "255.255.255.255", "127.0.0.1", "10.0.0.1", "169.254.169.254", "192.0.2.1", "224.0.0.1",
    "203.0.113.255" },
  { "::", "::1", "::ffff:10.0.0.1", "fe80::1", "ff02::1", "fd00::1", "2001:db8::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
}
local FAMILIES = { "ipv4", "ipv6" }
local PORTS = { 0, 1, 22, 53, 80, 443, 1023, 1024, 32768, 65535 }
local BYTES, MARKS, COUNTS = { 0, 1, 3, 8, 128, 129, 254, 255 }, { 0, 1, 7, 2 ^ 31, 2 ^ 32 - 1 },
  { 0, 1, 2, 1500, 2 ^ 32 - 1, 2 ^ 32, 2 ^ 53 }
local DURATIONS = { 0, 0.000001, 0.5, 59.999999, 60, 86400, 40 * 86400 }
local REASONS = { "fin", "rst", "idle", "evicted", "cell_gone", "shutdown" }
local NETFILTER = { "nf_prerouting", "nf_input", "nf_forward", "nf_output", "nf_postrouting", "nf_ingress",
  "nf_egress" }
local WITNESSES = { "ebpf", "nflog", "ebpf,nflog" }
local ATOMS = { "a", "cellflow:deny:", "cellflow:allow:x", " ", ":", '"', "\\", "\n", "\r", "\t", "\27[31m", "\1",
  "\127", "%s%n", '"}\n{"', "\194\155", "\226\128\168", "\239\191\191", "\240\159\152\128", "\128", "\192\128",
  "\237\160\128", "\244\144\128\128", "\255" }
local PREFIX_MAX = 127

-- xorshift32: math.random is the specs' own. below(n) gives 0 .. n - 1.
local function random_of(seed)
  local x = bit.bxor(bit.tobit(seed * 2654435761 % 2 ^ 32), 0x5bd1e995)
  if x == 0 then x = 1 end
  local random = {}
  function random.below(n)
    x = bit.bxor(x, bit.lshift(x, 13))
    x = bit.bxor(x, bit.rshift(x, 17))
    x = bit.bxor(x, bit.lshift(x, 5))
    return (x % 4294967296) % n
  end
  function random.pick(list) return list[random.below(#list) + 1] end
  --- True once in n.
  function random.once_in(n) return random.below(n) == 0 end
  return random
end

local function tcp_flags(random)
  local flags, bits = {}, random.below(256)
  for i = 1, 8 do
    if bit.band(bit.rshift(bits, i - 1), 1) == 1 then flags[#flags + 1] = ("FSRPAUEC"):sub(i, i) end
  end
  return table.concat(flags)
end

local function prefix(random)
  local parts = {}
  for i = 1, 1 + random.below(40) do parts[i] = random.pick(ATOMS) end
  return table.concat(parts):sub(1, PREFIX_MAX)
end

-- What the transport header says, of which a later fragment has none.
local function add_transport(random, event)
  local protocol = event.protocol_number
  if random.once_in(8) then
    event.fragment = true
  elseif protocol == 6 or protocol == 17 then
    event.src_port, event.dst_port = random.pick(PORTS), random.pick(PORTS)
    if protocol == 6 then
      event.tcp_flags = tcp_flags(random)
      event.midstream = random.once_in(4)
    end
  elseif protocol == 1 or protocol == 58 then
    event.icmp_type, event.icmp_code = random.pick(BYTES), random.pick(BYTES)
    if random.once_in(2) then event.icmp_id = random.pick(PORTS) end
  end
end

local function add_source(random, event)
  if event.kind == "logged" then
    event.source, event.hook, event.prefix = "nflog", random.pick(NETFILTER), prefix(random)
    event.verdict = random.pick({ "accept", "drop" })
  else
    event.source = "ebpf"
    if random.once_in(2) then event.verdict = random.pick({ "accept", "drop" }) end
    if random.once_in(4) then event.witnesses = random.pick(WITNESSES) end
    event.conflict, event.reopened = random.once_in(8), random.once_in(8)
  end
end

local function add_numbers(random, event)
  if random.once_in(2) then event.vlan = random.pick({ 0, 1, 4095 }) end
  event.mark = random.pick(MARKS)
  event.packet_count, event.byte_count = random.pick(COUNTS), random.pick(COUNTS)
  event.duration = random.pick(DURATIONS)
  if event.kind == "updated" or event.kind == "closed" then
    event.reply_packet_count, event.reply_byte_count = random.pick(COUNTS), random.pick(COUNTS)
  end
  if event.kind == "closed" then event.close_reason = random.pick(REASONS) end
end

-- The n-th event: what it is goes round in turn, so that a few dozen have met every combination.
local function make(random, n)
  local family = math.floor(n / #KINDS) % 2 + 1
  local event = { kind = KINDS[n % #KINDS + 1], family = FAMILIES[family],
    protocol_number = PROTOCOLS[math.floor(n / #KINDS / 2) % #PROTOCOLS + 1],
    src_addr = random.pick(ADDRESSES[family]), dst_addr = random.pick(ADDRESSES[family]),
    direction = random.pick({ "egress", "ingress" }) }
  add_transport(random, event)
  add_source(random, event)
  add_numbers(random, event)
  return event
end

--- An iterator over `count` tables of fields; the same ones for the same seed.
function M.new(seed, count)
  local random, n = random_of(seed), 0
  return function()
    if n == count then return nil end
    n = n + 1
    return make(random, n - 1)
  end
end

return M
