-- SPDX-License-Identifier: MIT
-- What can be said of a match by itself, for `cellflow check`: that every event meets it, or that none can. Knows what
-- packets are like, not what is on the wire; says only what is certain, and compares no rules (rule_review.lua).
local ffi = require("ffi")
local event = require("cellflow.event")

local C = ffi.C
local M = {}

local TCP, ICMP, ICMPV6 = 6, 1, 58
local OTHER = -1 -- a protocol that nothing is known of here; it may have ports
local PROTOCOLS = { TCP, 17, ICMP, ICMPV6, OTHER }
local KINDS = { C.CF_KIND_OPENED, C.CF_KIND_UPDATED, C.CF_KIND_CLOSED, C.CF_KIND_LOGGED }
local FAMILIES = { C.CF_FAMILY_IPV4, C.CF_FAMILY_IPV6 }
local TRUTHS = { 0, 1 } -- as match.lua has them

-- Values that make a condition hold for every event, of the fields that every event has.
local ALL = { family = FAMILIES, protocol_number = {}, src_addr = FAMILIES, dst_addr = FAMILIES }
for name in pairs(event.truths) do ALL[name] = TRUTHS end
for byte = 0, 255 do ALL.protocol_number[byte + 1] = byte end

-- Marks in `met` the values of ALL[name] that the condition accepts whole.
local function mark(met, cond)
  if cond.kind == "nets" then
    for _, net in ipairs(cond.list) do
      if net.len == 0 then met[net.family] = true end
    end
    return met
  end
  for value in pairs(cond.set) do met[value] = true end
  return met
end

local function is_all(name, met)
  for _, value in ipairs(ALL[name]) do
    if not met[value] then return false end
  end
  return true
end

--- Whether every event meets the match.
function M.always(match)
  for name, cond in pairs(match) do
    if not ALL[name] or not is_all(name, mark({}, cond)) then return false end
  end
  return true
end

--- A function to be given one match after the other: true as soon as every event meets one of them, as far as that
--- can be told from those that name a single field.
function M.together()
  local met = {}
  return function(match)
    local name, cond = next(match)
    if not name then return true end
    if next(match, name) or not ALL[name] then return false end
    met[name] = mark(met[name] or {}, cond)
    return is_all(name, met[name])
  end
end

local function is_first(shape) return shape.fragment == 0 end
local function has_ports(shape) return is_first(shape) and shape.protocol ~= ICMP and shape.protocol ~= ICMPV6 end
local function is_icmp(shape) return is_first(shape) and (shape.protocol == ICMP or shape.protocol == ICMPV6) end

local function has_lasted(shape) return shape.kind == C.CF_KIND_UPDATED or shape.kind == C.CF_KIND_CLOSED end

-- Which shapes of packets have a field; the fields that are not named here any shape may have.
local HAS = {
  src_port = has_ports, dst_port = has_ports, icmp_type = is_icmp, icmp_code = is_icmp, icmp_id = is_icmp,
  tcp_flags = function(shape) return is_first(shape) and shape.protocol == TCP end,
  close_reason = function(shape) return shape.kind == C.CF_KIND_CLOSED end,
  reply_packet_count = has_lasted, reply_byte_count = has_lasted,
}

local function is_other(byte) return byte ~= TCP and byte ~= 17 and byte ~= ICMP and byte ~= ICMPV6 end

local function any_net(shape, cond)
  for _, net in ipairs(cond.list) do
    if net.family == shape.family then return true end
  end
  return false
end

local MEETS = {
  src_addr = any_net, dst_addr = any_net,
  kind = function(shape, cond) return cond.set[shape.kind] end,
  family = function(shape, cond) return cond.set[shape.family] end,
  fragment = function(shape, cond) return cond.set[shape.fragment] end,
  protocol = function(shape, cond) return cond.set[shape.protocol] end,
}

function MEETS.protocol_number(shape, cond)
  if shape.protocol ~= OTHER then return cond.set[shape.protocol] end
  for byte in pairs(cond.set) do
    if is_other(byte) then return true end
  end
end

local function meets(shape, name, cond)
  if HAS[name] then return HAS[name](shape) end
  return MEETS[name](shape, cond)
end

local SHAPES = {}
for _, protocol in ipairs(PROTOCOLS) do
  for _, kind in ipairs(KINDS) do
    for _, family in ipairs(FAMILIES) do
      for _, fragment in ipairs(TRUTHS) do
        SHAPES[#SHAPES + 1] = { kind = kind, family = family, protocol = protocol, fragment = fragment }
      end
    end
  end
end

-- Whether some shape meets those of the conditions that are named.
local function can_be(match, names)
  for _, shape in ipairs(SHAPES) do
    local all = true
    for _, name in ipairs(names) do
      all = all and meets(shape, name, match[name])
    end
    if all then return true end
  end
  return false
end

-- The two that exclude each other, or all where it takes more.
local function culprits(match, names)
  for i, name in ipairs(names) do
    for j = i + 1, #names do
      if not can_be(match, { name, names[j] }) then return { name, names[j] } end
    end
  end
  return names
end

--- nil when some event can meet the match, else why none does. A condition that nothing known here meets by itself may
--- be about what is not known here, and is left out.
function M.never(match)
  local names = {}
  for name, cond in pairs(match) do
    if (HAS[name] or MEETS[name]) and can_be({ [name] = cond }, { name }) then names[#names + 1] = name end
  end
  if #names < 2 or can_be(match, names) then return nil end
  table.sort(names)
  return "no event has what it wants of " .. table.concat(culprits(match, names), " and of ")
end

return M
