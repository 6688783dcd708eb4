-- SPDX-License-Identifier: MIT
-- Match tables: { protocol = "tcp", dst_port = { 443, "8000-8100" } } over the fields of events. Turns each field into
-- a condition of one of four kinds and says what is wrong with what cannot be one; evaluates nothing.
--   bytes   set[0..255] = true, list     what one byte of the event may be
--   ranges  list of { from, before }     numbers, sorted, apart from each other
--   texts   set[text] = true, list
--   nets    list of { family, len, bytes }, see network.lua
local bit = require("bit")
local ffi = require("ffi")
local cidr = require("cellflow.cidr")
local event = require("cellflow.event")
local names = require("cellflow.names")
local network = require("cellflow.network")
local options = require("cellflow.options")
local place = require("cellflow.place")
local suggest = require("cellflow.suggest")

local C = ffi.C
local M = {}

local TCP_FLAGS = "FSRPAUEC" -- by bit, from the lowest
local U32 = 2 ^ 32 - 1
local EXACT = 2 ^ 53 - 1 -- the last whole number that an event's field shows exactly

-- The least double above x >= 0: what is not a whole number has no other neighbour.
local function next_double(x)
  local bits = ffi.new("union { double number; uint64_t bits; }", { number = x })
  bits.bits = bits.bits + 1
  return bits.number
end

local function number_of(text, whole)
  return text:match(whole and "^%d+$" or "^%d+%.?%d*$") and tonumber(text)
end

-- "80", "1024-65535", "1024-" -> both ends, or nil.
local function ends_of(text, spec)
  local from, to = text:match("^%s*([%d.]+)%s*%-%s*([%d.]*)%s*$")
  if not from then
    from = number_of(text, spec.whole)
    return from, from
  end
  return number_of(from, spec.whole), to == "" and spec.high or number_of(to, spec.whole)
end

local function wrong_number(spec, value, inside)
  local high = spec.high < math.huge and ("from %d to %s"):format(spec.low, ("%d"):format(spec.high))
    or ("of at least %d"):format(spec.low)
  return nil, ('must be a %snumber %s or a range like "%s", got %s%s'):format(spec.whole and "whole " or "", high,
    spec.example, inside and inside .. " in " or "", options.describe(value))
end

-- A number or range within `spec` -> { from, before }.
local function range(value, spec)
  local from, to = value, value
  if type(value) == "string" then from, to = ends_of(value, spec) end
  if type(from) ~= "number" or not to then return wrong_number(spec, value) end
  for _, number in ipairs({ from, to }) do
    if not (number >= spec.low and number <= spec.high) or spec.whole and number % 1 ~= 0 then
      return wrong_number(spec, value, type(value) == "string" and from ~= to and ("%.14g"):format(number))
    end
  end
  if from > to then
    return nil, ('%s runs backwards; write "%.14g-%.14g"'):format(options.describe(value), to, from)
  end
  return { from, spec.whole and to + 1 or to < math.huge and next_double(to) or to }
end

local function numbers(low, high, example, whole)
  local spec = { low = low, high = high, example = example, whole = whole ~= false }
  return { kind = "ranges", one = function(value) return range(value, spec) end }
end

-- A number that is one byte of the event.
local function byte_numbers(example)
  local spec = { low = 0, high = 255, example = example, whole = true }
  return { kind = "bytes", one = function(value)
    local span, wrong = range(value, spec)
    if not span then return nil, wrong end
    local bytes = {}
    for byte = span[1], span[2] - 1 do bytes[#bytes + 1] = byte end
    return bytes
  end }
end

local function words(by_number, otherwise)
  local numbers_of = {}
  for number, word in pairs(by_number) do numbers_of[word] = number end
  local choose = options.choice(numbers_of)
  return { kind = "bytes", one = function(value)
    local number, wrong = choose(value)
    if not number then return nil, wrong .. (type(value) == "number" and otherwise or "") end
    return { number }
  end }
end

local function all_with(flags)
  local bytes = {}
  for byte = 0, 255 do
    if bit.band(byte, flags) == flags then bytes[#bytes + 1] = byte end
  end
  return bytes
end

local function tcp_flags(text)
  if type(text) ~= "string" or text == "" then
    return nil, ('must be letters of %s that are all to be set, like "SA", got %s'):format(TCP_FLAGS,
      options.describe(text))
  end
  local flags = 0
  for letter in text:gmatch(".") do
    local index = TCP_FLAGS:find(letter, 1, true)
    if not index then
      return nil, ("%s: there is no flag %s, only letters of %s"):format(options.describe(text),
        options.describe(letter), TCP_FLAGS)
    end
    flags = bit.bor(flags, bit.lshift(1, index - 1))
  end
  return all_with(flags)
end

local function truth(value)
  if type(value) ~= "boolean" then return nil, "must be true or false, got " .. options.describe(value) end
  return { value and 1 or 0 }
end

local function texts(size)
  return { kind = "texts", one = options.text(size) }
end

local function make_fields(core)
  local by_number = names.new(core)
  local address = { kind = "nets", one = function(value) return network.parse(core, value) end }
  local port = numbers(0, 65535, "1024-65535")
  local count = numbers(1, EXACT, "1000-2000")
  local moment = numbers(0, math.huge, "1700000000-1800000000", false)
  local fields = {
    protocol = words(by_number.protocol, "; a number goes into protocol_number"),
    protocol_number = byte_numbers("50-51"), icmp_type = byte_numbers("3-4"), icmp_code = byte_numbers("0-3"),
    tcp_flags = { kind = "bytes", one = tcp_flags },
    src_addr = address, dst_addr = address, src_port = port, dst_port = port,
    icmp_id = numbers(0, 65535, "1-100"), vlan = numbers(0, 4095, "100-199"),
    mark = numbers(1, U32, "1-255"), ifindex = numbers(1, U32, "2-9"), cpu = numbers(0, 65535, "0-3"),
    packet_count = count, byte_count = count, reply_packet_count = count, reply_byte_count = count, seq = count,
    duration = numbers(0, math.huge, "0.5-10", false), time = moment, first_seen = moment, last_seen = moment,
    cell_id = texts(C.CF_NAME_LEN), interface = texts(C.CF_IFNAME_LEN), prefix = texts(C.CF_EVENT_PREFIX_LEN),
    nft_rule = texts(C.CF_EVENT_PREFIX_LEN),
  }
  for _, name in ipairs({ "kind", "source", "witnesses", "hook", "direction", "verdict", "family", "close_reason" }) do
    fields[name] = words(by_number[name], "")
  end
  for name in pairs(event.truths) do fields[name] = { kind = "bytes", one = truth } end
  return fields
end

local join = {}

function join.bytes(items)
  local cond = { kind = "bytes", set = {}, list = {} }
  for _, bytes in ipairs(items) do
    for _, byte in ipairs(bytes) do
      if not cond.set[byte] then
        cond.set[byte], cond.list[#cond.list + 1] = true, byte
      end
    end
  end
  return cond
end

function join.texts(items)
  local cond = { kind = "texts", set = {}, list = items }
  for _, text in ipairs(items) do cond.set[text] = true end
  return cond
end

function join.nets(items) return { kind = "nets", list = items } end

function join.ranges(items)
  table.sort(items, function(a, b) return a[1] < b[1] end)
  local list = {}
  for _, span in ipairs(items) do
    local last = list[#list]
    if last and span[1] <= last[2] then
      last[2] = math.max(last[2], span[2])
    else
      list[#list + 1] = { span[1], span[2] }
    end
  end
  return { kind = "ranges", list = list }
end

local function not_a_list(value)
  for key in pairs(value) do
    if type(key) ~= "number" then
      return ("takes a value or a list of values; %s in it has a name"):format(options.describe(value[key]))
    end
  end
  if #value == 0 then return "must not be an empty list" end
end

local function condition(field, value)
  local list = type(value) == "table" and (cidr.texts(value) or value) or { value }
  local wrong = not_a_list(list)
  if wrong then return nil, wrong end
  local items = {}
  for i = 1, #list do
    items[i], wrong = field.one(list[i])
    if not items[i] then return nil, wrong end
  end
  return join[field.kind](items)
end

-- Most rules of a long policy say the same few things: those conditions are made once.
local function remembered(self, name, value)
  local known = self.known[name]
  local cond, wrong = known[value], nil
  if not cond then
    cond, wrong = condition(self.fields[name], value)
    if cond and type(value) ~= "table" then known[value] = cond end
  end
  return cond, wrong
end

local function check_names(self, title, given)
  if type(given) ~= "table" then
    place.raise(("%s takes a table of fields, got %s"):format(title, options.describe(given)))
  end
  local found = {}
  for name, value in pairs(given) do
    if type(name) ~= "string" then
      place.raise(("%s: fields are written name = value, but %s has no name"):format(title, options.describe(value)))
    elseif not self.fields[name] and not self.own[name] then
      place.raise(('%s: a match has no field "%s"%s'):format(title, name, suggest.hint(name, self.names)))
    elseif self.fields[name] then
      found[#found + 1] = name
    end
  end
  table.sort(found) -- which of two errors is told must not depend on chance
  return found
end

--- A reader of match tables. `own`: list of names that may stand in the table besides fields. read(title, given)
--- returns { field = condition }, and raises at the policy's line; `title` is what the match belongs to.
function M.new(core, own)
  local self = { fields = make_fields(core), known = {}, own = {}, names = {} }
  for name in pairs(self.fields) do
    self.known[name], self.names[#self.names + 1] = {}, name
  end
  for _, name in ipairs(own or {}) do
    self.own[name], self.names[#self.names + 1] = true, name
  end
  table.sort(self.names)
  local reader = { fields = self.fields }

  function reader.read(title, given)
    local found, out = check_names(self, title, given), {}
    for _, name in ipairs(found) do
      local cond, wrong = remembered(self, name, given[name])
      if wrong then place.raise(("%s: %s %s"):format(title, name, wrong)) end
      out[name] = cond
    end
    return out
  end
  return reader
end

--- The fields that every event has, and so every match.
M.fields = event.fields

return M
