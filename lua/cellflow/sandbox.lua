-- SPDX-License-Identifier: MIT
-- The environment of a policy: a fixed list of names and the four hooks it may define. It protects an honest operator
-- from mistakes (a misspelt name, a forgotten local); it is no jail for hostile code, and the docs say so.
local bit = require("bit")
local compiler = require("cellflow.compiler")
local place = require("cellflow.place")
local suggest = require("cellflow.suggest")
local units = require("cellflow.units")

local M = {}

M.HOOKS = { "dedup", "verdict", "reason", "format" }
local is_hook = {}
for _, name in ipairs(M.HOOKS) do is_hook[name] = true end

-- Not on the list, on purpose: what reaches files, code, other environments or metatables.
local BASE = { "ipairs", "next", "select", "tostring", "tonumber", "type", "error", "assert", "pcall", "unpack" }

-- By name, not by what the state has: modules of the runtime add to these tables (table.new).
local LIBRARIES = {
  string = "byte char find format gmatch gsub len lower match rep reverse sub upper",
  table = "concat foreach foreachi getn insert maxn move remove sort",
  math = "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min modf pi pow rad"
    .. " random randomseed sin sinh sqrt tan tanh",
  bit = "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex",
}

-- Text has methods through a metatable that is the whole state's, so leaving dump out of the copy would not do.
string.dump = nil -- luacheck: ignore 122

M.REP_MAX = 16 * 1024 * 1024 -- bytes that string.rep makes at most; one call cannot be interrupted

-- In place for the same reason; the runtime repeats nothing.
local rep = string.rep
function string.rep(text, n, separator) -- luacheck: ignore 122
  local len = #tostring(text) + (separator and #tostring(separator) or 0)
  if (tonumber(n) or 0) * len > M.REP_MAX then
    place.raise(("string.rep: the text would be longer than %d MB"):format(M.REP_MAX / 2 ^ 20))
  end
  if separator == nil then return (rep(text, n)) end
  return (rep(text, n, separator))
end

local function names_of(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Read-only, and strict about names. The members lie one metatable further on, where assignment cannot reach them.
local function strict(title, members)
  local names = names_of(members)
  setmetatable(members, {
    __index = function(_, name)
      place.raise(('%s has no member "%s"%s'):format(title, tostring(name), suggest.hint(name, names)))
    end,
  })
  return setmetatable({}, {
    __index = members,
    __newindex = function() place.raise(title .. " cannot be changed") end,
    __metatable = false,
  })
end

M.strict = strict

-- A private copy: the tables of the state belong to the runtime as well.
local function library(title, from)
  local members = {}
  for name in LIBRARIES[title]:gmatch("%S+") do members[name] = from[name] end
  return strict(title, members)
end

local function read_only_args(given, plain)
  local args = {}
  for name, value in pairs(given) do args[name] = tostring(value) end
  local proxy = setmetatable({}, {
    __index = args,
    __newindex = function() place.raise("args cannot be changed; they come from -a name=value") end,
    __metatable = false,
  })
  plain[proxy] = { walk = function() return args end }
  return proxy
end

-- Objects whose members are not in the table itself are walked over a copy.
local function walker(plain)
  return function(what)
    local special = type(what) == "table" and plain[what]
    if special then
      local copy = {}
      for name, value in pairs(special.walk()) do copy[name] = value end
      return compiler.pairs(copy)
    end
    if type(what) ~= "table" then return pairs(what) end -- for its error
    return compiler.pairs(what)
  end
end

local function base_words(parts)
  local words = {}
  for _, name in ipairs(BASE) do words[name] = _G[name] end
  for name, value in pairs(units) do words[name] = value end
  for name, value in pairs(parts.words) do words[name] = value end
  words.pairs, words.next = walker(parts.plain), compiler.next
  words.string, words.table = library("string", string), library("table", table)
  words.math, words.bit = library("math", math), library("bit", bit)
  words.json = strict("json", { encode = parts.json_encode })
  local log = parts.log
  words.log = strict("log", { debug = log.debug, info = log.info, warn = log.warn, error = log.error })
  words.print = log.print
  words.args = read_only_args(parts.args, parts.plain)
  return words
end

local function define_hook(self, name, fn)
  if self.closed then
    place.raise(name .. " may only be defined while the file is read")
  elseif type(fn) ~= "function" then
    place.raise(("%s must be a function, got a %s"):format(name, type(fn)))
  elseif self.hooks[name] then
    place.raise(("%s is defined twice; the first is at %s"):format(name, self.places[name] or "?"))
  end
  self.hooks[name], self.places[name] = fn, place.of_function(fn) or place.here()
  rawset(self.words, name, fn)
end

-- What policies have in place of what plain Lua has.
local INCLUDE, NO_METATABLES = 'include "FILE" reads another file', "policies have no metatables"
local INSTEAD = { os = "the time is ev.time, or what a timer is given", xpcall = "pcall is there",
  io = "emit and log write, include reads a file of the policy", require = INCLUDE, dofile = INCLUDE,
  loadfile = INCLUDE, load = INCLUDE, loadstring = INCLUDE, setmetatable = NO_METATABLES,
  getmetatable = NO_METATABLES }

--- What is wrong with reading the global `name`, where `names` are defined.
function M.undefined(name, names)
  local instead = INSTEAD[name]
  return ('undefined name "%s"%s'):format(name, instead and (" (%s)"):format(instead) or suggest.hint(name, names))
end

--- What is wrong with assigning the global `name`.
function M.refused(name)
  return ('global "%s" may not be assigned; write local %s, or one of the hooks %s%s'):format(name, name,
    table.concat(M.HOOKS, ", "), suggest.hint(name, M.HOOKS))
end

local function refuse_global(self, name)
  if rawget(self.words, name) ~= nil then
    place.raise(('"%s" is a word of cellflow and cannot be assigned'):format(tostring(name)))
  end
  place.raise(M.refused(tostring(name)))
end

--- An environment. `parts`: words (name -> function), args (name -> text), log, json_encode, plain (tables that are
--- not what they seem). Returns { env=, hooks=, places=, names=, close= }; names: all that the policy may name; close
--- ends the time for defining hooks.
function M.new(parts)
  local self = { hooks = {}, places = {}, closed = false }
  self.words = base_words(parts)
  local names = names_of(self.words)
  for _, name in ipairs(M.HOOKS) do names[#names + 1] = name end
  self.names = names
  setmetatable(self.words, {
    __index = function(_, name)
      place.raise(M.undefined(tostring(name), names))
    end,
  })
  self.env = setmetatable({}, {
    __index = self.words,
    __newindex = function(_, name, value)
      if is_hook[name] then return define_hook(self, name, value) end
      return refuse_global(self, name)
    end,
    __metatable = false,
  })
  function self.close() self.closed = true end
  return self
end

--- A list of every chunk that is compiled ({ fn =, text = }), where somebody put one here: for `check`, which looks at
--- functions that nothing calls. Elsewhere chunks are garbage once they ran, and may be large.
M.compiled = nil

--- Compile a policy's text for `env`; returns the function, or nil and "file:line: what".
function M.compile(text, file, env)
  if text:byte(1) == 27 then
    return nil, file .. ": is bytecode; a policy is Lua text"
  end
  -- Bytecode can break out of the VM. Behind a byte order mark LuaJIT itself refuses it; "t" refuses the rest.
  local chunk, wrong = load(text, place.register(file), "t", env)
  if not chunk then
    return nil, place.line(tostring(wrong))
  end
  if M.compiled then M.compiled[#M.compiled + 1] = { fn = chunk, text = text } end
  return chunk
end

return M
