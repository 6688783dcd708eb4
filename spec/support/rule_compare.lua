-- SPDX-License-Identifier: MIT
-- Compares the rules of the product with the reference: random rules, random events, the number of the first rule that
-- matches. Used by a spec for seconds and by scripts/soak for long.
local ffi = require("ffi")
local lib = require("spec.helper").core
local recording = require("recording_core")
local reference = require("rule_reference")
local rule_world = require("rule_world")

local M = {}

local function quoted(value)
  if type(value) == "table" then
    local items = {}
    for i, each in ipairs(value) do items[i] = quoted(each) end
    return "{ " .. table.concat(items, ", ") .. " }"
  end
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

-- Parts of a function each: one function may not hold all the texts of 10,000 rules.
local function policy(matches)
  local lines = {}
  for i, match in ipairs(matches) do
    local fields = {}
    for name, value in pairs(match) do fields[#fields + 1] = ("%s = %s"):format(name, quoted(value)) end
    table.sort(fields)
    lines[i] = ('allow "%d" { %s }'):format(i, table.concat(fields, ", "))
  end
  return table.concat(lines, "\n")
end

-- A host whose records are nothing but the name of the rule that decided: its number. The ids of texts are given here,
-- so that a hundred sets of rules do not use up core's.
local function load_policy(matches)
  local core, names, ids = recording.new(), {}, {}
  local seen = { count = 0, rules = ffi.new("int32_t[?]", ffi.C.CF_BATCH_MAX) }
  core.cf_intern = function(text, len)
    text = text:sub(1, tonumber(len))
    if not ids[text] then
      names[#names + 1] = tonumber(text) or false
      ids[text] = #names
    end
    return ids[text]
  end
  core.cf_intern_is_shared = function() return 0 end
  core.cf_record_write = function(_, decision)
    seen.rules[seen.count], seen.count = decision.rule == 0 and 0 or names[decision.rule], seen.count + 1
    return 0
  end
  local host, plan = require("cellflow.host").new(core), ffi.new("struct cf_plan")
  host.load(policy(matches), "rules.lua", {}, plan)
  plan.cell_count = 3
  for i = 0, 2 do
    plan.cells[i].name, plan.cells[i].interface = rule_world.CELLS[i].name, rule_world.CELLS[i].interface
  end
  host.bind(plan)
  return host, core.cf_batch_get(), seen
end

local function describe(event, matches, want, got)
  local fields = {}
  for name, value in pairs(event) do
    fields[#fields + 1] = name .. " = " .. (type(value) == "table" and table.concat(value, ":") or tostring(value))
  end
  table.sort(fields)
  local function rule(number) return number == 0 and "no rule" or policy({ matches[number] }) end
  return ("want %d (%s), got %d (%s) for %s"):format(want, rule(want), got, rule(got), table.concat(fields, ", "))
end

--- Compare `count` events with `rules` rules. Returns { compared =, matched =, depth = (mean number of the rule that
--- matched), wrong = (a text for each of the first few differences) }.
function M.run(seed, rules, count)
  local world = rule_world.new(seed, rules, lib)
  local first = reference.new(world.matches)
  local host, batch, seen = load_policy(world.matches)
  local out, events, depth = { compared = 0, matched = 0, wrong = {} }, {}, 0
  while out.compared < count do
    for i = 0, 255 do events[i] = world.event(batch.events[i]) end
    seen.count = 0
    host.batch(256)
    for i = 0, 255 do
      local want, got = first(events[i]), seen.rules[i]
      if want ~= got and #out.wrong < 5 then
        out.wrong[#out.wrong + 1] = describe(events[i], world.matches, want, got)
      end
      if want > 0 then out.matched, depth = out.matched + 1, depth + want end
    end
    out.compared = out.compared + 256
  end
  out.depth = out.matched > 0 and depth / out.matched or 0
  return out
end

return M
