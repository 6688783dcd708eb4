-- SPDX-License-Identifier: MIT
-- From addresses to classes (see class_sets.lua): the longest network that holds an address says which rules it meets.
-- A hash table for each prefix length in use, searched by halves: an entry that is found says "longer", so networks
-- leave markers at the lengths on the way to their own, and each entry knows the class of the longest network that
-- holds it (Waldvogel and others, 1997). 32 lengths of IPv4 are 6 look-ups at most, 128 of IPv6 are 8.
local bit = require("bit")
local ffi = require("ffi")
local network = require("cellflow.network")

local band, bor, bxor = bit.band, bit.bor, bit.bxor
local lshift, rol, rshift, tobit = bit.lshift, bit.rol, bit.rshift, bit.tobit

local M = {}

local SLOT = 8 -- words: four of the address, the length's node, the class, two unused
local int_array = ffi.typeof("int32_t[?]")
local words_type = ffi.typeof("const int32_t *")

local function hash(a, b, c, d, node)
  local h = bxor(a, rol(b, 9), rol(c, 18), rol(d, 27), lshift(node, 16))
  h = tobit(h + lshift(h, 10))
  h = bxor(h, rshift(h, 6))
  h = tobit(h + lshift(h, 3))
  h = bxor(h, rshift(h, 11))
  h = tobit(h + lshift(h, 15))
  return bxor(h, rshift(h, 16))
end

-- Sorts a network before all that lie within it.
local function key_of(family, bytes, len)
  return string.char(family) .. ffi.string(bytes, 16) .. string.char(len)
end

local function collect(holders)
  local entries, lengths = {}, { [4] = {}, [6] = {} }
  for _, holder in ipairs(holders) do
    for _, net in ipairs(holder.cond.list) do
      local key = key_of(net.family, net.bytes, net.len)
      local entry = entries[key]
      if not entry then
        entry = { net = net, rules = {} }
        entries[key] = entry
      end
      entry.rules[#entry.rules + 1] = holder.rule
      lengths[net.family][net.len] = true
    end
  end
  return entries, lengths
end

-- A balanced tree over the lengths of one family; returns its root, 0 when there is none.
local function add_nodes(nodes, lengths, from, to)
  if from > to then return 0 end
  local middle = rshift(from + to, 1)
  local node = { len = lengths[middle], mask = network.mask_words(lengths[middle]) }
  nodes[#nodes + 1] = node
  local number = #nodes
  node.left = add_nodes(nodes, lengths, from, middle - 1)
  node.right = add_nodes(nodes, lengths, middle + 1, to)
  return number
end

local function make_tree(lengths)
  local nodes, roots = {}, {}
  for family, used in pairs(lengths) do
    local list = {}
    for len in pairs(used) do list[#list + 1] = len end
    table.sort(list)
    roots[family] = add_nodes(nodes, list, 1, #list)
  end
  return nodes, roots
end

-- Where an entry goes, leaving markers where the search has to be told that there is something longer.
local function place_entry(entries, nodes, roots, net)
  local number = roots[net.family]
  while nodes[number].len ~= net.len do
    local node = nodes[number]
    if node.len < net.len then
      local bytes = ffi.new("uint8_t[16]", net.bytes)
      network.mask(bytes, node.len)
      local key = key_of(net.family, bytes, node.len)
      if not entries[key] then
        entries[key] = { net = { family = net.family, bytes = bytes, len = node.len }, rules = {}, node = number }
      end
      number = node.right
    else
      number = node.left
    end
  end
  return number
end

local function add_markers(entries, nodes, roots)
  local real = {}
  for _, entry in pairs(entries) do real[#real + 1] = entry end
  for _, entry in ipairs(real) do
    entry.node = place_entry(entries, nodes, roots, entry.net)
  end
end

local function holds(outer, inner)
  if outer.family ~= inner.family or outer.len > inner.len then return false end
  local mask = network.mask_words(outer.len)
  local a, b = ffi.cast(words_type, outer.bytes), ffi.cast(words_type, inner.bytes)
  for i = 0, 3 do
    if band(b[i], mask[i + 1]) ~= a[i] then return false end
  end
  return true
end

-- Outer networks come first, so a stack of those around the one in hand gives each the class to begin with.
local function give_classes(sets, base, entries)
  local keys, around = {}, {}
  for key in pairs(entries) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local entry = entries[key]
    while #around > 0 and not holds(around[#around].net, entry.net) do around[#around] = nil end
    local outer = around[#around]
    entry.class = outer and outer.class or base
    if #entry.rules > 0 then
      entry.class = sets.copy(entry.class)
      for _, rule in ipairs(entry.rules) do sets.put(entry.class, rule, true) end
    end
    around[#around + 1] = entry
  end
  return #keys
end

local function fill_slots(entries, count)
  local size = 16
  while size < 2 * count do size = 2 * size end
  local slots = int_array(size * SLOT)
  for _, entry in pairs(entries) do
    local w = ffi.cast(words_type, entry.net.bytes)
    local at = band(hash(w[0], w[1], w[2], w[3], entry.node), size - 1)
    while slots[at * SLOT + 4] ~= 0 do at = band(at + 1, size - 1) end
    at = at * SLOT
    slots[at], slots[at + 1], slots[at + 2], slots[at + 3] = w[0], w[1], w[2], w[3]
    slots[at + 4], slots[at + 5] = entry.node, entry.class
  end
  return slots, size
end

-- masks: four words of each node, then the nodes to the left and right.
local function flatten(nodes, roots)
  local masks, by_family = int_array((#nodes + 1) * SLOT), int_array(256)
  for number, node in ipairs(nodes) do
    local at = number * SLOT
    for i = 0, 3 do masks[at + i] = node.mask[i + 1] end
    masks[at + 4], masks[at + 5] = node.left, node.right
  end
  by_family[4], by_family[6] = roots[4], roots[6]
  return masks, by_family
end

--- { search = function(offset), class_of = function(net) }. search makes a function (raws, count, out) that finds the
--- classes of a batch, by the address that lies `offset` bytes into an event; class_of gives the class of a network
--- that a rule names: the rules that hold all of it. One loop, as in class_values.lua.
function M.new(sets, base, holders)
  local entries, lengths = collect(holders)
  local nodes, roots = make_tree(lengths)
  add_markers(entries, nodes, roots)
  local slots, size = fill_slots(entries, give_classes(sets, base, entries))
  local nodes_flat, root_of = flatten(nodes, roots)
  local self, last = {}, size - 1

  function self.class_of(net) return entries[key_of(net.family, net.bytes, net.len)].class end
  function self.search(offset)
    offset = offset / 4
    return function(raws, count, out)
      local i, node, tried, class = -1, 0, 0, base
      local a, b, c, d = 0, 0, 0, 0
      while true do
        if node == 0 then
          if i >= 0 then out[i] = class end
          i = i + 1
          if i >= count then return end
          local w = ffi.cast(words_type, raws[i])
          a, b, c, d = w[offset], w[offset + 1], w[offset + 2], w[offset + 3]
          node, tried, class = root_of[raws[i].family], 0, base
        else
          local n = node * SLOT
          local ma, mb, mc = band(a, nodes_flat[n]), band(b, nodes_flat[n + 1]), band(c, nodes_flat[n + 2])
          local md = band(d, nodes_flat[n + 3])
          local at = band(hash(ma, mb, mc, md, node) + tried, last) * SLOT
          local owner = slots[at + 4]
          if bor(bxor(slots[at], ma), bxor(slots[at + 1], mb), bxor(slots[at + 2], mc), bxor(slots[at + 3], md),
            bxor(owner, node)) == 0 then
            class, node, tried = slots[at + 5], nodes_flat[n + 5], 0
          elseif owner == 0 then
            node, tried = nodes_flat[n + 4], 0
          else
            tried = tried + 1
          end
        end
      end
    end
  end
  return self
end

return M
