-- SPDX-License-Identifier: MIT
-- Which rule comes first for each event of a batch: every field that some rule asks for gives the class of its value,
-- each class is a set of rules (class_sets.lua), and the first rule in all of them is the one. The cost goes by the
-- number of fields in use, hardly by the number of rules. Knows nothing of decisions.
local bit = require("bit")
local ffi = require("ffi")
local class_networks = require("cellflow.class_networks")
local class_sets = require("cellflow.class_sets")
local class_values = require("cellflow.class_values")
local compiler = require("cellflow.compiler")
local event = require("cellflow.event")

local C, lshift = ffi.C, bit.lshift
local M = {}

-- Where the byte of a field stands in an event; 256: absent. `raw` and the functions are locals of the loop below.
local BYTES = {
  kind = "raw.kind", source = "raw.source", hook = "raw.hook", direction = "raw.direction", verdict = "raw.verdict",
  family = "raw.family", protocol = "raw.protocol", protocol_number = "raw.protocol",
  close_reason = "raw.close_reason",
  -- Where it is 0 the source stands for itself; without a branch, as below.
  witnesses = "band(bor(raw.witnesses, band(lshift(1, raw.source), 0 - rshift(raw.witnesses - 1, 31))), 255)",
}
local SHORTS = {}

-- The number of the one bit that is set.
local function shift_of(flag) return math.floor(math.log(flag) / math.log(2) + 0.5) end

for name, flag in pairs(event.truths) do BYTES[name] = ("band(rshift(raw.flags, %d), 1)"):format(shift_of(flag)) end

-- The field where its flag is set, `absent` where not, without a branch: traffic takes both in no order.
local function flagged(kinds, name, flag, absent)
  local present = ("0 - band(rshift(raw.flags, %d), 1)"):format(shift_of(flag))
  kinds[name] = ("bor(band(raw.%s, %s), band(bnot(%s), %d))"):format(name, present, present, absent)
end
flagged(BYTES, "icmp_type", C.CF_EVENT_ICMP, 256)
flagged(BYTES, "icmp_code", C.CF_EVENT_ICMP, 256)
flagged(BYTES, "tcp_flags", C.CF_EVENT_TCP, 256)
flagged(SHORTS, "src_port", C.CF_EVENT_PORTS, 65536)
flagged(SHORTS, "dst_port", C.CF_EVENT_PORTS, 65536)
flagged(SHORTS, "icmp_id", C.CF_EVENT_ICMP_ID, 65536)
flagged(SHORTS, "vlan", C.CF_EVENT_VLAN, 65536)

local CELLS = { cell_id = "name", interface = "interface" } -- field -> member of a cell

-- A part of the index that gives classes straight from a table: the expression is a line of the loop. What is in the
-- table is to be shifted left by `shift`.
local function by_table(self, name, map, expression, shift)
  self.parts[#self.parts + 1] = { name = name, array = map, index = expression, shift = shift or 0 }
end

-- A part whose classes a loop of its own finds first, for the whole batch: search(count, events, count, found).
local function by_search(self, name, search, over)
  local found = ffi.new("int32_t[?]", C.CF_BATCH_MAX + 1)
  self.parts[#self.parts + 1] = { name = name, array = found, index = "i", shift = 0 }
  self.searches[#self.searches + 1] = compiler.once(function(raws, handles, count)
    search(count, over == "handles" and handles or raws, count, found)
  end)
end

local function add_cells(self, name, draft, holders)
  local by_text, base = class_values.texts(self.sets, draft, holders), self.bases[name]
  local map, member = ffi.new("int32_t[?]", C.CF_CELLS_MAX + 1), CELLS[name]
  by_table(self, name, map, ("min(raw.cell, %d)"):format(C.CF_CELLS_MAX))
  self.binds[#self.binds + 1] = function(cells)
    for i = 0, C.CF_CELLS_MAX do
      local text = cells[i] and cells[i][member]
      map[i] = text and by_text[text] or base
    end
  end
  return function(cond) return by_text[cond.list[1]] end
end

local function add_networks(self, name, draft, holders)
  local networks = class_networks.new(self.sets, draft, holders)
  by_search(self, name, networks.search(ffi.offsetof("struct cf_event", name)), "raws")
  return function(cond) return networks.class_of(cond.list[1]) end
end

local function add_prefixes(self, name, draft, holders)
  local by_text = class_values.texts(self.sets, draft, holders)
  by_search(self, name, class_values.prefixes(by_text, self.bases[name]), "raws")
  return function(cond) return by_text[cond.list[1]] end
end

local function add_texts(self, name, draft, holders)
  local by_text = class_values.texts(self.sets, draft, holders)
  by_search(self, name, class_values.shown(by_text, self.bases[name], event.get[name]), "handles")
  return function(cond) return by_text[cond.list[1]] end
end

local function add_numbers(self, name, draft, holders)
  local ranges = class_values.ranges(self.sets, draft, holders)
  by_search(self, name, class_values.search(ranges, self.bases[name], event.get[name]), "handles")
  return function(cond) return class_values.class_of(ranges, cond.list[1][1]) end
end

local function add_bytes(self, name, draft, holders)
  local map = class_values.bytes(self.sets, draft, holders)
  by_table(self, name, map, BYTES[name])
  return function(cond) return map[cond.list[1]] end
end

local function add_shorts(self, name, draft, holders)
  local map, shift = class_values.shorts(self.sets, draft, holders)
  by_table(self, name, map, SHORTS[name], shift)
  return function(cond) return lshift(map[cond.list[1][1]], shift) end
end

-- Returns a function from a condition of a rule to the class of a value that meets it. `draft`: of the rules that leave
-- the field open.
local function add_field(self, name, draft, holders)
  local add = (name == "src_addr" or name == "dst_addr") and add_networks or CELLS[name] and add_cells
    or name == "prefix" and add_prefixes or name == "nft_rule" and add_texts or BYTES[name] and add_bytes
    or SHORTS[name] and add_shorts or add_numbers
  return add(self, name, draft, holders)
end

-- The rules that leave a field open are in the sets of all its values, and of its absence.
local function base_class(sets, rules, name)
  local base = sets.copy(sets.empty)
  for i, rule in ipairs(rules) do
    if not rule.match[name] then sets.put(base, i - 1, true) end
  end
  return base
end

local function holders_of(rules, name)
  local holders = {}
  for i, rule in ipairs(rules) do
    local cond = rule.match[name]
    if cond then holders[#holders + 1] = { rule = i - 1, cond = cond } end
  end
  return holders
end

local function fields_in_use(rules)
  local used, names = {}, {}
  for _, rule in ipairs(rules) do
    for name in pairs(rule.match) do used[name] = true end
  end
  for name in pairs(used) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Three loops over a batch. The first finds the classes of each event, and looks at their beginnings, so that what
-- follows in the same cache lines is there by the time it is needed: the loop is short, and the processor waits for
-- many events at once. The others take events one word further: the next word of the page in hand that all classes
-- fill, or the first one of the next page. The second does it for every event of the batch, from the beginning; those
-- for which that was not the end wait in line for the third, which puts them at the end of the line until they are
-- done. None branches or keeps more than two numbers from one round to the next: the compiler has one path to follow
-- and no registers to run out of. (What an event has got to lies in arrays for that reason; a loop that kept it in
-- locals failed one time in six with "register coalescing too complex", and one loop in place of the first two failed
-- with "too many spill slots" at twenty fields.)
local STEP = [[
    local turn = rshift(bor(filled, 0 - filled), 31) - 1 -- all ones where the page in hand has no word left
    local first = band(pages, 0 - pages, turn)
    page = bxor(page, band(bxor(page, low[band(first, 0xffff)] + high[rshift(first, 16)]), turn))
    pages = bxor(pages, first)
    local at = lshift(page, 1)
    local {p$, } = {band(rows[c$ + 1] + at, any), }
    filled = bxor(filled, band({rows[p$ + 1], }, turn))
    first = band(filled, 0 - filled)
    local word = low[band(first, 0xffff)] + high[rshift(first, 16)]
    local both = band({rows[rows[p$] + word], })
    both = band(both, 0 - rshift(bor(filled, 0 - filled), 31)) -- where nothing is filled, what was read is no one's
    filled = bxor(filled, first)
    first = band(both, 0 - both)
    local number = lshift(page, 10) + lshift(word, 5) + low[band(first, 0xffff)] + high[rshift(first, 16)] + 1
    local found, rest = rshift(bor(both, 0 - both), 31), bor(pages, filled)
    out[i] = band(number, 0 - found)
    local waits = band(rshift(bor(rest, 0 - rest), 31), 1 - found)
]]
local LOOPS = [[
local bit, min, rows, low, high, line, pages_of, page_of, filled_of, kept, a = ...
local band, bnot, bor, bxor = bit.band, bit.bnot, bit.bor, bit.bxor
local lshift, rshift, tobit = bit.lshift, bit.rshift, bit.tobit
local {m$, } = {a[$], }

local function look_up(...)
  local events, count = ...
  for i = 0, count - 1 do
    local raw, own = events[i], lshift(i, STRIDE)
    local {c$, } = {lshift(m$[$index], $shift), }
    {kept[own + $], } = {c$, }
    pages_of[i] = band({rows[c$], })
  end
end

local function first_word(...)
  local count, out = ...
  local tail = 0
  for i = 0, count - 1 do
    local own = lshift(i, STRIDE)
    local {c$, } = {kept[own + $], }
    local pages, page, filled = pages_of[i], 0, 0
    local any = 0 - rshift(bor(pages, 0 - pages), 31) -- where there is no page, those of class 0 are looked at
STEP
    pages_of[i], page_of[i], filled_of[i], line[tail] = pages, page, filled, i
    tail = tobit(tail + waits)
  end
  return tail
end

local function all_words(...)
  local tail, out = ...
  local head, any = 0, -1
  while head ~= tail do
    local i = line[band(head, LAST)]
    local own = lshift(i, STRIDE)
    local {c$, } = {kept[own + $], }
    local pages, page, filled = pages_of[i], page_of[i], filled_of[i]
STEP
    pages_of[i], page_of[i], filled_of[i], line[band(tail, LAST)] = pages, page, filled, i
    head = tobit(head + 1)
    tail = tobit(tail + waits)
  end
end
return look_up, first_word, all_words]]
LOOPS = LOOPS:gsub("STEP\n", function() return STEP end):gsub("LAST", C.CF_BATCH_MAX - 1)

-- {TEXT, } stands for TEXT, TEXT, ...: once for each field, $ being its number.
local function spread(template, parts)
  return (template:gsub("{([^{}]*), }", function(pattern)
    local out = {}
    for i, part in ipairs(parts) do
      out[i] = pattern:gsub("%$index", function() return part.index end)
        :gsub("%$shift", function() return tostring(part.shift) end):gsub("%$", function() return tostring(i) end)
    end
    return table.concat(out, ", ")
  end))
end

local function for_batch(width) return ffi.new("int32_t[?]", (C.CF_BATCH_MAX + 1) * width + 1) end

-- The smallest power of 2 that is not below n, as the power.
local function power_for(n)
  local power = 0
  while lshift(1, power) < n do power = power + 1 end
  return power
end

local function make_loops(self, line)
  local arrays, stride = {}, power_for(#self.parts)
  for i, part in ipairs(self.parts) do arrays[i] = part.array end
  local text = spread(LOOPS, self.parts):gsub("STRIDE", stride)
  local loops = compiler.loops(text, "=rules", bit, math.min, self.sets.rows, class_sets.low, class_sets.high,
    line, for_batch(1), for_batch(1), for_batch(1), for_batch(lshift(1, stride)), arrays)
  return loops
end

local function run_with(loops, searches, line)
  local fill_up, behind = compiler.fill_up, C.CF_BATCH_MAX
  local look_up, first_word, all_words = loops[1].by_rounds, loops[2].by_rounds, loops[3].by_rounds
  return compiler.once(function(raws, handles, count, out)
    for i = 1, #searches do searches[i](raws, handles, count) end
    look_up(count, raws, count)
    local waits = fill_up(line, first_word(count, count, out), behind)
    all_words(waits, waits, out)
  end)
end

--- An index of `rules`, a list of { match = conditions of match.lua }, not empty. It is to be kept as long as its run
--- is used, for the memory of the sets is its own:
---   run(events, handles, count, out)
---                                   out[i] = number of the first rule (from 1) of event i, 0: none; `out` has room for
---                                   one more than a batch
---   bind(cells)                     cells is a table by index of { name =, interface = }; to be called before run
---   classes                         { field = function(cond) -> class of a value that a rule's condition allows }
---   bases                           { field = class of an event that lacks it }
---   sets                            of class_sets.lua
---   first_word                      the loop that meets every event, for specs of the compiler
function M.new(rules)
  local self = { sets = class_sets.new(#rules), parts = {}, searches = {}, binds = {}, classes = {}, bases = {} }
  for _, name in ipairs(fields_in_use(rules)) do
    local draft = base_class(self.sets, rules, name)
    self.bases[name] = self.sets.place(draft)
    self.classes[name] = add_field(self, name, draft, holders_of(rules, name))
  end
  if #self.parts == 0 then
    by_table(self, "", ffi.new("int32_t[1]", self.sets.place(base_class(self.sets, rules, ""))), "0")
  end
  self.sets.pack()
  local line = for_batch(1)
  local loops = make_loops(self, line)
  self.first_word, self.run = loops[2].loop, run_with(loops, self.searches, line)
  function self.bind(cells)
    for _, bind in ipairs(self.binds) do bind(cells) end
  end
  return self
end

return M
