-- SPDX-License-Identifier: MIT
-- net("10.0.0.0/8"):has(ev.dst_addr): is an address in a network, or in one of a list of them. Both families; a bare
-- address is a network of one. Leaves parsing to network.lua.
local bit = require("bit")
local ffi = require("ffi")
local address = require("cellflow.address")
local network = require("cellflow.network")
local options = require("cellflow.options")
local place = require("cellflow.place")

local band = bit.band
local M = {}

local NETS_MAX = 1024 -- distinct net("...") texts kept
local ANSWERS_MAX = 8192 -- addresses whose answer one net keeps
-- A net -> its data. Not in the net itself, where next() would find it: the data has pointers in it.
local data_of = setmetatable({}, { __mode = "k" })

local has_members = {}

local function has_address(nets, parse, text)
  local bytes = nets.bytes
  local family = parse(text, bytes)
  if not family then
    place.raise(('net:has: "%s" is not an address'):format(text))
  end
  local w = ffi.cast("const int32_t *", bytes)
  for i = 1, #nets do
    local n = nets[i]
    if n.family == family and band(w[0], n.mask[1]) == n.word[1] and band(w[1], n.mask[2]) == n.word[2]
      and band(w[2], n.mask[3]) == n.word[3] and band(w[3], n.mask[4]) == n.word[4] then
      return true
    end
  end
  return false
end

local function remember(nets, text)
  local answer = has_address(nets, nets.parse, text)
  if nets.known >= ANSWERS_MAX then
    nets.answers, nets.known = {}, 0
  end
  nets.answers[text], nets.known = answer, nets.known + 1
  return answer
end

--- Whether the address text is in the net; an absent address (nil) is in none.
function has_members.has(net, text)
  local nets = type(net) == "table" and data_of[net]
  if not nets then
    place.raise("net:has is called with a colon: net(...):has(addr)")
  end
  if text == nil then return false end
  if type(text) ~= "string" then
    place.raise(("net:has takes an address as text, got a %s"):format(type(text)))
  end
  local answer = nets.answers[text]
  if answer ~= nil then return answer end
  return (remember(nets, text))
end

local net_metatable = {
  __metatable = false,
  __index = function(_, name)
    if name == "has" then return has_members.has end
    place.raise(('a net has no member "%s", only has(addr)'):format(tostring(name)))
  end,
  __newindex = function() place.raise("a net cannot be changed") end,
  __tostring = function(net) return "net " .. table.concat(data_of[net].texts, ", ") end,
}

local function check_text(text)
  if type(text) ~= "string" then
    place.raise(("net takes a network as text, or a list of them, got %s"):format(options.describe(text)))
  end
end

local function parse_network(core, text)
  check_text(text)
  local parsed, wrong = network.parse(core, text)
  if not parsed then place.raise("net " .. wrong) end
  local w = ffi.cast("const int32_t *", parsed.bytes)
  return { family = parsed.family, word = { w[0], w[1], w[2], w[3] }, mask = network.mask_words(parsed.len) }
end

local function build(core, parse, list)
  local nets = { answers = {}, known = 0, texts = {}, parse = parse, bytes = ffi.new("uint8_t[16]") }
  for i = 1, #list do
    nets[i] = parse_network(core, list[i])
    nets.texts[i] = list[i]
  end
  local net = setmetatable({}, net_metatable)
  data_of[net] = nets
  return net
end

--- The texts that a net was made of; nil when `what` is no net.
function M.texts(what)
  local nets = type(what) == "table" and data_of[what]
  return nets and nets.texts or nil
end

--- The word `net` for policies. Texts are remembered, so that net("...") inside a hook costs one table lookup.
function M.new(core)
  local parse = address.parser(core)
  local nets, count = {}, 0

  local function add(text)
    local made = build(core, parse, { text })
    if count >= NETS_MAX then
      nets, count = {}, 0
    end
    nets[text], count = made, count + 1
    return made
  end

  return function(what)
    if type(what) == "table" then return (build(core, parse, what)) end
    check_text(what)
    return nets[what] or add(what)
  end
end

return M
