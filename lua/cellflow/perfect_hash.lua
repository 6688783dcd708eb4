-- SPDX-License-Identifier: MIT
-- A hash table in which no two entries meet: a look-up is one small read and one compare, without a loop. Entries are
-- put into buckets, and each bucket gets the displacement that moves all of its entries to free slots (Belazzougui and
-- others, 2009: "hash, displace"). Keys are one word of 32 bits or four, and a small number, which is hashed but not
-- kept: the value may tell it. Made once, never changed.
local bit = require("bit")
local ffi = require("ffi")

local band, bxor = bit.band, bit.bxor
local lshift, rol, rshift, tobit = bit.lshift, bit.rol, bit.rshift, bit.tobit

local M = {}

local FULL = 0.95 -- of the slots at most: what is small is cached
local BUCKET = 3 -- entries, on average
local TRIES = 4096 -- displacements; more means that the table is too full
local int_array = ffi.typeof("int32_t[?]")
local long_pointer = ffi.typeof("const uint64_t *")

--- What a small number adds to a key.
function M.salt(number) return number * 0x2545f4914f6cdd1dULL end

--- Two hashes of a key, given as two uint64_t (of one word: that, and 0ULL; a Lua number that is negative would be
--- another one to the compiler than to the interpreter). The bucket is in the highest bits of the first: multiplying
--- carries a bit to those above it only, hence the folding too.
function M.hash(x, y, salt)
  local sum = bxor(x * 0x9e3779b97f4a7c15ULL, rol(y * 0xc2b2ae3d27d4eb4fULL, 32), salt)
  local product = bxor(sum, rshift(sum, 32)) * 0xff51afd7ed558ccdULL
  return tobit(product), tobit(rshift(product, 32))
end

--- The slot of a key with that second hash, whose bucket has this displacement.
function M.slot(g, displacement, last)
  g = tobit(g + displacement)
  return (band(bxor(g, rshift(g, 16)), last))
end

-- How far a hash of 32 bits is to be shifted for as many values.
local function shift_for(count)
  local shift = 32
  while lshift(1, 32 - shift) < count do shift = shift - 1 end
  return shift
end

local function make_buckets(entries, shift)
  local buckets = {}
  for i, entry in ipairs(entries) do
    local at = rshift(entry.h, shift)
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
  for _, bucket in ipairs(make_buckets(entries, shift_for(buckets_count))) do
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

--- `entries`: list of { words = (pointer to 16 bytes), number =, value = }, keys all different; of the words the first
--- `width` are the key, 1 (the second has to be 0) or 4. Returns { slots =, last =, displacements =, bucket_shift = };
--- slot n is at n * (width + 1): the words, and the value, which is -1 in an empty slot. To look one up:
---   first, second = hash(x, y, salt(number)); n = slot(second, displacements[rshift(first, bucket_shift)], last)
function M.new(entries, width)
  for _, entry in ipairs(entries) do
    local key = ffi.cast(long_pointer, entry.words)
    entry.h, entry.g = M.hash(key[0], width == 4 and key[1] or 0ULL, M.salt(entry.number))
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
      for i = 1, width do slots[at + i - 1] = entry.words[i - 1] end
    end
  end
  return { slots = slots, last = size - 1, displacements = displacements,
    bucket_shift = shift_for(buckets_count) }
end

return M
