-- SPDX-License-Identifier: MIT
-- json.encode for policies: a value of theirs as JSON, keys sorted so that the same table is the same text. Text goes
-- through core, which makes strict JSON of any bytes. Records without changes never come here; C writes them.
local ffi = require("ffi")
local compiler = require("cellflow.compiler")
local options = require("cellflow.options")
local place = require("cellflow.place")

local concat, format = table.concat, string.format

local M = {}

local DEPTH_MAX = 32
local TABLES_MAX = 100000 -- of one value; few tables that are used many times make as many parts
local EXACT = 2 ^ 53

local function fail(text)
  return place.raise("json.encode: " .. text)
end

local function string_encoder(core)
  local size = 1024
  local out, json_string = ffi.new("char[?]", size), core.cf_json_string
  return function(text)
    local need = 6 * #text + 2
    if need > size then
      if #text > ffi.C.CF_LINE_MAX then fail("text is longer than an output line may be") end
      size = need
      out = ffi.new("char[?]", size)
    end
    return (ffi.string(out, json_string(text, #text, out, size)))
  end
end

local function number_text(value)
  if value ~= value or value == math.huge or value == -math.huge then
    fail("a number is not finite")
  end
  if value == math.floor(value) and math.abs(value) <= EXACT then
    return (format("%.0f", value))
  end
  local short = format("%.15g", value)
  return tonumber(short) == value and short or format("%.17g", value)
end

-- The keys of an object, sorted, or nil when the table is a list.
local function keys_of(value)
  local keys, len = {}, #value
  for key in compiler.pairs(value) do
    if type(key) == "string" then
      keys[#keys + 1] = key
    elseif type(key) ~= "number" or key < 1 or key > len or key ~= math.floor(key) then
      fail(format("a key is a %s; keys are text, or 1 to n without gaps", type(key)))
    end
  end
  if #keys == 0 and len > 0 then return nil end
  if #keys > 0 and len > 0 then fail("a table has both named and numbered members") end
  table.sort(keys)
  return keys
end

local encode

local function encode_table(self, value, depth)
  if depth >= DEPTH_MAX then fail(format("tables are nested deeper than %d (or contain themselves)", DEPTH_MAX)) end
  self.tables = self.tables + 1
  if self.tables > TABLES_MAX then fail(format("a value has more than %d tables", TABLES_MAX)) end
  local plain = self.plain[value]
  if plain then
    if plain.json then return (plain.json(depth)) end
    value = plain.walk()
  end
  local keys = keys_of(value)
  local parts = {}
  if not keys then
    for i = 1, #value do parts[i] = encode(self, value[i], depth + 1) end
    return "[" .. concat(parts, ",") .. "]"
  end
  for i = 1, #keys do
    parts[i] = self.text(keys[i]) .. ":" .. encode(self, value[keys[i]], depth + 1)
  end
  return "{" .. concat(parts, ",") .. "}"
end

function encode(self, value, depth)
  local kind = type(value)
  if kind == "string" then return (self.text(value)) end
  if kind == "number" then return (number_text(value)) end
  if kind == "boolean" then return (tostring(value)) end
  if kind == "nil" then return "null" end
  if kind == "table" then return (encode_table(self, value, depth)) end
  if kind == "cdata" and not options.is_cdata_number(value) then
    fail("a flow event is not a table; use ev:copy()")
  end
  return fail(format("%s has no JSON form", options.describe(value)))
end

--- `members` (a list of names) of the table-like `from`, in that order; nil ones are left out. `depth` of `from` when
--- it is part of something else.
function M.object(encoder, members, from, depth)
  local parts = {}
  if not depth then encoder.tables = 0 end
  for i = 1, #members do
    local value = from[members[i]]
    if value ~= nil then
      parts[#parts + 1] = encoder.text(members[i]) .. ":" .. encode(encoder, value, (depth or 0) + 1)
    end
  end
  return "{" .. concat(parts, ",") .. "}"
end

--- An encoder: .encode(value) -> text. `plain` maps tables that are not what they seem to { json = function(depth) ->
--- text } (the record) or { walk = function() -> table } (args).
function M.new(core, plain)
  local self = { text = string_encoder(core), plain = plain or {}, tables = 0 }
  function self.encode(value)
    self.tables = 0
    return (encode(self, value, 0))
  end
  return self
end

return M
