-- SPDX-License-Identifier: MIT
-- A hash table in which no two entries meet: a look-up is one small read and one compare, without a loop. Entries are
-- put into buckets, and each bucket gets the displacement that moves all of its entries to free slots (Belazzougui and
-- others, 2009: "hash, displace"). Keys are one word or four, and a small number, which is hashed but not kept: the
-- value may tell it. Made once, never changed.
local bit = require("bit")
local ffi = require("ffi")

local band, bxor = bit.band, bit.bxor
local lshift, rol, rshift, tobit = bit.lshift, bit.rol, bit.rshift, bit.tobit

local M = {}

local FULL = 0.95 -- of the slots at most: what is small is cached
local BUCKET = 3 -- entries, on average
local TRIES = 4096 -- displacements; more means that the table is too full
local int_array = ffi.typeof("int32_t[?]")

--- Two hashes of a key. Sums are wrapped by the operation around them, which the compiler does without a check.
function M.hash(a, b, c, d, number)
  local h = bxor(a, rol(b, 9), rol(c, 18), rol(d, 27), lshift(number, 13))
  h = tobit(h + lshift(h, 10))
  h = bxor(h, rshift(h, 6))
  h = tobit(h + lshift(h, 3))
  h = bxor(h, rshift(h, 11))
  local g = bxor(rol(a, 7), b, rol(c, 21), rol(d, 13), lshift(number, 5))
  g = tobit(g + lshift(g, 15))
  g = bxor(g, rshift(g, 10))
  g = tobit(g + lshift(g, 3))
  return h, bxor(g, rshift(g, 14))
end

--- The slot of a key with that second hash, whose bucket has this displacement.
function M.slot(g, displacement, last)
  g = tobit(g + displacement)
  return (band(bxor(g, rshift(g, 16)), last))
end

local function make_buckets(entries, last)
  local buckets = {}
  for i, entry in ipairs(entries) do
    local at = band(entry.h, last)
    buckets[at] = buckets[at] or { at = at }
    table.insert(buckets[at], i)
  end
  local list = {}
  for _, bucket in pairs(buckets) do list[#list + 1] = bucket end
  table.sort(list, function(x, y)
    if #x ~= #y then return #x > #y end -- the large ones while there is room
    return x.at < y.at
  end)
  return list
end

-- The displacement that finds each entry of a bucket a free slot of its own; marks them. nil: there is none.
local function displace(bucket, entries, taken, last)
  for try = 0, TRIES - 1 do
    local displacement, placed = tobit(try * 0x9e3779b1), 0
    for _, i in ipairs(bucket) do
      local slot = M.slot(entries[i].g, displacement, last)
      if taken[slot] ~= 0 then break end
      taken[slot], placed = i, placed + 1
    end
    if placed == #bucket then return displacement end
    for i = 1, placed do
      taken[M.slot(entries[bucket[i]].g, displacement, last)] = 0
    end
  end
end

local function attempt(entries, size, buckets_count)
  local taken, displacements = int_array(size), int_array(buckets_count)
  for _, bucket in ipairs(make_buckets(entries, buckets_count - 1)) do
    local displacement = displace(bucket, entries, taken, size - 1)
    if not displacement then return nil end
    displacements[bucket.at] = displacement
  end
  return taken, displacements
end

local function power_above(n)
  local power = 16
  while power < n do power = 2 * power end
  return power
end

--- `entries`: list of { words = (`width` of them, 1 or 4), number =, value = }, keys all different. Returns { slots =,
--- last =, displacements =, last_bucket = }; slot n is at n * (width + 1): the words, and the value; that is -1 in an
--- empty slot.
function M.new(entries, width)
  for _, entry in ipairs(entries) do
    local w = entry.words
    entry.h, entry.g = M.hash(w[1], w[2] or 0, w[3] or 0, w[4] or 0, entry.number)
  end
  local size, buckets_count = power_above(#entries / FULL), power_above(#entries / BUCKET)
  local taken, displacements = attempt(entries, size, buckets_count)
  while not taken do
    size, buckets_count = 2 * size, 2 * buckets_count
    taken, displacements = attempt(entries, size, buckets_count)
  end
  local slots = int_array(size * (width + 1))
  for slot = 0, size - 1 do
    local entry, at = entries[taken[slot]], slot * (width + 1)
    slots[at + width] = entry and entry.value or -1
    if entry then
      for i = 1, width do slots[at + i - 1] = entry.words[i] end
    end
  end
  return { slots = slots, last = size - 1, displacements = displacements, last_bucket = buckets_count - 1 }
end

return M
