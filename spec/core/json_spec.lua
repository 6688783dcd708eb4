-- SPDX-License-Identifier: MIT
--
-- cf_json_string: strict JSON for any bytes, read back by an independent parser and compared with a slow model of what
-- the text must have become.
local ffi = require("ffi")
local core = require("output_core")
local hostile = require("hostile")
local seeded = require("seeded")
local strict_json = require("strict_json")

local function quote(text)
  local size = 6 * #text + 2
  local out = ffi.new("char[?]", size)
  return ffi.string(out, core.cf_json_string(text, #text, out, size))
end

-- Well-formed UTF-8 by the table of the Unicode standard (chapter 3, table 3-7): lead range, then each byte's range.
local sequences = {
  { 0x00, 0x7f },
  { 0xc2, 0xdf, 0x80, 0xbf },
  { 0xe0, 0xe0, 0xa0, 0xbf, 0x80, 0xbf },
  { 0xe1, 0xec, 0x80, 0xbf, 0x80, 0xbf },
  { 0xed, 0xed, 0x80, 0x9f, 0x80, 0xbf },
  { 0xee, 0xef, 0x80, 0xbf, 0x80, 0xbf },
  { 0xf0, 0xf0, 0x90, 0xbf, 0x80, 0xbf, 0x80, 0xbf },
  { 0xf1, 0xf3, 0x80, 0xbf, 0x80, 0xbf, 0x80, 0xbf },
  { 0xf4, 0xf4, 0x80, 0x8f, 0x80, 0xbf, 0x80, 0xbf },
}

-- Bytes of `text` at `at` that fit the table's row, and whether that is the whole row.
local function fit(row, text, at)
  local want, have = #row / 2, 0
  while have < want do
    local byte = text:byte(at + have)
    if not byte or byte < row[2 * have + 1] or byte > row[2 * have + 2] then
      break
    end
    have = have + 1
  end
  return have, have == want
end

local function repaired(text)
  local parts, at = {}, 1
  while at <= #text do
    local longest, whole = 0, false
    for _, row in ipairs(sequences) do
      local have, complete = fit(row, text, at)
      if have > longest then
        longest, whole = have, complete
      end
    end
    parts[#parts + 1] = whole and text:sub(at, at + longest - 1) or "\239\191\189"
    at = at + math.max(longest, 1)
  end
  return table.concat(parts)
end

describe("json string", function()
  it("leaves plain text as it is", function()
    assert.equal('""', quote(""))
    assert.equal('"cellflow.lua:14"', quote("cellflow.lua:14"))
    assert.equal('"\195\169\226\130\172\240\159\152\128"', quote("\195\169\226\130\172\240\159\152\128"))
  end)

  it("escapes what ends a string, a line or a terminal's patience", function()
    assert.equal([["\"\\\b\t\n\f\r"]], quote('"\\\b\t\n\f\r'))
    assert.equal([["\u0000\u001b\u001f\u007f"]], quote("\0\27\31\127"))
    assert.equal([["\u2028\u2029"]], quote("\226\128\168\226\128\169"))
    assert.equal([["\u0080\u009b\u009f]] .. "\194\160" .. '"', quote("\194\128\194\155\194\159\194\160"))
  end)

  it("puts one replacement for each maximal part of a bad sequence", function()
    assert.equal([["\ufffd"]], quote("\255"))
    assert.equal([["\ufffd\ufffd"]], quote("\192\128"))
    assert.equal([["\ufffd\ufffd\ufffd"]], quote("\237\160\128"))
    assert.equal([["\ufffda"]], quote("\240\159\152a"))
    assert.equal([["\ufffd"]], quote("\226\128"))
    assert.equal([["\ufffd\ufffd\ufffd\ufffd"]], quote("\244\144\128\128"))
  end)

  it("never writes past the size given, and says so with 0", function()
    local text = 'a"\n\255\226\128\168\195\169z'
    local full = quote(text)
    for size = 0, #full do
      local out = ffi.new("char[?]", #full + 8)
      ffi.fill(out, #full + 8, 0xee)
      local len = core.cf_json_string(text, #text, out, size)
      assert.equal(size == #full and #full or 0, len)
      assert.equal(("\238"):rep(#full + 8 - size), ffi.string(out + size, #full + 8 - size))
    end
  end)

  it("does not look past the length given", function()
    local size = 20
    local out = ffi.new("char[?]", size)
    for _, whole in ipairs({ "\195\169", "\226\130\172", "\240\159\152\128", "\226\128\168" }) do
      for len = 1, #whole - 1 do
        assert.equal([["\ufffd"]], ffi.string(out, core.cf_json_string(whole, len, out, size)))
      end
    end
  end)

  it("fits in 6 * len + 2 whatever the bytes", function()
    for byte = 0, 255 do
      local text = string.char(byte):rep(100)
      assert.is_true(#quote(text) >= 2)
    end
  end)

  it("reads back as the repaired text in an independent strict parser", function()
    if not strict_json.available then
      return pending(strict_json.missing)
    end
    local random = seeded.new(20260131)
    local pool = hostile.pool(random, 1048576)
    for round = 1, 30000 do
      local at = random:below(#pool - 200) + 1
      local text = round % 3 == 0 and random:bytes(random:below(40)) or pool:sub(at, at + random:below(120))
      local json = quote(text)
      local back, why = strict_json.decode(json)
      if back ~= repaired(text) then
        error(("%q became %s: %s"):format(text, json, why or "not the repaired text"))
      end
    end
    local big = pool:sub(1, 65536)
    assert.is_true(strict_json.decode(quote(big)) == repaired(big))
  end)
end)

describe("u64 digits", function()
  it("are those of printf", function()
    local out = ffi.new("char[20]")
    local function digits(value)
      return ffi.string(out, core.cf_u64_digits(value, out))
    end
    local function expected(value)
      return (tostring(value):gsub("ULL$", ""))
    end
    local power = 1ULL
    for _ = 0, 19 do
      for _, value in ipairs({ power - 1, power, power + 1, power * 9 }) do
        assert.equal(expected(value), digits(value))
      end
      power = power * 10
    end
    assert.equal("18446744073709551615", digits(-1ULL))
    local random = seeded.new(64)
    for _ = 1, 20000 do
      local value = random:u64()
      assert.equal(expected(value), digits(value))
    end
  end)
end)
