-- SPDX-License-Identifier: MIT
-- What explain.lua found, for people (a line a step) and for programs (one JSON object). Decides nothing.
local json = require("cellflow.json")

local M = {}

M.RULES_SHOWN = 50 -- as many are shown one by one
M.RULES_FIRST = 20 -- of more than that

local function quoted(value) return type(value) == "string" and ('"%s"'):format(value) or tostring(value) end

local function decided(step)
  local parts = { step.answer, step.reason_code }
  if step.rule then parts[#parts + 1] = ('rule "%s"'):format(step.rule) end
  return "-> " .. table.concat(parts, ", ")
end

local TEXTS = {}

function TEXTS.handler(step) return ('on "%s": called'):format(step.name) end

function TEXTS.dedup(step)
  if not step.key then return "no key, never a duplicate" end
  return ("key %s, %g s: not seen"):format(quoted(step.key), step.seconds)
end

function TEXTS.rule(step)
  local title = ('%s "%s": '):format(step.decision, step.name)
  if step.matches then return title .. ("yes -> %s, %s"):format(step.decision, step.reason_code) end
  local whys = {}
  for i, why in ipairs(step.unmet) do
    whys[i] = ("%s is %s, rule wants %s"):format(why.field, why.has, why.wants)
  end
  return title .. "no, " .. table.concat(whys, "; ")
end

function TEXTS.verdict(step) return step.answer and decided(step) or "no opinion" end
function TEXTS.default(step) return decided(step) end
function TEXTS.mapping(step) return "nothing of the policy decided " .. decided(step) end

function TEXTS.reason(step)
  return step.answer and ("-> %s instead of %s"):format(step.answer, step.given) or "kept"
end

local FORMATS = { record = "the record", ["record, changed"] = "the record, changed", line = "a line of its own",
  nothing = "nothing, so no line is written" }
function TEXTS.format(step) return FORMATS[step.answer] end
function TEXTS.emit(step) return step.line end
function TEXTS.error() return "" end

local function text_of(step)
  local text
  if step.error then
    text = "error: " .. step.error
  elseif step.skipped then
    text = "not asked, " .. step.skipped
  else
    text = TEXTS[step.step](step)
  end
  if not step.place then return text end
  return step.place .. (step.step == "rule" and " " or ": ") .. text
end

local function line(word, text) return ("%-9s %s"):format(word, text) end

local function endpoint(address, port)
  if not port then return address end
  return (address:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(address, port)
end

local function event_line(ev)
  local parts = { ev.kind, ev.direction, ev.protocol or "protocol " .. ev.protocol_number }
  if ev.src_addr and ev.dst_addr then
    parts[#parts + 1] = endpoint(ev.src_addr, ev.src_port) .. " -> " .. endpoint(ev.dst_addr, ev.dst_port)
  end
  return table.concat(parts, " ") .. (ev.cell_id and ", cell " .. ev.cell_id or "")
end

local function with_commas(n)
  local text = tostring(n)
  repeat
    local count
    text, count = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until count == 0
  return text
end

-- Which of many rules are shown: the first few, and the one that matches.
local function hidden_rules(steps, all)
  local rules = {}
  for _, step in ipairs(steps) do
    if step.step == "rule" then rules[#rules + 1] = step end
  end
  if all or #rules <= M.RULES_SHOWN then return {}, 0 end
  local hidden, count = {}, 0
  for i = M.RULES_FIRST + 1, #rules do
    if not rules[i].matches then hidden[rules[i]], count = true, count + 1 end
  end
  return hidden, count
end

local ENDINGS = { suppressed = "no line is written", deduplicated = "a duplicate: no line is written",
  failed = "not even the record could be made: the event is counted as failed" }

--- Lines for people; `all`: every rule, however many.
function M.text(found, all)
  local lines = { line("event", event_line(found.event)) }
  local hidden, count = hidden_rules(found.steps, all)
  for _, step in ipairs(found.steps) do
    if not hidden[step] then
      lines[#lines + 1] = line(step.step, text_of(step))
    elseif count > 0 then
      lines[#lines + 1] = line("rule", ("... %s more rules do not match"):format(with_commas(count)))
      count = 0
    end
  end
  if found.disagreement then lines[#lines + 1] = line("BUG", found.disagreement) end
  lines[#lines + 1] = found.line and line(found.ending, found.line) or line("ending", ENDINGS[found.ending])
  return table.concat(lines, "\n") .. "\n"
end

--- One JSON object on one line. A record is an object in it, any other line is text.
function M.json(core, found)
  local plain, steps = {}, {}
  for i, step in ipairs(found.steps) do
    local copy = {}
    for name, value in pairs(step) do copy[name] = value end
    copy.text = text_of(step)
    steps[i] = copy
  end
  local out = { event = found.event, steps = steps, ending = found.ending, decision = found.answer.decision,
    reason_code = found.answer.reason_code, rule = found.answer.rule, bug = found.disagreement }
  if found.ending == "record" then
    out.record = {}
    plain[out.record] = { json = function() return found.line end }
  else
    out.line = found.line
  end
  return json.new(core, plain).encode(out) .. "\n"
end

return M
