-- SPDX-License-Identifier: MIT
-- What rules mean, the slow and plain way: one rule after the other, one field after the other, one wanted value after
-- the other. Shares no code with lua/cellflow: match tables are read here a second time. Events are plain tables of
-- field = value, where an address is { family = 4 or 6, groups of 16 bits }; what is nil is absent.
local ffi = require("ffi")

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

-- Everything about an event becomes a number with a name of its own: "dst_port", "dst_addr 3" (a group), "tcp_flags S";
-- words are numbered as they come. So a wanted value is a few ranges that numbers must be in. What is absent is no
-- number, and in no range.
local ABSENT = 0 / 0
local NUMBERS_MAX = 128

local function new_numbers()
  return { slots = {}, count = 0, words = {}, words_count = 0 }
end

local function slot_of(self, name)
  if not self.slots[name] then
    self.slots[name], self.count = self.count, self.count + 1
    assert(self.count < NUMBERS_MAX)
  end
  return self.slots[name]
end

local function number_of(self, word)
  if not self.words[word] then
    self.words_count = self.words_count + 1
    self.words[word] = self.words_count
  end
  return self.words[word]
end

local function network(self, field, text)
  local host, len = text:match("^(.*)/(%d+)$")
  local net = M.address(host or text)
  len = tonumber(len) or 16 * #net
  local ranges = { { slot_of(self, field .. " family"), net.family, net.family } }
  for i = 1, #net do
    local left = len - 16 * (i - 1)
    if left > 0 then
      local unit = left >= 16 and 1 or 2 ^ (16 - left)
      local from = math.floor(net[i] / unit) * unit
      ranges[#ranges + 1] = { slot_of(self, field .. " " .. i), from, from + unit - 1 }
    end
  end
  return ranges
end

local function letters(self, field, text)
  local ranges = {}
  for letter in text:gmatch(".") do ranges[#ranges + 1] = { slot_of(self, field .. " " .. letter), 1, 1 } end
  return ranges
end

local function one_range(self, field, value)
  local from, to = tostring(value):match("^([%d.]+)%-([%d.]*)$")
  return { { slot_of(self, field), tonumber(from or value), tonumber(to or value) or math.huge } }
end

local function equal(self, field, value)
  return { { slot_of(self, field), number_of(self, value), number_of(self, value) } }
end

local WANTED = { src_addr = network, dst_addr = network, tcp_flags = letters }
for _, name in ipairs({ "protocol_number", "src_port", "dst_port", "icmp_type", "icmp_code", "icmp_id", "vlan", "mark",
  "ifindex", "cpu", "packet_count", "byte_count", "reply_packet_count",
  "reply_byte_count", "seq", "duration", "time", "first_seen", "last_seen" }) do
  WANTED[name] = one_range
end

local function put(self, out, name, value)
  local slot = self.slots[name]
  if slot then out[slot] = value end
end

local function put_event(self, out, event)
  for slot = 0, self.count - 1 do out[slot] = ABSENT end
  for field, value in pairs(event) do
    if type(value) == "table" then
      put(self, out, field .. " family", value.family)
      for i = 1, #value do put(self, out, field .. " " .. i, value[i]) end
    elseif field == "tcp_flags" then
      for letter in value:gmatch(".") do put(self, out, "tcp_flags " .. letter, 1) end
    else
      put(self, out, field, type(value) == "number" and value or number_of(self, value))
    end
  end
end

-- Appends the steps of one field of a rule. Where it goes on is written into each of them, in place of loops within
-- loops: after a value that is met at the next field, after one that is not at the next value, after the last of them
-- at the next rule, which those in `failing` are still to be told.
local function add_field(self, steps, field, values, failing)
  local met = {}
  for i, value in ipairs(values) do
    local begin = #steps + 1
    for _, each in ipairs((WANTED[field] or equal)(self, field, value)) do
      steps[#steps + 1] = { slot = each[1], from = each[2], to = each[3], yes = #steps + 2 }
    end
    met[#met + 1] = steps[#steps]
    for at = begin, #steps do
      if i < #values then steps[at].no = #steps + 1 else failing[#failing + 1] = steps[at] end
    end
  end
  for _, each in ipairs(met) do each.yes = #steps + 1 end
end

local function steps_of(self, matches)
  local steps = {}
  for i, match in ipairs(matches) do
    local failing = {}
    for field, wanted in pairs(match) do
      add_field(self, steps, field, type(wanted) == "table" and wanted or { wanted }, failing)
    end
    steps[#steps + 1] = { rule = i }
    for _, each in ipairs(failing) do each.no = #steps + 1 end
  end
  return steps
end

local step_array = ffi.typeof("struct { double from, to; int32_t slot, rule, yes, no; }[?]")

--- A list of match tables, as a policy writes them -> a function (event) that returns the number of the first that
--- matches, 0 when none does.
function M.new(matches)
  local self, numbers = new_numbers(), ffi.new("double[?]", NUMBERS_MAX)
  local list = steps_of(self, matches)
  local steps, count = step_array(#list + 1), #list
  for i, each in ipairs(list) do -- in one piece of memory: ten thousand rules are walked for each event
    steps[i].from, steps[i].to, steps[i].slot = each.from or 0, each.to or 0, each.slot or 0
    steps[i].rule, steps[i].yes, steps[i].no = each.rule or 0, each.yes or 0, each.no or 0
  end
  return function(event)
    put_event(self, numbers, event)
    local at = 1
    while at <= count do
      local rule = steps[at].rule
      if rule ~= 0 then return rule end
      local number = numbers[steps[at].slot]
      at = number >= steps[at].from and number <= steps[at].to and steps[at].yes or steps[at].no
    end
    return 0
  end
end

return M
