-- SPDX-License-Identifier: MIT
-- One condition of a match table against one event, the plain way: for `explain`, which says what a rule wants and what
-- the event has, and for whom the index of rules (rule_index.lua) is a second opinion. Shares nothing with that.
local bit = require("bit")
local ffi = require("ffi")
local event = require("cellflow.event")
local names = require("cellflow.names")

local C = ffi.C
local M = {}

local SHOWN_MAX = 6 -- values of a long list that are named
local NUMBERS = { protocol_number = true, icmp_type = true, icmp_code = true }

local function in_net(bytes, family, net)
  if family ~= net.family then return false end
  for i = 0, math.floor(net.len / 8) - 1 do
    if bytes[i] ~= net.bytes[i] then return false end
  end
  local rest = net.len % 8
  if rest == 0 then return true end
  local at, shift = math.floor(net.len / 8), 8 - rest
  return bit.rshift(bytes[at], shift) == bit.rshift(net.bytes[at], shift)
end

local function meets_nets(raw, name, cond)
  for _, net in ipairs(cond.list) do
    if in_net(raw[name], raw.family, net) then return true end
  end
  return false
end

local function meets_ranges(value, cond)
  for _, span in ipairs(cond.list) do
    if value >= span[1] and value < span[2] then return true end
  end
  return false
end

-- The byte that stands for what the event shows.
local function byte_of(self, name, value)
  if NUMBERS[name] then return value end
  if event.truths[name] then return value and 1 or 0 end
  return self.numbers[name][value]
end

local function range_text(span)
  local from, before = span[1], span[2]
  if before == math.huge then return ("%.14g-"):format(from) end
  local last = from % 1 == 0 and before % 1 == 0 and before - 1 or before
  return from == last and ("%.14g"):format(from) or ("%.14g-%.14g"):format(from, last)
end

-- Letters of the least sets of flags: the others are those and more.
local function flags_texts(self, cond)
  local texts = {}
  for flags = 0, 255 do
    local is_least = cond.set[flags]
    for b = 0, 7 do
      if bit.band(flags, bit.lshift(1, b)) ~= 0 and cond.set[flags - bit.lshift(1, b)] then is_least = false end
    end
    if is_least then texts[#texts + 1] = self.by_number.tcp_flags[flags] end
  end
  return texts
end

local function byte_texts(self, name, cond)
  if name == "tcp_flags" then return flags_texts(self, cond) end
  local texts, bytes = {}, {}
  for byte in pairs(cond.set) do bytes[#bytes + 1] = byte end
  table.sort(bytes)
  for _, byte in ipairs(bytes) do
    if NUMBERS[name] then
      texts[#texts + 1] = tostring(byte)
    elseif event.truths[name] then
      texts[#texts + 1] = tostring(byte == 1)
    else
      texts[#texts + 1] = self.by_number[name][byte] or tostring(byte)
    end
  end
  return texts
end

local function net_text(self, net)
  local text = ffi.string(self.out, self.core.cf_address_text(net.bytes, net.family, self.out))
  local whole = net.family == 4 and 32 or 128
  return net.len == whole and text or ("%s/%d"):format(text, net.len)
end

local function texts_of(self, name, cond)
  if cond.kind == "bytes" then return byte_texts(self, name, cond) end
  local texts = {}
  for i, item in ipairs(cond.list) do
    texts[i] = cond.kind == "ranges" and range_text(item) or cond.kind == "nets" and net_text(self, item)
      or ('"%s"'):format(item)
  end
  return texts
end

local function joined(texts)
  if #texts == 1 then return texts[1] end
  local shown = {}
  for i = 1, math.min(#texts, SHOWN_MAX) do shown[i] = texts[i] end
  local more = #texts > SHOWN_MAX and (" or one of %d more"):format(#texts - SHOWN_MAX) or ""
  return table.concat(shown, more == "" and " or " or ", ") .. more
end

--- { meets(raw, name, cond) -> boolean, has(raw, name) -> text, wants(name, cond) -> text } for conditions of
--- match.lua.
function M.new(core)
  local self = { core = core, by_number = names.new(core), numbers = {},
    out = ffi.new("char[?]", C.CF_ADDRESS_TEXT_LEN) }
  for name, words in pairs(self.by_number) do
    self.numbers[name] = {}
    for number, word in pairs(words) do self.numbers[name][word] = number end
  end
  local condition = {}
  function condition.meets(raw, name, cond)
    local value = event.get[name](raw)
    if value == nil then return false end
    if cond.kind == "nets" then return meets_nets(raw, name, cond) end
    if cond.kind == "ranges" then return meets_ranges(value, cond) end
    if cond.kind == "texts" then return cond.set[value] == true end
    return cond.set[byte_of(self, name, value)] == true
  end
  function condition.has(raw, name)
    local value = event.get[name](raw)
    if value == nil then return "absent" end
    return type(value) == "number" and ("%.14g"):format(value) or tostring(value)
  end
  function condition.wants(name, cond) return joined(texts_of(self, name, cond)) end
  return condition
end

return M
