-- SPDX-License-Identifier: MIT
-- From addresses to classes (see class_sets.lua): the longest network that holds an address says which rules it meets.
-- The prefix lengths in use are searched by halves, with one hash look-up for each: an entry that is found says
-- "longer", so networks leave markers at the lengths on the way to their own, and each entry knows the class of the
-- longest network that holds it (Waldvogel and others, 1997). 33 lengths of IPv4 are 6 look-ups, 129 of IPv6 are 8.
local bit = require("bit")
local ffi = require("ffi")
local class_sets = require("cellflow.class_sets")
local compiler = require("cellflow.compiler")
local network = require("cellflow.network")
local perfect_hash = require("cellflow.perfect_hash")

local fill_up = compiler.fill_up
local band, bor, lshift = bit.band, bit.bor, bit.lshift

local M = {}

local BATCH = ffi.C.CF_BATCH_MAX
local TAG_NODE, TAG_SHIFT = 255, 8 - class_sets.UNIT_SHIFT -- classes have UNIT_SHIFT bits to spare, nodes need 8
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

-- A search tree over lengths, as flat as may be; returns its root, 0 when there is none. Of the flat trees it is the
-- one that is full to the left: a length leaves markers where the search goes right, so as few as may be lie there.
local function add_nodes(nodes, lengths, from, to, levels)
  if from > to then return 0 end
  nodes.longest[levels] = math.max(nodes.longest[levels] or 0, lengths[to])
  local middle = math.min(to, from + lshift(1, levels - 1) - 1)
  local node = { len = lengths[middle], mask = network.mask_words(lengths[middle]) }
  nodes[#nodes + 1] = node
  local number = #nodes
  node.left = add_nodes(nodes, lengths, from, middle - 1, levels - 1)
  node.right = add_nodes(nodes, lengths, middle + 1, to, levels - 1)
  return number
end

local function make_tree(used)
  local nodes, list = { depth = 0, longest = {} }, {}
  for len in pairs(used) do list[#list + 1] = len end
  table.sort(list)
  while lshift(1, nodes.depth) <= #list do nodes.depth = nodes.depth + 1 end
  add_nodes(nodes, list, 1, #list, nodes.depth)
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
  for _, entry in pairs(entries) do entry.class = sets.place(entry.class) end
end

-- The classes of the networks that rules name; the rest of the entries need not outlive the making.
local function classes_by_key(entries)
  local classes = {}
  for key, entry in pairs(entries) do
    if #entry.rules > 0 then classes[key] = entry.class end
  end
  return classes
end

-- Class and node in one word: what is found, and whether it is what was looked for.
local function tag_of(class, node) return bor(lshift(class, TAG_SHIFT), node) end

local function make_table(entries, family, width)
  local list = {}
  for _, entry in pairs(entries) do
    if entry.net.family == family then
      local w, words = ffi.cast(words_type, entry.net.bytes), {}
      for i = 1, width do words[i] = w[i - 1] end
      list[#list + 1] = { words = words, number = entry.node * NODE,
        value = tag_of(entry.class, entry.node) }
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

-- Loops over a batch, each short, so that the processor has many events in hand while memory answers for the first of
-- them. `split` puts the addresses of the two families into arrays of their own; `level4` and `level6` take each
-- address one node further, once for each level of the tree; `settle` puts the classes where they belong. None has a
-- branch: which family it is and whether there is an entry depends on the traffic, and a compiled loop that has to
-- guess is several times slower than one that goes all the way each time.
local LEVEL6 = [[
local function LEVEL6(...)
  local count = ...
  for k = 0, count - 1 do
    local key = lshift(k, 2)
    local node = turn6[k]
    local a, b = band(keys6[key], nodes6[node]), band(keys6[key + 1], nodes6[node + 1])
    local c, d = WORD3, WORD4
    local h, g = hash(a, b, c, d, node)
    local n = slot(g, displacements6[band(h, last_bucket6)], last6)
    local at = lshift(n, 2) + n
    local tag, found = slots6[at + 4], found6[k]
    local unlike = bor(bxor(slots6[at], a), bxor(slots6[at + 1], b), UNLIKE3_4
      band(bxor(tag, rshift(node, 3)), TAG_NODE))
    unlike = rshift(bor(unlike, 0 - unlike), 31)
    found6[k] = bxor(found, band(bxor(found, tag), unlike - 1))
    turn6[k] = nodes6[node + 5 - unlike]
  end
end
]]
local LOOPS = [=[
local bit, ffi, hash, slot, table4, nodes4, table6, nodes6, sets, base, offset, at4, at6 = ...
local band, bor, bxor, lshift, rshift = bit.band, bit.bor, bit.bxor, bit.lshift, bit.rshift
local slots4, last4, displacements4, last_bucket4 = table4.slots, table4.last, table4.displacements, table4.last_bucket
local slots6, last6, displacements6, last_bucket6 = table6.slots, table6.last, table6.displacements, table6.last_bucket
local index4, keys4, found4, turn4 = at4.index, at4.keys, at4.tags, at4.nodes
local index6, keys6, found6, turn6 = at6.index, at6.keys, at6.tags, at6.nodes
local none = lshift(base, TAG_SHIFT)
local cast, words = ffi.cast, ffi.typeof("const int32_t *")

local function split(...) -- see compiler.lua
  local events, count, out = ...
  local n4, n6 = 0, 0
  for i = 0, count - 1 do
    local event = events[i]
    local w, family = cast(words, event), event.family
    local a = w[offset]
    index4[n4], keys4[n4], found4[n4], turn4[n4] = i, a, none, ROOT
    index6[n6], found6[n6], turn6[n6] = i, none, ROOT
    local at = lshift(n6, 2)
    keys6[at], keys6[at + 1], keys6[at + 2], keys6[at + 3] = a, w[offset + 1], w[offset + 2], w[offset + 3]
    n4 = n4 + rshift(bxor(family, 4) - 1, 31)
    n6 = n6 + rshift(bxor(family, 6) - 1, 31)
    out[i] = base
  end
  return n4, n6
end

local function level4(...)
  local count = ...
  for k = 0, count - 1 do
    local node = turn4[k]
    local a = band(keys4[k], nodes4[node])
    local h, g = hash(a, 0, 0, 0, node)
    local at = lshift(slot(g, displacements4[band(h, last_bucket4)], last4), 1)
    local tag, found = slots4[at + 1], found4[k]
    local unlike = bor(bxor(slots4[at], a), band(bxor(tag, rshift(node, 3)), TAG_NODE))
    unlike = rshift(bor(unlike, 0 - unlike), 31)
    found4[k] = bxor(found, band(bxor(found, tag), unlike - 1))
    turn4[k] = nodes4[node + 5 - unlike]
  end
end

WIDE
NARROW
local function settle(...)
  local count, index, tags, out = ...
  local rows, seen = sets.rows, 0
  for k = 0, count - 1 do
    local class = lshift(rshift(tags[k], 8), 8 - TAG_SHIFT)
    out[index[k]] = class
    seen = bxor(seen, rows[class])
  end
  return seen
end
return split, level4, wide6, narrow6, settle]=]
-- Where no network has more than 64 bits, the rest of the address is nothing to look at.
local WIDE = LEVEL6:gsub("%u%u+%d?_?%d?", { LEVEL6 = "wide6", WORD3 = "band(keys6[key + 2], nodes6[node + 2])",
  WORD4 = "band(keys6[key + 3], nodes6[node + 3])", UNLIKE3_4 = "bxor(slots6[at + 2], c), bxor(slots6[at + 3], d),"})
local NARROW = LEVEL6:gsub("%u%u+%d?_?%d?", { LEVEL6 = "narrow6", WORD3 = "0", WORD4 = "0", UNLIKE3_4 = "" })
LOOPS = LOOPS:gsub("%u[%u_]+", { WIDE = WIDE, NARROW = NARROW }):gsub("%u[%u_]+",
  { ROOT = NODE, TAG_NODE = TAG_NODE, TAG_SHIFT = TAG_SHIFT })

-- What is known of the addresses of one family in a batch: where each stands in it, its words, the class so far, and
-- the node it has got to.
local function in_hand(width)
  local room = BATCH + 1 -- what is not of the family is written behind the last one that is
  return { index = int_array(room), keys = int_array(room * width), tags = int_array(room), nodes = int_array(room) }
end

-- The loops of the levels of a tree in their order.
local function loops_of_levels(tree, wide, narrow)
  local list = {}
  for levels = tree.depth, 1, -1 do list[#list + 1] = tree.longest[levels] > 64 and wide or narrow end
  return list
end

local function make_search(trees, at4, at6, loops)
  local split, settle = loops[1].by_rounds, loops[5].by_rounds
  local levels4 = loops_of_levels(trees[4], nil, loops[2].by_rounds)
  local levels6 = loops_of_levels(trees[6], loops[3].by_rounds, loops[4].by_rounds)
  return compiler.once(function(count, events, _, out)
    local n4, n6 = split(count, events, count, out)
    n4, n6 = fill_up(at4.index, n4, BATCH), fill_up(at6.index, n6, BATCH)
    for i = 1, #levels4 do levels4[i](n4, n4) end
    for i = 1, #levels6 do levels6[i](n6, n6) end
    settle(n4, n4, at4.index, at4.tags, out)
    settle(n6, n6, at6.index, at6.tags, out)
  end)
end

--- { search = function(offset), class_of = function(net) }. search makes a function (count, events, count, out) that
--- finds the classes of a batch, by the address that lies `offset` bytes into an event; class_of gives the class of a
--- network that a rule names: the rules that hold all of it.
function M.new(sets, base, holders)
  local entries, lengths = collect(holders)
  local trees = { [4] = make_tree(lengths[4]), [6] = make_tree(lengths[6]) }
  add_markers(entries, trees)
  give_classes(sets, base, entries)
  local table4, table6 = make_table(entries, 4, 1), make_table(entries, 6, 4)
  local flat4, flat6 = flatten(trees[4]), flatten(trees[6])
  local self, classes = {}, classes_by_key(entries)

  function self.class_of(net) return classes[key_of(net.family, net.bytes, net.len)] end
  function self.search(offset)
    local at4, at6 = in_hand(1), in_hand(4)
    return make_search(trees, at4, at6, compiler.loops(LOOPS, "=networks", bit, ffi, perfect_hash.hash,
      perfect_hash.slot, table4, flat4, table6, flat6, sets, sets.place(base), offset / 4, at4, at6))
  end
  return self
end

return M
