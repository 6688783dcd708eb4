-- SPDX-License-Identifier: MIT
-- What `cellflow check` sees in a policy's functions without calling them, in their bytecode: names that nothing
-- defines, also on lines that no made-up event reaches, and hooks that cannot answer. Opcodes are learnt by compiling
-- samples, as their numbers are LuaJIT's own affair.
local bit = require("bit")
local local_hooks = require("cellflow.local_hooks")
local sandbox = require("cellflow.sandbox")
local place = require("cellflow.place")

local util = require("jit.util")
local funcbc, funck, funcinfo = util.funcbc, util.funck, util.funcinfo

local M = {}

local function opcodes_of(text)
  local ops, fn = {}, assert(load(text))
  for pc = 1, math.huge do
    local ins = funcbc(fn, pc)
    if not ins then return ops end
    ops[pc] = bit.band(ins, 0xff)
  end
end

local EMPTY = opcodes_of("return")[1]
local GGET, GSET = opcodes_of("return name")[1], opcodes_of("name = 1")[2]

-- Every way to return something; RET0 is the one that does not.
local ANSWERS = {}
for _, text in ipairs({ "return 1", "return 1, 2", "return ...", "return f()", "return f(...)" }) do
  local ops = opcodes_of(text)
  for pc = 1, #ops do ANSWERS[ops[pc]] = pc >= #ops and true or ANSWERS[ops[pc]] end
end

local is_hook = {}
for _, name in ipairs(sandbox.HOOKS) do is_hook[name] = true end

-- Calls fn(prototype) for a function and all that are written in it.
local function each_prototype(fn, visit)
  visit(fn)
  for i = -1, -math.huge, -1 do
    local constant = funck(fn, i)
    if constant == nil then return end
    if type(constant) == "proto" then each_prototype(constant, visit) end
  end
end

local function wrong_read(self, name, names)
  if self.known[name] then return nil end
  return sandbox.undefined(name, names)
end

local function wrong_write(self, name)
  if is_hook[name] then return nil end
  return self.refused(name)
end

local function visit_names(self, fn, names, found)
  for pc = 1, math.huge do
    local ins = funcbc(fn, pc)
    if not ins then return end
    local op = bit.band(ins, 0xff)
    if op == GGET or op == GSET then
      local name = funck(fn, -bit.rshift(ins, 16) - 1)
      local wrong = op == GGET and wrong_read(self, name, names) or op == GSET and wrong_write(self, name)
      if wrong then
        found[#found + 1] = ("%s: %s"):format(place.of_line(funcinfo(fn, pc)) or "?", wrong)
      end
    end
  end
end

--- Errors "file:line: what" about names in `chunks`, the compiled files of a policy ({ fn =, text = }). `names` is what
--- it may name (of sandbox.lua); of the hooks only those that are defined can be read.
function M.names(chunks, names, hooks)
  local self, found = { known = {}, refused = sandbox.refused }, {}
  for _, name in ipairs(names) do self.known[name] = not is_hook[name] or hooks[name] and true end
  for _, chunk in ipairs(chunks) do
    each_prototype(chunk.fn, function(fn) visit_names(self, fn, names, found) end)
  end
  return found
end

-- Those of the library that are written in C have none.
local function has_bytecode(fn) return funcinfo(fn).bytecodes ~= nil end

local function can_answer(fn)
  if not has_bytecode(fn) then return true end
  for pc = 1, math.huge do
    local ins = funcbc(fn, pc)
    if not ins then return false end
    if ANSWERS[bit.band(ins, 0xff)] then return true end
  end
end

local USELESS = {
  dedup = "so no event is a duplicate", verdict = "so it decides nothing", reason = "so it changes no reason code",
  format = "so no record is written",
}

--- Warnings about hooks in which no line returns anything; what depends on events cannot be told here.
--- `stuck`: places of those that did not even come back.
function M.answers(hooks, places, stuck)
  local lines = {}
  for _, name in ipairs(sandbox.HOOKS) do
    if hooks[name] and not stuck[places[name]] and not can_answer(hooks[name]) then
      lines[#lines + 1] = ("%s: %s never returns anything, %s"):format(places[name] or "?", name, USELESS[name])
    end
  end
  return lines
end

--- Warnings about timers without a line: they do nothing, and an idle process without timers would sleep.
function M.timers(list)
  local lines = {}
  for _, timer in ipairs(list) do
    if timer.fn and has_bytecode(timer.fn) and bit.band(funcbc(timer.fn, 1), 0xff) == EMPTY then
      lines[#lines + 1] = ("%s: %s does nothing, and wakes the process for it"):format(timer.place, timer.title)
    end
  end
  return lines
end

--- Warnings about functions with the name of a hook that are local. `chunks` as for names.
function M.locals(chunks, hooks)
  local lines = {}
  for _, chunk in ipairs(chunks) do
    local file = place.of_function(chunk.fn):match("^(.*):%d+$")
    for _, line in ipairs(local_hooks.warnings(chunk.text, file, hooks)) do lines[#lines + 1] = line end
  end
  return lines
end

return M
