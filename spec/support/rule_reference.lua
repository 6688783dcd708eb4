-- SPDX-License-Identifier: MIT
-- What rules mean, the slow and plain way: one rule after the other, one field after the other. Shares no code with
-- lua/cellflow: match tables are read here a second time. Events are plain tables of field = value, where an address is
-- { family = 4 or 6, groups of 16 bits }; what is nil is absent.
local M = {}

local function groups_of_ipv4(text)
  local a, b, c, d = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  return { family = 4, a * 256 + b, c * 256 + d }
end

local function hex_groups(text)
  local groups = {}
  for group in text:gmatch("%x+") do groups[#groups + 1] = tonumber(group, 16) end
  return groups
end

local function groups_of_ipv6(text)
  local head, tail = text:match("^(.-)::(.*)$")
  local address, rest = hex_groups(head or text), hex_groups(tail or "")
  while #address + #rest < 8 do address[#address + 1] = 0 end
  for _, group in ipairs(rest) do address[#address + 1] = group end
  address.family = 6
  return address
end

--- An address of events, from its text.
function M.address(text)
  return text:find(":", 1, true) and groups_of_ipv6(text) or groups_of_ipv4(text)
end

local function in_network(text)
  local host, len = text:match("^(.*)/(%d+)$")
  local net = M.address(host or text)
  len = tonumber(len) or 16 * #net
  return function(address)
    if address.family ~= net.family then return false end
    local left = len
    for i = 1, #net do
      if left <= 0 then return true end
      local unit = left >= 16 and 1 or 2 ^ (16 - left)
      if math.floor(address[i] / unit) ~= math.floor(net[i] / unit) then return false end
      left = left - 16
    end
    return true
  end
end

local function in_range(value)
  local from, to = tostring(value):match("^([%d.]+)%-([%d.]*)$")
  from, to = tonumber(from or value), tonumber(to or value) or math.huge
  return function(number) return number >= from and number <= to end
end

local function has_letters(letters)
  return function(flags)
    for letter in letters:gmatch(".") do
      if not flags:find(letter, 1, true) then return false end
    end
    return true
  end
end

local function equal_to(wanted)
  return function(value) return value == wanted end
end

local TESTS = { src_addr = in_network, dst_addr = in_network, tcp_flags = has_letters }
for _, name in ipairs({ "protocol_number", "src_port", "dst_port", "icmp_type", "icmp_code", "icmp_id", "vlan", "mark",
  "ifindex", "cpu", "packet_count", "byte_count", "seq", "duration", "time", "first_seen", "last_seen" }) do
  TESTS[name] = in_range
end

local function any_of(tests)
  if #tests == 1 then return tests[1] end
  return function(value)
    for i = 1, #tests do
      if tests[i](value) then return true end
    end
    return false
  end
end

--- A list of match tables, as a policy writes them -> a function (event) that returns the number of the first that
--- matches, 0 when none does.
function M.new(matches)
  local rules = {}
  for i, match in ipairs(matches) do
    rules[i] = {}
    for field, wanted in pairs(match) do
      local tests = {}
      for j, value in ipairs(type(wanted) == "table" and wanted or { wanted }) do
        tests[j] = (TESTS[field] or equal_to)(value)
      end
      rules[i][#rules[i] + 1] = { field = field, holds = any_of(tests) }
    end
  end
  return function(event)
    for i = 1, #rules do
      local rule, all = rules[i], true
      for j = 1, #rule do
        local value = event[rule[j].field]
        if value == nil or not rule[j].holds(value) then
          all = false
          break
        end
      end
      if all then return i end
    end
    return 0
  end
end

return M
