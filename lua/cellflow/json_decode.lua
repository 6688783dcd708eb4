-- SPDX-License-Identifier: MIT
-- One JSON object as a Lua table, for events that people hand to `cellflow explain`. Strict; null is left out like any
-- value that is not known. Speed is no concern here, and nothing of a run comes by.
local M = {}

local DEPTH_MAX = 32
local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local value_at

local function fail(at, what)
  error({ what = ("%s at byte %d"):format(what, at) }, 0)
end

local function skip(text, at) return text:match("^[ \t\r\n]*()", at) end

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  local bytes, first = {}, code < 0x800 and 0xc0 or code < 0x10000 and 0xe0 or 0xf0
  local count = first == 0xc0 and 1 or first == 0xe0 and 2 or 3
  for i = count, 1, -1 do
    bytes[i] = string.char(0x80 + code % 64)
    code = math.floor(code / 64)
  end
  return string.char(first + code) .. table.concat(bytes)
end

-- A \u escape whose four digits begin at `at` -> text, and where it goes on.
local function unicode(text, at)
  local digits = text:match("^%x%x%x%x", at)
  if not digits then fail(at, "an escape without four hex digits") end
  local code = tonumber(digits, 16)
  if code < 0xd800 or code > 0xdfff then return utf8(code), at + 4 end
  local low = text:match("^\\u([dD][c-fC-F]%x%x)", at + 4)
  if code > 0xdbff or not low then fail(at, "half a surrogate pair") end
  return utf8(0x10000 + (code - 0xd800) * 0x400 + tonumber(low, 16) - 0xdc00), at + 10
end

-- `at` is behind the opening quote.
local function string_at(text, at)
  local parts = {}
  while true do
    local plain, stop = text:match('^([^"\\%c]*)()', at)
    parts[#parts + 1] = plain
    local char = text:sub(stop, stop)
    if char == '"' then return table.concat(parts), stop + 1 end
    if char == "\127" then
      parts[#parts + 1], at = char, stop + 1
    elseif char ~= "\\" then
      fail(stop, char == "" and "text without an end" or "a control character in text")
    elseif text:sub(stop + 1, stop + 1) == "u" then
      parts[#parts + 1], at = unicode(text, stop + 2)
    else
      parts[#parts + 1] = ESCAPES[text:sub(stop + 1, stop + 1)] or fail(stop, "an unknown escape")
      at = stop + 2
    end
  end
end

local function number_at(text, at)
  local number, stop = text:match("^(-?%d+%.?%d*[eE]?[+-]?%d*)()", at)
  local value = number and not number:match("^-?0%d") and not number:match("%.$") and not number:match("%.[eE]")
    and tonumber(number)
  if not value then fail(at, "no JSON value") end
  return value, stop
end

-- Members or items up to `close`; one(at) reads one of them and returns where it goes on.
local function each(text, at, close, one)
  at = skip(text, at)
  if text:sub(at, at) == close then return at + 1 end
  while true do
    at = skip(text, one(skip(text, at)))
    local char = text:sub(at, at)
    if char == close then return at + 1 end
    if char ~= "," then fail(at, ('"," or "%s" is missing'):format(close)) end
    at = at + 1
  end
end

local function object_at(text, at, depth)
  local object = {}
  return object, each(text, at, "}", function(from)
    if text:sub(from, from) ~= '"' then fail(from, "a name in quotes is missing") end
    local name, stop = string_at(text, from + 1)
    stop = skip(text, stop)
    if text:sub(stop, stop) ~= ":" then fail(stop, '":" is missing') end
    if object[name] ~= nil then fail(from, ('"%s" is there twice'):format(name)) end
    object[name], stop = value_at(text, skip(text, stop + 1), depth + 1)
    return stop
  end)
end

local function list_at(text, at, depth)
  local list = {}
  return list, each(text, at, "]", function(from)
    local value, stop = value_at(text, from, depth + 1)
    list[#list + 1] = value
    return stop
  end)
end

function value_at(text, at, depth)
  if depth > DEPTH_MAX then fail(at, "nested too deep") end
  local char = text:sub(at, at)
  if char == "{" then return object_at(text, at + 1, depth) end
  if char == "[" then return list_at(text, at + 1, depth) end
  if char == '"' then return string_at(text, at + 1) end
  for word, value in pairs({ ["true"] = { true }, ["false"] = { false }, null = {} }) do
    if text:sub(at, at + #word - 1) == word then return value[1], at + #word end
  end
  return number_at(text, at)
end

--- The object that `text` is, as a table; or nil and what is wrong.
function M.object(text)
  local ok, value, stop = pcall(function()
    local at = skip(text, 1)
    if text:sub(at, at) ~= "{" then fail(at, "no JSON object") end
    local object, after = value_at(text, at, 1)
    after = skip(text, after)
    if after <= #text then fail(after, "more text behind the object") end
    return object, after
  end)
  if ok then return value, stop end
  if type(value) == "table" then return nil, value.what end
  return error(value, 0)
end

return M
