-- SPDX-License-Identifier: MIT
-- Sets of rules, one for each class of values of a field: which rules does an event with such a value meet, as far as
-- this field goes? Bits in three levels of 32 (32,768 rules), so that the first rule that is in all of some sets is
-- found by and-ing a few words. Made while a policy is loaded; a set that is nearly another one shares its pages.
--   rows   a class is an index here: [class] says which pages hold a rule, [class + 1 + n] is page n
--   words  a page is an index here: 32 words of 32 rules, then one that says which of them are not 0
local bit = require("bit")
local ffi = require("ffi")

local band, bor, bnot, lshift, rshift = bit.band, bit.bor, bit.bnot, bit.lshift, bit.rshift

local M = {}

M.PAGE_RULES = 1024
M.SUMMARY = 32 -- where in a page
local PAGE = 33

local int_array = ffi.typeof("int32_t[?]")

local function grown(array, used, wanted)
  local size = ffi.sizeof(array) / 4
  if wanted <= size then return array end
  local larger = int_array(math.max(wanted, 2 * size))
  ffi.copy(larger, array, 4 * used)
  return larger
end

local function new_page(self, from)
  local page = self.words_used
  self.words_used = page + PAGE
  self.words = grown(self.words, page, self.words_used)
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

--- Sets for rules numbered 0 to count - 1: { copy =, put =, rows =, words =, empty = 0 }. rows and words move while
--- sets are made: read them afterwards.
function M.new(count)
  local pages = math.max(1, math.ceil(count / M.PAGE_RULES))
  local row = pages + 1
  -- Page 0 and class 0 are empty and stay so.
  local self = { rows = int_array(64 * row), rows_used = row, words = int_array(64 * PAGE), words_used = PAGE,
    owner = {}, empty = 0 }

  --- A new class with the rules of `from`, which may not be changed any more.
  function self.copy(from)
    local class = self.rows_used
    self.rows_used = class + row
    self.rows = grown(self.rows, class, self.rows_used)
    ffi.copy(self.rows + class, self.rows + from, 4 * row)
    return class
  end

  --- Put a rule into a class, or take it out.
  function self.put(class, rule, on)
    local number = rshift(rule, 10)
    local page = own_page(self, class, class + 1 + number)
    local at, words, rows = band(rshift(rule, 5), 31), self.words, self.rows
    words[page + at] = with(words[page + at], band(rule, 31), on)
    words[page + M.SUMMARY] = with(words[page + M.SUMMARY], at, words[page + at] ~= 0)
    rows[class] = with(rows[class], number, words[page + M.SUMMARY] ~= 0)
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
