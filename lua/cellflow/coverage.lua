-- SPDX-License-Identifier: MIT
-- Which lines of policies ran, and which of their rules matched, while specs were run: noted by the debug hook, so only
-- where nothing is compiled. How it is told is coverage_report.lua's.
local bit = require("bit")
local util = require("jit.util")

local sethook, getinfo = debug.sethook, debug.getinfo
local funcbc, funcinfo, funck = util.funcbc, util.funcinfo, util.funck

local M = {}

-- A chunk's source -> { text =, lines = }, where lines is number -> a table of the functions that have code on the
-- line: the line that each begins at -> whether that code ran. So a line whose function is never called is not
-- taken for run.
local files = {}
local rules = {} -- place -> { name =, decision =, place =, matched = }
local is_open, is_inside = false, false

-- Opcodes are learnt from samples, as their numbers are LuaJIT's own affair.
local function opcodes_of(text)
  local ops, fn = {}, assert(load(text))
  for pc = 1, math.huge do
    local ins = funcbc(fn, pc)
    if not ins then return ops end
    ops[pc] = bit.band(ins, 0xff)
  end
end

local MAKE_FUNCTION = opcodes_of("local function f() end")[1]
local CLOSE, LEAVE
do
  local ops = opcodes_of("local x; local function f() return x end")
  CLOSE, LEAVE = ops[#ops - 1], ops[#ops]
end

-- Calls fn(prototype) for a function and all that are written in it.
local function each_prototype(fn, visit)
  visit(fn)
  for i = -1, -math.huge, -1 do
    local constant = funck(fn, i)
    if constant == nil then return end
    if type(constant) == "proto" then each_prototype(constant, visit) end
  end
end

-- The lines that do something. A function is made, and left where it just ends, at the line of its "end": that says
-- nothing about what is in it.
local function add_lines(lines, fn)
  local info = funcinfo(fn)
  local count = info.bytecodes - 1
  while count > 0 do
    local op = bit.band(funcbc(fn, count), 0xff)
    if op ~= LEAVE and op ~= CLOSE then break end
    count = count - 1
  end
  for pc = 1, count do
    if bit.band(funcbc(fn, pc), 0xff) ~= MAKE_FUNCTION then
      local line = funcinfo(fn, pc).currentline
      if line and line > 0 then
        lines[line] = lines[line] or {}
        lines[line][info.linedefined] = false
      end
    end
  end
end

local function note(line)
  local info = getinfo(3, "S")
  local file = files[info.source]
  local parts = file and file.lines[line]
  if parts and parts[info.linedefined] == false then parts[info.linedefined] = true end
end

-- A chunk runs before anybody can look at it: what its lines did is told by their file's name.
local function note_unread(line)
  local info = getinfo(3, "S")
  local file = files[info.source]
  if not file and info.source:sub(1, 1) == "@" then
    file = { lines = {}, text = false }
    files[info.source] = file
  end
  if not file then return end
  file.lines[line] = file.lines[line] or {}
  file.lines[line][info.linedefined] = true
end

local on_line = note

-- debug.sethook for everybody else from now on: there is only one hook, and lines are to be seen beside it.
local function shared_sethook(fn, mask, count)
  if not is_inside then
    if fn then return sethook(fn, mask, count) end
    return sethook()
  end
  return sethook(function(what, line)
    if what == "line" then
      on_line(line) -- no tail call: on_line counts frames
    else
      fn(what, line)
    end
  end, "l", fn and count or 0)
end

--- From now on lines are noted between begin and finish. Before any other module of cellflow is loaded, since those
--- keep debug.sethook to themselves.
function M.open()
  is_open = true
  debug.sethook = shared_sethook -- luacheck: ignore 122
end

function M.begin(is_reading)
  if not is_open then return end
  is_inside, on_line = true, is_reading and note_unread or note
  shared_sethook()
end

function M.finish()
  if not is_open then return end
  is_inside = false
  sethook()
end

--- The files of a policy that was read just now: { { fn = its chunk, text = } }. What was noted of other sources while
--- it was read is forgotten.
function M.add(chunks)
  if not is_open then return end
  for _, chunk in ipairs(chunks) do
    local source = getinfo(chunk.fn, "S").source
    local ran, lines = files[source] and files[source].lines or {}, {}
    each_prototype(chunk.fn, function(fn) add_lines(lines, fn) end)
    for line, parts in pairs(lines) do
      for part in pairs(parts) do parts[part] = ran[line] and ran[line][part] or false end
    end
    files[source] = { text = chunk.text, lines = lines }
  end
  for source, file in pairs(files) do
    if not file.text then files[source] = nil end
  end
end

--- The rules of a policy: { name =, decision =, place = }.
function M.add_rules(list)
  if not is_open then return end
  for _, rule in ipairs(list) do
    rules[rule.place] = rules[rule.place] or { name = rule.name, decision = rule.decision, place = rule.place,
      matched = 0 }
  end
end

--- That rule matched an event; nil: none did.
function M.rule(rule)
  local known = is_open and rule and rules[rule.place]
  if known then known.matched = known.matched + 1 end
end

--- A list of { name = file, text =, lines = as above, rules = list of { name =, decision =, place =, matched = times }
--- }, by name.
function M.files()
  local list, by_name = {}, {}
  for source, file in pairs(files) do
    local entry = { name = source:sub(2), text = file.text, lines = file.lines, rules = {} }
    list[#list + 1], by_name[entry.name] = entry, entry
  end
  for where, rule in pairs(rules) do
    local entry = by_name[where:match("^(.*):%d+$")]
    if entry then entry.rules[#entry.rules + 1] = rule end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  for _, entry in ipairs(list) do
    table.sort(entry.rules, function(a, b) return tonumber(a.place:match("%d+$")) < tonumber(b.place:match("%d+$")) end)
  end
  return list
end

return M
