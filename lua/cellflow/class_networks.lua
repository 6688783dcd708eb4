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
local node_array = ffi.typeof("struct { uint64_t mask[2], salt; int32_t next[2]; }[?]") -- next: shorter and longer ones
local int_array = ffi.typeof("int32_t[?]")
local words_type, int_pointer = ffi.typeof("const int32_t *"), ffi.typeof("int32_t *")

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
  local middle = math.min(to, from + lshift(1, levels - 1) - 1)
  local node = { len = lengths[middle], mask = network.mask_words(lengths[middle]) }
  nodes[#nodes + 1] = node
  local number = #nodes
  node.left = add_nodes(nodes, lengths, from, middle - 1, levels - 1)
  node.right = add_nodes(nodes, lengths, middle + 1, to, levels - 1)
  return number
end

local function make_tree(used)
  local nodes, list = { depth = 0 }, {}
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
      list[#list + 1] = { words = ffi.cast(words_type, entry.net.bytes), number = entry.node,
        value = tag_of(entry.class, entry.node) }
    end
  end
  return perfect_hash.new(list, width)
end

-- Node 0 is the end: its neighbours are itself, and no entry has its number.
local function flatten(nodes)
  local flat = node_array(#nodes + 1)
  for number, node in ipairs(nodes) do
    local to = flat[number]
    local words = ffi.cast(int_pointer, to.mask)
    for i = 0, 3 do words[i] = node.mask[i + 1] end
    to.salt, to.next[0], to.next[1] = perfect_hash.salt(number), node.left, node.right
  end
  return flat
end

-- Loops over a batch, each short, so that the processor has many events in hand while memory answers for the first of
-- them. `split` puts the addresses of the two families into arrays of their own; `level4` and `level6` take each
-- address one node further, once for each level of the tree; `settle` puts the classes where they belong, and looks at
-- each, so that it is in a cache by the time it is needed (the result is there for the compiler to keep that). None has
-- a branch: which family it is and whether there is an entry depends on the traffic, and a compiled loop that has to
-- guess is several times slower than one that goes all the way each time.
local LOOPS = [=[
local bit, ffi, hash, slot, table4, nodes4, table6, nodes6, sets, base, offset, at4, at6 = ...
local band, bor, bxor = bit.band, bit.bor, bit.bxor
local lshift, rshift, tobit = bit.lshift, bit.rshift, bit.tobit
local slots4, last4, displacements4, shift4 = table4.slots, table4.last, table4.displacements, table4.bucket_shift
local slots6, last6, displacements6, shift6 = table6.slots, table6.last, table6.displacements, table6.bucket_shift
local index4, keys4, found4, turn4 = at4.index, at4.keys, at4.tags, at4.nodes
local index6, keys6, found6, turn6 = at6.index, at6.keys, at6.tags, at6.nodes
local none = lshift(base, TAG_SHIFT)
local cast, bytes, longs = ffi.cast, ffi.typeof("const uint8_t *"), ffi.typeof("const uint64_t *")

local function split(...) -- see compiler.lua
  local events, count, out = ...
  local n4, n6 = 0, 0
  for i = 0, count - 1 do
    local event = events[i]
    local w, family = cast(longs, cast(bytes, event) + offset), event.family
    index4[n4], keys4[n4], found4[n4], turn4[n4] = i, w[0], none, ROOT
    index6[n6], found6[n6], turn6[n6] = i, none, ROOT
    local key = keys6[n6].words
    key[0], key[1] = w[0], w[1]
    n4 = tobit(n4 + rshift(bxor(family, 4) - 1, 31))
    n6 = tobit(n6 + rshift(bxor(family, 6) - 1, 31))
    out[i] = base
  end
  return n4, n6
end

local function level4(...)
  local count = ...
  local keys, nodes = keys4, nodes4 -- of this loop: upvalues that are structs are looked at anew each time
  for k = 0, count - 1 do
    local number = turn4[k]
    local node = nodes[number]
    local x = band(keys[k], node.mask[0])
    local h, g = hash(x, 0ULL, node.salt)
    local at = lshift(slot(g, displacements4[rshift(h, shift4)], last4), 1)
    local tag, found = slots4[at + 1], found4[k]
    local unlike = bor(bxor(slots4[at], tobit(x)), band(bxor(tag, number), TAG_NODE))
    unlike = rshift(bor(unlike, 0 - unlike), 31)
    found4[k] = bxor(found, band(bxor(found, tag), unlike - 1))
    turn4[k] = node.next[1 - unlike]
  end
end

local function level6(...)
  local count = ...
  local keys, nodes = keys6, nodes6 -- of this loop: upvalues that are structs are looked at anew each time
  for k = 0, count - 1 do
    local number, key = turn6[k], keys[k].words
    local node = nodes[number]
    local x, y = band(key[0], node.mask[0]), band(key[1], node.mask[1])
    local h, g = hash(x, y, node.salt)
    local n = slot(g, displacements6[rshift(h, shift6)], last6)
    local at = slots6 + tobit(lshift(n, 2) + n)
    local tag, found, words = at[4], found6[k], cast(longs, at)
    local other = bor(bxor(words[0], x), bxor(words[1], y))
    local unlike = bor(tobit(other), tobit(rshift(other, 32)), band(bxor(tag, number), TAG_NODE))
    unlike = rshift(bor(unlike, 0 - unlike), 31)
    found6[k] = bxor(found, band(bxor(found, tag), unlike - 1))
    turn6[k] = node.next[1 - unlike]
  end
end

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
return split, level4, level6, settle]=]
LOOPS = LOOPS:gsub("%u[%u_]+", { ROOT = 1, TAG_NODE = TAG_NODE, TAG_SHIFT = TAG_SHIFT })

-- What is known of the addresses of one family in a batch: where each stands in it, the address, the tag found so far,
-- and the node it has got to. What is not of the family is written behind the last one that is.
local function in_hand(keys)
  local room = BATCH + 1
  return { index = int_array(room), keys = ffi.new(keys, room), tags = int_array(room), nodes = int_array(room) }
end

local function make_search(trees, at4, at6, loops)
  local split, level4, level6, settle = loops[1].by_rounds, loops[2].by_rounds, loops[3].by_rounds, loops[4].by_rounds
  local depth4, depth6 = trees[4].depth, trees[6].depth
  return compiler.once(function(count, events, _, out)
    local n4, n6 = split(count, events, count, out)
    n4, n6 = fill_up(at4.index, n4, BATCH), fill_up(at6.index, n6, BATCH)
    for _ = 1, depth4 do level4(n4, n4) end
    for _ = 1, depth6 do level6(n6, n6) end
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
    local at4, at6 = in_hand("uint64_t[?]"), in_hand("struct { uint64_t words[2]; }[?]")
    return make_search(trees, at4, at6, compiler.loops(LOOPS, "=networks", bit, ffi, perfect_hash.hash,
      perfect_hash.slot, table4, flat4, table6, flat6, sets, sets.place(base), offset, at4, at6))
  end
  return self
end

return M
