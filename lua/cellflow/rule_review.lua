-- SPDX-License-Identifier: MIT
-- What `cellflow check` says about rules that load and cannot mean what is written: those that never apply. A warning
-- is certain; not everything is found: a rule covered by several others together is not, and the work is bounded.
local bit = require("bit")
local ffi = require("ffi")
local class_sets = require("cellflow.class_sets")
local match_review = require("cellflow.match_review")
local network = require("cellflow.network")

local band, bxor, rshift = bit.band, bit.bxor, bit.rshift
local M = {}

M.COMPARED_MAX = 256 -- earlier rules that one rule is compared with
M.WARNINGS_MAX = 100

local words_type = ffi.typeof("const int32_t *")

local function net_in(inner, outer)
  if inner.family ~= outer.family or inner.len < outer.len then return false end
  local a, b = ffi.cast(words_type, inner.bytes), ffi.cast(words_type, outer.bytes)
  local mask = network.mask_words(outer.len)
  return band(a[0], mask[1]) == b[0] and band(a[1], mask[2]) == b[1] and band(a[2], mask[3]) == b[2]
    and band(a[3], mask[4]) == b[3]
end

local function range_in(inner, outer) return inner[1] >= outer[1] and inner[2] <= outer[2] end

local function all_in(inner, outer, is_in)
  for _, each in ipairs(inner.list) do
    local found = false
    for _, other in ipairs(outer.list) do
      found = is_in(each, other)
      if found then break end
    end
    if not found then return false end
  end
  return true
end

-- Whether every value that meets the condition `inner` meets `outer`.
local function condition_in(inner, outer)
  if inner == outer then return true end
  if inner.kind == "nets" then return all_in(inner, outer, net_in) end
  if inner.kind == "ranges" then return all_in(inner, outer, range_in) end
  for _, value in ipairs(inner.list) do
    if not outer.set[value] then return false end
  end
  return true
end

--- Whether every event that meets the match `inner` meets `outer`.
function M.covers(outer, inner)
  for name, cond in pairs(outer) do
    if not inner[name] or not condition_in(inner[name], cond) then return false end
  end
  return true
end

local function lowest(word)
  local first = band(word, -word)
  return class_sets.low[band(first, 0xffff)] + class_sets.high[rshift(first, 16)], bxor(word, first)
end

-- One word of all the classes, and-ed. `at(class)` says where.
local function common(array, classes, at)
  local word = -1
  for i = 1, #classes do word = band(word, array[at(classes[i])]) end
  return word
end

-- The classes of one event that the rule matches: a rule that covers it must match that one too.
local function classes_of(index, rule)
  local classes = {}
  for name, base in pairs(index.bases) do
    local cond = rule.match[name]
    classes[#classes + 1] = cond and index.classes[name](cond) or base
  end
  return classes
end

-- Calls fn(number) for the rules of all classes in their order until it answers; returns the answer.
local function each_common(sets, classes, fn)
  local rows = sets.rows
  local pages = common(rows, classes, function(class) return class end)
  local page, filled, word, both, low
  while pages ~= 0 do
    page, pages = lowest(pages)
    local function about(class) return rows[class + 1] + 2 * page end
    filled = common(rows, classes, function(class) return about(class) + 1 end)
    while filled ~= 0 do
      word, filled = lowest(filled)
      both = common(rows, classes, function(class) return rows[about(class)] + word end)
      while both ~= 0 do
        low, both = lowest(both)
        local answer = fn(page * class_sets.PAGE_RULES + word * 32 + low + 1)
        if answer then return answer end
      end
    end
  end
end

local function title(rule) return ('%s "%s"'):format(rule.decision, rule.name) end

-- The first rule before `number` that covers it, or nil.
local function covered_by(self, number)
  local list, compared = self.list, 0
  local rule = list[number]
  local found = each_common(self.index.sets, classes_of(self.index, rule), function(other)
    compared = compared + 1
    if other >= number or compared > M.COMPARED_MAX then return 0 end
    return M.covers(list[other].match, rule.match) and other
  end)
  return found and list[found]
end

local function review_rule(self, number, warn)
  local rule = self.list[number]
  local why_never = match_review.never(rule.match)
  if why_never then return warn(("%s: %s never applies: %s"):format(rule.place, title(rule), why_never)) end
  local other = number > 1 and covered_by(self, number)
  if not other then return end
  local why = M.covers(rule.match, other.match) and "has the same match" or "matches all that it matches"
  local conflict = rule.decision ~= other.decision and " and decides otherwise" or ""
  warn(("%s: %s never applies: %s at %s comes first and %s%s"):format(rule.place, title(rule), title(other),
    other.place, why, conflict))
end

-- After a rule that matches everything, alone or with those before it, nothing is asked any more: one line for all of
-- it.
local function review_rest(self, number, alone, places, warn)
  local rule, after = self.list[number], #self.list - number
  local function never(place, what)
    warn(("%s: %s: %s at %s %s"):format(place, what, title(rule), rule.place,
      alone and "matches every event" or "and the rules before it match every event"))
  end
  if after > 0 then
    never(self.list[number + 1].place, after == 1 and title(self.list[number + 1]) .. " never applies"
      or ("%s and the %d rules after it never apply"):format(title(self.list[number + 1]), after - 1))
  end
  if places.verdict then never(places.verdict, "verdict is never asked") end
  if self.default then never(self.default.place, "default never applies") end
end

--- Warnings "file:line: what" about the rules of a ruleset; `places` of the hooks (sandbox.lua).
function M.run(self, places)
  local lines, left_out = {}, 0
  local function warn(line)
    if #lines < M.WARNINGS_MAX then
      lines[#lines + 1] = line
    else
      left_out = left_out + 1
    end
  end
  local together = match_review.together()
  for number, rule in ipairs(self.list) do
    local alone = match_review.always(rule.match)
    if not alone then review_rule(self, number, warn) end
    if alone or together(rule.match) then
      review_rest(self, number, alone, places, warn)
      break
    end
  end
  if left_out > 0 then lines[#lines + 1] = ("%s: and %d more warnings"):format(self.list[1].place, left_out) end
  return lines
end

return M
