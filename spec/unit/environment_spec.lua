-- SPDX-License-Identifier: MIT
-- Everything a policy can name, as one list: whoever adds a word adds it here, and what appears by accident fails.
-- Walks the environment from outside, through the metatables that the policy cannot see.
require("spec.helper")
local recording = require("recording_core")
local sandbox = require("cellflow.sandbox")

local WORDS = [[
  assert error ipairs next pairs pcall print select tonumber tostring type unpack
  cell metadata output net args allow deny default on every emit counter window include limits flows
  kB MB GB sec minute hour
  bit.arshift bit.band bit.bnot bit.bor bit.bswap bit.bxor bit.lshift bit.rol bit.ror bit.rshift bit.tobit bit.tohex
  json.encode
  log.debug log.error log.info log.warn
  math.abs math.acos math.asin math.atan math.atan2 math.ceil math.cos math.cosh math.deg math.exp math.floor math.fmod
  math.frexp math.huge math.ldexp math.log math.log10 math.max math.min math.modf math.pi math.pow math.rad math.random
  math.randomseed math.sin math.sinh math.sqrt math.tan math.tanh
  string.byte string.char string.find string.format string.gmatch string.gsub string.len string.lower string.match
  string.rep string.reverse string.sub string.upper
  table.concat table.foreach table.foreachi table.getn table.insert table.maxn table.move table.remove table.sort
]]

local function words_of(text)
  local words = {}
  for word in text:gmatch("%S+") do words[#words + 1] = word end
  table.sort(words)
  return words
end

-- The environment that a policy got.
local function environment()
  local box
  local new = sandbox.new
  sandbox.new = function(parts)
    box = new(parts)
    return box
  end
  local ok, err = pcall(recording.host, "")
  sandbox.new = new
  assert(ok, err)
  return box.env
end

-- A table's own members and those that its metatables show.
local function members_of(value, found)
  for name, member in next, value do found[name] = member end
  local meta = debug.getmetatable(value)
  local index = meta and rawget(meta, "__index")
  if type(index) == "table" then members_of(index, found) end
  return found
end

describe("the environment", function()
  local env = environment()

  it("has these names and no others", function()
    local names = {}
    for name, member in pairs(members_of(env, {})) do
      if type(member) == "table" and name ~= "args" then
        for inner in pairs(members_of(member, {})) do names[#names + 1] = name .. "." .. inner end
      else
        names[#names + 1] = name
      end
    end
    table.sort(names)
    assert.same(words_of(WORDS), names)
  end)

  it("shows no metatable, and nothing of itself to next", function()
    for name, member in pairs(members_of(env, { [""] = env })) do
      if type(member) == "table" then
        assert.is_false(getmetatable(member), name)
        assert.is_nil(next(member), name)
      end
    end
  end)

  it("gives no policy a table of the runtime's own", function()
    local state = { _G, string, table, math, bit, package, package.loaded, debug, io, os, jit, require("ffi") }
    local seen = {}
    local function look(value, path)
      if type(value) ~= "table" or seen[value] then return end
      seen[value] = true
      for _, own in ipairs(state) do assert.is_false(rawequal(value, own), path) end
      for name, member in next, value do look(member, path .. "." .. tostring(name)) end
    end
    for name, member in pairs(members_of(env, {})) do look(member, name) end
  end)

  it("leaves the runtime what it uses, whatever a policy does", function()
    local before = { string.format, table.concat, math.floor, tostring, pairs, next }
    for _, text in ipairs({ "string.format = nil", "table.concat = print", "math.floor = nil", "tostring = nil",
      "pairs = nil", "('').format = nil", "string = nil", "bit.band = nil", "json.encode = nil", "log.warn = nil" }) do
      recording.load_error(text)
    end
    assert.same(before, { string.format, table.concat, math.floor, tostring, pairs, next })
  end)
end)
