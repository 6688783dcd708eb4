-- SPDX-License-Identifier: MIT
--
-- Interned texts: one id for one text, bounded, with shared ids for what is too much or too long.
local ffi = require("ffi")
local core = require("output_core")

local NAMES = ffi.C.CF_INTERN_NAME_MAX
local LINE_MAX = 1048576
local len = ffi.new("size_t[1]")

local function intern(text)
  return core.cf_intern(text, #text)
end

local function bytes(lookup, id)
  local found = lookup(id, len)
  if found == nil then
    return nil, tonumber(len[0])
  end
  return ffi.string(found, len[0])
end

local function text_of(id)
  return bytes(core.cf_intern_text, id)
end

local function json_of(id)
  return bytes(core.cf_intern_json, id)
end

describe("intern", function()
  before_each(function() core.cf_intern_reset() end)
  after_each(function() core.cf_intern_reset() end)

  it("gives one id to one text and keeps both forms", function()
    local a, b, empty, nul = intern("https"), intern("no\"ssh\n"), intern(""), intern("\0")
    assert.equal(1, a)
    assert.equal(a, intern("https"))
    assert.equal(4, #{ a, b, empty, nul })
    assert.equal("https", text_of(a))
    assert.equal('"https"', json_of(a))
    assert.equal('"no\\"ssh\\n"', json_of(b))
    assert.equal("", text_of(empty))
    assert.equal('""', json_of(empty))
    assert.equal('"\\u0000"', json_of(nul))
    assert.are_not.equal(empty, nul)
    assert.equal(0, core.cf_intern_is_shared(a))
  end)

  it("has nothing for id 0 and for ids never given", function()
    intern("one")
    for _, id in ipairs({ 0, 2, NAMES, NAMES + 1, NAMES + 9, 65536, 4294967295 }) do
      assert.same({ nil, 0 }, { json_of(id) }, id)
      assert.same({ nil, 0 }, { text_of(id) }, id)
    end
  end)

  it("keeps a fixed number of texts for good and passes the rest through shared ids", function()
    local ids = {}
    for i = 1, NAMES do
      ids[i] = intern("rule-" .. i)
      assert.equal(i, ids[i])
    end
    for i = 1, 100 do
      local id = intern("more-" .. i)
      assert.equal(1, core.cf_intern_is_shared(id))
      assert.equal("more-" .. i, text_of(id))
      assert.equal('"more-' .. i .. '"', json_of(id))
    end
    for i = 1, NAMES do
      assert.equal(ids[i], intern("rule-" .. i))
      assert.equal('"rule-' .. i .. '"', json_of(ids[i]))
      assert.equal(0, core.cf_intern_is_shared(ids[i]))
    end
  end)

  it("lets the four texts of one decision be new at once", function()
    for i = 1, NAMES do
      intern("rule-" .. i)
    end
    local reason, rule, place, error_place = intern("w"), intern("x"), intern("y"), intern("z")
    assert.same({ "w", "x", "y", "z" }, { text_of(reason), text_of(rule), text_of(place), text_of(error_place) })
  end)

  it("takes long texts without keeping them", function()
    local long = ("\1"):rep(65536)
    local id = intern(long)
    assert.equal(1, core.cf_intern_is_shared(id))
    assert.is_true(text_of(id) == long)
    assert.is_true(json_of(id) == '"' .. ("\\u0001"):rep(65536) .. '"')
    assert.equal(0, core.cf_intern_is_shared(intern(("k"):rep(1024))))
    assert.equal(1, core.cf_intern_is_shared(intern(("k"):rep(1025))))
  end)

  it("says when no line could hold a text", function()
    for _, long in ipairs({ ("x"):rep(LINE_MAX), ("\1"):rep(LINE_MAX / 6 + 1), ("x"):rep(3 * LINE_MAX) }) do
      local found, size = json_of(intern(long))
      assert.is_nil(found)
      assert.is_true(size > 2 ^ 63)
      assert.is_nil((text_of(intern(long))))
    end
    assert.equal(LINE_MAX - 8, #json_of(intern(("x"):rep(LINE_MAX - 10))))
  end)
end)
