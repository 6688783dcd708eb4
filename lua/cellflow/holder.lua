-- SPDX-License-Identifier: MIT
-- Which local of a policy holds its memory, for the line that says its worker goes: walks what the policy's functions
-- can reach, adds up what it takes, and names the local that leads to the most. Sizes are near enough to tell megabytes
-- apart. Bounded; changes nothing.
local ffi = require("ffi")
local place = require("cellflow.place")
local window = require("cellflow.window")

local M = {}

M.VISITS_MAX = 4e6 -- members looked at; some tenths of a second
M.OBJECTS_MAX = 1e6 -- remembered as seen: 40 MB

-- Bytes, as LuaJIT lays them out.
local TABLE, MEMBER, STRING, FUNCTION, CDATA = 64, 20, 25, 48, 16
local SHARED_MIN = 64 -- shorter texts are not remembered, and count each time

local function add_children(self, value, kind)
  if kind == "function" then
    if not place.of_function(value) then return end -- the runtime's own
    for i = 1, math.huge do
      local name, held = debug.getupvalue(value, i)
      if not name then return end
      self.todo[#self.todo + 1] = held
    end
    return
  end
  for key, held in next, window.state_of(value) or value do
    self.visits = self.visits + 1
    if self.visits > M.VISITS_MAX then return end
    self.bytes = self.bytes + MEMBER
    if type(key) == "string" or type(key) == "table" then self.todo[#self.todo + 1] = key end
    if type(held) ~= "number" and type(held) ~= "boolean" then self.todo[#self.todo + 1] = held end
  end
end

local function is_new(self, value, kind)
  if kind == "string" and #value < SHARED_MIN then return true end
  if self.seen[value] or self.objects >= M.OBJECTS_MAX then return false end
  self.seen[value], self.objects = true, self.objects + 1
  return true
end

local function own_size(value, kind)
  if kind == "string" then return STRING + #value end
  if kind == "cdata" then return CDATA + (ffi.sizeof(value) or 0) end
  return kind == "table" and TABLE or FUNCTION
end

-- Bytes that `root` leads to and nothing before it did.
local function weigh(self, root)
  self.bytes, self.todo = 0, { root }
  while #self.todo > 0 do
    local value = self.todo[#self.todo]
    self.todo[#self.todo] = nil
    local kind = type(value)
    if (kind == "table" or kind == "function" or kind == "string" or kind == "cdata") and is_new(self, value, kind) then
      self.bytes = self.bytes + own_size(value, kind)
      if kind == "table" or kind == "function" then add_children(self, value, kind) end
    end
  end
  return self.bytes
end

-- Calls visit(id, name, value) for the locals that fn uses from outside, those of the helpers it calls included.
local function each_local(fn, visit, known)
  if known[fn] or not place.of_function(fn) then return end
  known[fn] = true
  for i = 1, math.huge do
    local name, value = debug.getupvalue(fn, i)
    if not name then return end
    if type(value) == "function" then
      each_local(value, visit, known)
    else
      visit(debug.upvalueid(fn, i), name, value)
    end
  end
end

local function locals_of(functions)
  local list, by_id = {}, {}
  for _, each in ipairs(functions) do
    each_local(each.fn, function(id, name, value)
      local key = tostring(id)
      local found = by_id[key]
      if not found then
        found = { name = name, value = value, users = {} }
        by_id[key], list[#list + 1] = found, found
      end
      if found.users[#found.users] ~= each.title then found.users[#found.users + 1] = each.title end
    end, {})
  end
  return list
end

--- `functions`: the policy's, { { fn =, title = "verdict at p.lua:3" }, ... }. Returns '31.0 MB of it in "kept" of
--- verdict at p.lua:3', or nil when no local of theirs has a tenth of a megabyte.
function M.name(functions)
  local self = { seen = {}, objects = 0, visits = 0 }
  local most
  for _, found in ipairs(locals_of(functions)) do
    found.bytes = weigh(self, found.value)
    if not most or found.bytes > most.bytes then most = found end
  end
  if not most or most.bytes < 1e5 then return nil end
  local others = #most.users - 1
  return ('%.1f MB of it in "%s" of %s%s'):format(most.bytes / 2 ^ 20, most.name, most.users[1],
    others > 0 and (" and of %d more"):format(others) or "")
end

return M
