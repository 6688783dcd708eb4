-- SPDX-License-Identifier: MIT
-- Sets of rules, one for each class of values of a field: which rules does an event with such a value meet, as far as
-- this field goes? Bits in three levels of 32 (32,768 rules), so that the first rule that is in all of some sets is
-- found by and-ing a few words. Made while a policy is loaded; a set that is nearly another one shares its pages.
--   rows   a class is an index here: [class] says which pages hold a rule; for page n, [class + 1 + 2 * n] is the page
--          and the word after it says which words of that are not 0
--   words  a page is an index here: 32 words of 32 rules. Those that are 0 by the row are not to be read: once packed,
--          their places may be another page's
local bit = require("bit")
local ffi = require("ffi")

local band, bor, bnot, lshift, rshift = bit.band, bit.bor, bit.bnot, bit.lshift, bit.rshift

local M = {}

M.PAGE_RULES = 1024
local PAGE = 32 -- words

local int_array = ffi.typeof("int32_t[?]")

-- A member of self that is an array of int32, made larger when `wanted` do not fit. Its size is kept beside it: asking
-- the array is what the compiler cannot do.
local function make_room(self, name, wanted)
  local size = self.sizes[name]
  if wanted <= size then return end
  size = math.max(wanted, 2 * size)
  local larger = int_array(size)
  ffi.copy(larger, self[name], 4 * self.sizes[name])
  self[name], self.sizes[name] = larger, size
end

local function new_page(self, from)
  local page = self.words_used
  self.words_used = page + PAGE
  make_room(self, "words", self.words_used)
  ffi.copy(self.words + page, self.words + from, 4 * PAGE)
  return page
end

-- The page of a class that may be written: a copy, if it is another's still.
local function own_page(self, class, slot)
  local page = self.rows[slot]
  if self.owner[page] == class then return page end
  page = new_page(self, page)
  self.owner[page], self.rows[slot] = class, page
  return page
end

local function with(word, index, on)
  local mask = lshift(1, index)
  return on and bor(word, mask) or band(word, bnot(mask))
end

-- The only word of a page that is not 0, or nil when there are others.
local function only_word(words, page)
  local only
  for i = 0, PAGE - 1 do
    if words[page + i] ~= 0 then
      if only then return nil end
      only = i
    end
  end
  return only
end

-- Copies pages into as little memory as may be: what fits a processor's cache is what makes many rules cheap. A page
-- with one word, and most have one, takes that word's room.
local function pack_pages(self)
  local packed, used, moved = int_array(self.words_used + PAGE), PAGE, { [0] = 0 }
  for page = PAGE, self.words_used - PAGE, PAGE do
    local only = only_word(self.words, page)
    if only then
      packed[used], moved[page] = self.words[page + only], used - only
    else
      ffi.copy(packed + used, self.words + page, 4 * PAGE)
      moved[page] = used
    end
    used = used + (only and 1 or PAGE)
  end
  self.words, self.words_used, self.owner = int_array(used), used, nil
  ffi.copy(self.words, packed, 4 * used)
  return moved
end

--- Sets for rules numbered 0 to count - 1: { copy =, put =, pack =, rows =, words =, empty = 0 }. rows and words move
--- until pack has been called: read them afterwards.
function M.new(count)
  local pages = math.max(1, math.ceil(count / M.PAGE_RULES))
  local row = 1 + 2 * pages
  -- Page 0 and class 0 are empty and stay so.
  local self = { rows = int_array(64 * row), rows_used = row, words = int_array(64 * PAGE), words_used = PAGE,
    sizes = { rows = 64 * row, words = 64 * PAGE }, owner = {}, empty = 0 }

  --- A new class with the rules of `from`, which may not be changed any more.
  function self.copy(from)
    local class = self.rows_used
    self.rows_used = class + row
    make_room(self, "rows", self.rows_used)
    ffi.copy(self.rows + class, self.rows + from, 4 * row)
    return class
  end

  --- Put a rule into a class, or take it out.
  function self.put(class, rule, on)
    local number = rshift(rule, 10)
    local slot = class + 1 + 2 * number
    local page = own_page(self, class, slot)
    local at, words, rows = band(rshift(rule, 5), 31), self.words, self.rows
    words[page + at] = with(words[page + at], band(rule, 31), on)
    rows[slot + 1] = with(rows[slot + 1], at, words[page + at] ~= 0)
    rows[class] = with(rows[class], number, rows[slot + 1] ~= 0)
  end

  --- No set is made or changed after this.
  function self.pack()
    local moved = pack_pages(self)
    for class = 0, self.rows_used - row, row do
      for slot = class + 1, class + row - 1, 2 do self.rows[slot] = moved[self.rows[slot]] end
    end
  end

  return self
end

--- The index of the lowest bit of a word that is not 0 is low[band(bit, 0xffff)] + high[rshift(bit, 16)], where bit is
--- that bit alone: no branch, which the compiler would have to follow both ways.
M.low, M.high = ffi.new("uint8_t[32769]"), ffi.new("uint8_t[32769]")
for index = 0, 15 do
  M.low[lshift(1, index)], M.high[lshift(1, index)] = index, 16 + index
end

return M
