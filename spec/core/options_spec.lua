-- SPDX-License-Identifier: MIT
--
-- Command-line options from a table: forms, environment, and mistakes that are answered with what would be right.
local ffi = require("ffi")
local helper = require("spec.helper")
require("core_headers")("error", "options")

ffi.cdef[[
int setenv(const char *name, const char *value, int overwrite);
int unsetenv(const char *name);
]]

local core, C = helper.core, ffi.C
local NAMES = { "CELLFLOW_NETNS", "CELLFLOW_RING_SIZE", "CELLFLOW_SUMMARY_RECORD", "CELLFLOW_ARG" }

-- Values by name and operands, or nil, the error's text and kind.
local function parse(...)
  local words = { "run", ... }
  local flag, text, number = ffi.new("int[1]"), ffi.new("const char *[1]"), ffi.new("long long[1]", -1)
  local list = ffi.new("struct cf_option_list")
  local verb = ffi.new("struct cf_verb", { name = "run" })
  local table_ = ffi.new("struct cf_option[5]", {
    { "netns", ("n"):byte(), C.CF_OPTION_TEXT, "NAME", "help", text },
    { "ring-size", 0, C.CF_OPTION_NUMBER, "MIB", "help", number, 1, 1024 },
    { "summary-record", ("s"):byte(), C.CF_OPTION_FLAG, "", "help", flag },
    { "arg", ("a"):byte(), C.CF_OPTION_LIST, "NAME=VALUE", "help", list },
  })
  local argv, buffers = ffi.new("char *[?]", #words + 1), {}
  for i, word in ipairs(words) do
    buffers[i] = ffi.new("char[?]", #word + 1, word)
    argv[i - 1] = buffers[i]
  end
  local operands, err = ffi.new("int[1]"), ffi.new("struct cf_error")
  local rc = core.cf_options_parse(verb, table_, #words, argv, operands, err)
  if rc < 0 then return nil, ffi.string(err.text), tonumber(err.kind) end
  local out = { flag = flag[0], number = tonumber(number[0]), list = {}, operands = {} }
  out.text = text[0] ~= nil and ffi.string(text[0]) or nil
  for i = 0, list.count - 1 do out.list[#out.list + 1] = ffi.string(list.items[i]) end
  for i = 0, operands[0] - 1 do out.operands[#out.operands + 1] = ffi.string(argv[i]) end
  return out
end

describe("options", function()
  after_each(function()
    for _, name in ipairs(NAMES) do C.unsetenv(name) end
  end)

  it("take values in every usual form", function()
    assert.equal("x", parse("--netns", "x").text)
    assert.equal("x=y", parse("--netns=x=y").text)
    assert.equal("x", parse("-n", "x").text)
    assert.equal("x", parse("-nx").text)
    assert.equal(7, parse("--ring-size=7").number)
    assert.equal(1, parse("--summary-record").flag)
    assert.equal(1, parse("-s").flag)
    assert.same({ "a=1", "b=2", "c=" }, parse("-aa=1", "--arg", "b=2", "--arg=c=").list)
  end)

  it("may stand among operands, until --", function()
    local got = parse("one", "-s", "two", "-", "--", "-s", "--netns")
    assert.same({ "one", "two", "-", "-s", "--netns" }, got.operands)
    assert.equal(1, got.flag)
    assert.is_nil(got.text)
  end)

  it("come from the environment, which the command line beats", function()
    C.setenv("CELLFLOW_NETNS", "from-env", 1)
    C.setenv("CELLFLOW_RING_SIZE", "9", 1)
    assert.equal("from-env", parse().text)
    assert.equal(9, parse().number)
    assert.equal("given", parse("--netns", "given").text)
    C.setenv("CELLFLOW_NETNS", "", 1)
    assert.is_nil(parse().text)
  end)

  it("are switched on by exactly 1", function()
    for _, text in ipairs({ "true", "yes", "on", "0", "01", " 1", "1 ", "11" }) do
      C.setenv("CELLFLOW_SUMMARY_RECORD", text, 1)
      assert.equal(0, parse().flag, text)
    end
    C.setenv("CELLFLOW_SUMMARY_RECORD", "1", 1)
    assert.equal(1, parse().flag)
  end)

  for _, case in ipairs({
    { { "--ntns", "x" }, 'run: unknown option "--ntns" (did you mean "--netns"?)' },
    { { "--ntns=x" }, 'run: unknown option "--ntns" (did you mean "--netns"?)' },
    { { "--hepl" }, 'run: unknown option "--hepl" (did you mean "--help"?)' },
    { { "--colour" }, 'run: unknown option "--colour" (see: cellflow run --help)' },
    { { "-z" }, 'run: unknown option "-z" (see: cellflow run --help)' },
    { { "--netns" }, "--netns needs a value: NAME" },
    { { "-n" }, "-n needs a value: NAME" },
    { { "--netns", "" }, "--netns: is empty, want NAME" },
    { { "--summary-record=1" }, "--summary-record takes no value" },
    { { "--ring-size", "0" }, '--ring-size: "0" is not a whole number from 1 to 1024' },
    { { "--ring-size", "1025" }, '--ring-size: "1025" is not a whole number from 1 to 1024' },
    { { "--ring-size", "4x" }, '--ring-size: "4x" is not a whole number from 1 to 1024' },
    { { "--ring-size", "1.5" }, '--ring-size: "1.5" is not a whole number from 1 to 1024' },
    { { "--ring-size", "" }, '--ring-size: "" is not a whole number from 1 to 1024' },
    { { "--ring-size", "99999999999999999999" },
      '--ring-size: "99999999999999999999" is not a whole number from 1 to 1024' },
  }) do
    it("answer " .. table.concat(case[1], " "), function()
      local got, text, kind = parse(unpack(case[1]))
      assert.is_nil(got)
      assert.equal(case[2], text)
      assert.equal(tonumber(C.CF_FAIL_USAGE), kind)
    end)
  end

  it("name the variable that is wrong", function()
    C.setenv("CELLFLOW_RING_SIZE", "many", 1)
    local _, text = parse()
    assert.equal('CELLFLOW_RING_SIZE: "many" is not a whole number from 1 to 1024', text)
  end)

  it("bound a list, and very long words", function()
    local words = {}
    for i = 1, 65 do words[i] = "-aa=" .. i end
    local _, text = parse(unpack(words))
    assert.equal("-a: given more than 64 times", text)
    _, text = parse("--" .. ("x"):rep(5000))
    assert.truthy(text:find("unknown option", 1, true))
    assert.truthy(parse("--netns", ("x"):rep(5000)).text)
  end)
end)

describe("suggestion", function()
  local function suggest(word, ...)
    local names = { ... }
    local found = core.cf_suggest(word, ffi.new("const char *[?]", #names, names), #names)
    return found ~= nil and ffi.string(found) or nil
  end

  it("is the nearest name, if any is near", function()
    assert.equal("netns", suggest("nets", "interface", "netns", "hooks"))
    assert.equal("interface", suggest("interfaces", "netns", "interface"))
    assert.equal("hooks", suggest("hoks", "hook-up", "hooks"))
    assert.is_nil(suggest("zebra", "netns", "interface"))
    assert.is_nil(suggest(("x"):rep(500), "netns"))
    assert.is_nil(suggest("x"))
  end)
end)
