-- SPDX-License-Identifier: MIT
-- From addresses to classes (see class_sets.lua): the longest network that holds an address says which rules it meets.
-- The prefix lengths in use are searched by halves, with one hash look-up for each: an entry that is found says
-- "longer", so networks leave markers at the lengths on the way to their own, and each entry knows the class of the
-- longest network that holds it (Waldvogel and others, 1997). 33 lengths of IPv4 are 6 look-ups, 129 of IPv6 are 8.
local bit = require("bit")
local ffi = require("ffi")
local compiler = require("cellflow.compiler")
local network = require("cellflow.network")
local perfect_hash = require("cellflow.perfect_hash")

local band, rshift = bit.band, bit.rshift

local M = {}

local NODE = 8 -- words of a length: its mask, the nodes of the shorter and the longer lengths, two unused
local int_array = ffi.typeof("int32_t[?]")
local words_type = ffi.typeof("const int32_t *")

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

-- A balanced tree over lengths; returns its root, 0 when there is none.
local function add_nodes(nodes, lengths, from, to, depth)
  if from > to then return 0 end
  nodes.depth = math.max(nodes.depth, depth)
  local middle = rshift(from + to, 1)
  local node = { len = lengths[middle], mask = network.mask_words(lengths[middle]) }
  nodes[#nodes + 1] = node
  local number = #nodes
  node.left = add_nodes(nodes, lengths, from, middle - 1, depth + 1)
  node.right = add_nodes(nodes, lengths, middle + 1, to, depth + 1)
  return number
end

local function make_tree(used)
  local nodes, list = { depth = 0 }, {}
  for len in pairs(used) do list[#list + 1] = len end
  table.sort(list)
  add_nodes(nodes, list, 1, #list, 1)
  return nodes
end

-- Where an entry goes, leaving markers where the search has to be told that there is something longer.
local function place_entry(entries, nodes, net)
  local number = 1
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

local function add_markers(entries, trees)
  local real = {}
  for _, entry in pairs(entries) do real[#real + 1] = entry end
  for _, entry in ipairs(real) do
    entry.node = place_entry(entries, trees[entry.net.family], entry.net)
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
end

-- The classes of the networks that rules name; the rest of the entries need not outlive the making.
local function classes_by_key(entries)
  local classes = {}
  for key, entry in pairs(entries) do
    if #entry.rules > 0 then classes[key] = entry.class end
  end
  return classes
end

local function make_table(entries, family, width)
  local list = {}
  for _, entry in pairs(entries) do
    if entry.net.family == family then
      local w, words = ffi.cast(words_type, entry.net.bytes), {}
      for i = 1, width do words[i] = w[i - 1] end
      list[#list + 1] = { words = words, number = entry.node * NODE, value = entry.class }
    end
  end
  return perfect_hash.new(list, width)
end

-- Node 0 is the end: its neighbours are itself, and no entry has its number.
local function flatten(nodes)
  local flat = int_array((#nodes + 1) * NODE)
  for number, node in ipairs(nodes) do
    local at = number * NODE
    for i = 0, 3 do flat[at + i] = node.mask[i + 1] end
    flat[at + 4], flat[at + 5] = node.left * NODE, node.right * NODE
  end
  return flat
end

-- A look-up without a branch: whether there is an entry depends on the traffic, and a compiled loop that has to guess
-- that is several times slower than one that goes all the way each time.
local LOOK_UP = { [4] = [[
      do
        local a = band(a, nodes[node])
        local h, g = hash(a, 0, 0, 0, node)
        local at = lshift(slot(g, displacements[band(h, last_bucket)], last), 2)
        local unlike = bor(bxor(slots[at], a), bxor(slots[at + 1], node))
        unlike = rshift(bor(unlike, 0 - unlike), 31)
        class = bxor(class, band(bxor(class, slots[at + 2]), unlike - 1))
        node = nodes[node + 5 - unlike]
      end
]], [6] = [[
      do
        local a, b = band(a, nodes6[node]), band(b, nodes6[node + 1])
        local c, d = band(c, nodes6[node + 2]), band(d, nodes6[node + 3])
        local h, g = hash(a, b, c, d, node)
        local at = lshift(slot(g, displacements6[band(h, last_bucket6)], last6), 3)
        local unlike = bor(bxor(slots6[at], a), bxor(slots6[at + 1], b), bxor(slots6[at + 2], c),
          bxor(slots6[at + 3], d), bxor(slots6[at + 4], node))
        unlike = rshift(bor(unlike, 0 - unlike), 31)
        class = bxor(class, band(bxor(class, slots6[at + 5]), unlike - 1))
        node = nodes6[node + 5 - unlike]
      end
]] }
local SEARCH = [[
local bit, ffi, hash, slot, table, nodes, table6, nodes6, base, offset = ...
local band, bor, bxor, lshift, rshift = bit.band, bit.bor, bit.bxor, bit.lshift, bit.rshift
local slots, last, displacements, last_bucket = table.slots, table.last, table.displacements, table.last_bucket
local slots6, last6, displacements6 = table6.slots, table6.last, table6.displacements
local last_bucket6 = table6.last_bucket
local cast, words = ffi.cast, ffi.typeof("const int32_t *")
return function(...) -- see compiler.lua
  local raws, count, out = ...
  for i = 0, count - 1 do
    local raw = raws[i]
    local w = cast(words, raw)
    local a, b, c, d = w[offset], w[offset + 1], w[offset + 2], w[offset + 3]
    local class, node = base, 8
    if raw.family == 4 then
%s
    elseif raw.family == 6 then
%s
    end
    out[i] = class
  end
end]]

--- { search = function(offset), class_of = function(net) }. search makes a function (count, raws, count, out) that
--- finds the classes of a batch, by the address that lies `offset` bytes into an event; class_of gives the class of a
--- network that a rule names: the rules that hold all of it.
function M.new(sets, base, holders)
  local entries, lengths = collect(holders)
  local trees = { [4] = make_tree(lengths[4]), [6] = make_tree(lengths[6]) }
  add_markers(entries, trees)
  give_classes(sets, base, entries)
  local table4, table6 = make_table(entries, 4, 1), make_table(entries, 6, 4)
  local text = SEARCH:format(LOOK_UP[4]:rep(trees[4].depth), LOOK_UP[6]:rep(trees[6].depth))
  local flat4, flat6 = flatten(trees[4]), flatten(trees[6])
  local self, classes = {}, classes_by_key(entries)

  function self.class_of(net) return classes[key_of(net.family, net.bytes, net.len)] end
  function self.search(offset)
    local loops = compiler.loops(text, "=networks", bit, ffi, perfect_hash.hash, perfect_hash.slot, table4, flat4,
      table6, flat6, base, offset / 4)
    return loops[1].by_rounds
  end
  return self
end

return M
