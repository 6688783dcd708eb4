-- SPDX-License-Identifier: MIT
-- Sets of rules, one for each class of values of a field: which rules does an event with such a value meet, as far as
-- this field goes? Bits in three levels of 32 (32,768 rules), so that the first rule that is in all of some sets is
-- found by and-ing a few words. Made as drafts while a policy is loaded, of which one that is nearly another shares its
-- pages; then laid so that an event touches as little memory as may be, for with many rules each look is at memory
-- that no cache holds:
--   rows   a class is an index here. [class] says which pages hold a rule, and [class + 1] + 2 * n is the index of what
--          there is about page n, if that is one of them: an index `at`, and which words of the page are not 0. Those
--          are at [at + word]; nothing may be read of others. Nor of other pages: there is no room for those before the
--          first and after the last. Few words lie in the class itself, which mostly is one cache line then
-- Whatever [0] is, it is a class without rules, a page without words, and room enough to read nonsense from.
local bit = require("bit")
local ffi = require("ffi")

local band, bor, bnot, lshift, rshift = bit.band, bit.bor, bit.bnot, bit.lshift, bit.rshift

local M = {}

M.PAGE_RULES = 1024
--- A class is a multiple of this power of 2.
M.UNIT_SHIFT = 3
local LINE = 16 -- words of a cache line
local PAGE = 32 -- words
local OWN_WORDS = 3 -- as many of a page lie in the class itself

local int_array = ffi.typeof("int32_t[?]")
local int_pointer = ffi.typeof("int32_t *")

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

-- The index of the first and the last bit of a word that is not 0.
local function ends(word)
  local first, last = 0, 31
  while band(word, lshift(1, first)) == 0 do first = first + 1 end
  while band(word, lshift(1, last)) == 0 do last = last - 1 end
  return first, last
end

-- Words for good, `count` of them at an index that is a multiple of `unit`.
local function lay(self, count, unit)
  local at = unit * math.ceil(self.laid_used / unit)
  self.laid_used = at + count
  make_room(self, "laid", self.laid_used)
  return at
end

-- Where the words of a page that several classes may share are laid.
local function lay_page(self, page, first, last)
  local at = self.laid_pages[page]
  if not at then
    at = lay(self, last - first + 1, 1)
    ffi.copy(self.laid + at, self.words + page + first, 4 * (last - first + 1))
    self.laid_pages[page] = at
  end
  return at - first
end

-- What is to be laid of a draft, in self.row: the index of the class in it being 0. Returns its length, and where in it
-- there is what has to be moved with it.
local function make_row(self, class)
  local row, pages, moves = self.row, self.rows[class], { 1 }
  local from, to = ends(pages)
  local used = 2 + 2 * (to - from + 1)
  ffi.fill(row, 4 * used)
  row[0], row[1] = pages, 2 - 2 * from
  for number = from, to do
    local page, filled = self.rows[class + 1 + 2 * number], self.rows[class + 2 + 2 * number]
    local at = 2 + 2 * (number - from)
    row[at + 1] = filled
    if filled ~= 0 then
      local first, last = ends(filled)
      local count = last - first + 1
      if count > OWN_WORDS then
        row[at] = lay_page(self, page, first, last)
      else
        ffi.copy(row + used, self.words + page + first, 4 * count)
        row[at], moves[#moves + 1] = used - first, at
        used = used + count
      end
    end
  end
  return used, moves
end

-- In one cache line where it fits one.
local function lay_row(self, used, moves)
  local before = self.laid_used
  local at = lay(self, used, lshift(1, M.UNIT_SHIFT))
  if used <= LINE and at % LINE + used > LINE then
    self.laid_used = before
    at = lay(self, used, LINE)
  end
  ffi.copy(self.laid + at, self.row, 4 * used)
  for _, place in ipairs(moves) do self.laid[at + place] = self.laid[at + place] + at end
  return at
end

--- Sets for rules numbered 0 to count - 1: { copy =, put =, place =, pack =, rows =, empty = 0 }. copy and put make
--- drafts; place tells the class that is in `rows`, which is to be read after pack only.
function M.new(count)
  local pages = math.max(1, math.ceil(count / M.PAGE_RULES))
  local row = 1 + 2 * pages
  -- Page 0 and class 0 are empty and stay so.
  local self = { rows = int_array(64 * row), rows_used = row, words = int_array(64 * PAGE), words_used = PAGE,
    laid = int_array(64 * LINE), laid_used = 2 * PAGE, laid_pages = {}, row = int_array(2 + (2 + OWN_WORDS) * PAGE),
    sizes = { rows = 64 * row, words = 64 * PAGE, laid = 64 * LINE }, owner = {}, empty = 0 }
  local places, by_row = { [0] = 0 }, {}

  --- A new draft with the rules of `from`, which may not be changed any more.
  function self.copy(from)
    local class = self.rows_used
    self.rows_used = class + row
    make_room(self, "rows", self.rows_used)
    ffi.copy(self.rows + class, self.rows + from, 4 * row)
    return class
  end

  --- Put a rule into a draft, or take it out.
  function self.put(class, rule, on)
    local number = rshift(rule, 10)
    local slot = class + 1 + 2 * number
    local page = own_page(self, class, slot)
    local at, words, rows = band(rshift(rule, 5), 31), self.words, self.rows
    words[page + at] = with(words[page + at], band(rule, 31), on)
    rows[slot + 1] = with(rows[slot + 1], at, words[page + at] ~= 0)
    rows[class] = with(rows[class], number, rows[slot + 1] ~= 0)
  end

  local function place(class)
    if self.rows[class] == 0 then return 0 end
    local used, moves = make_row(self, class)
    local text = ffi.string(self.row, 4 * used)
    by_row[text] = by_row[text] or lay_row(self, used, moves)
    return by_row[text]
  end

  --- The class of a draft that will not change any more: that of another, if it has the same rules.
  function self.place(class)
    places[class] = places[class] or place(class)
    return places[class]
  end

  --- No set is made or placed after this.
  function self.pack()
    local laid, used = self.laid, self.laid_used + PAGE
    self.memory = int_array(used + LINE)
    local address = tonumber(ffi.cast("uintptr_t", ffi.cast(int_pointer, self.memory)))
    self.rows = ffi.cast(int_pointer, self.memory) + (-address / 4) % LINE
    ffi.copy(self.rows, laid, 4 * self.laid_used)
    self.words, self.owner, self.laid, self.laid_pages, places, by_row = nil, nil, nil, nil, nil, nil
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
