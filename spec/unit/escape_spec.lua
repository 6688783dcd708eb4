-- SPDX-License-Identifier: MIT
-- Attempts to get out of the sandbox, to stay in it for ever, or to hurt the runtime from within: each ends in an error
-- that names the line, or in a bounded answer. Names that do not exist are sandbox_spec's and environment_spec's.
require("spec.helper")
local recording = require("recording_core")

-- Runs `body` as verdict; the log's first line without its place, and how the event ended.
local function verdict(body)
  local endings, out = recording.run("function verdict(ev)\n " .. body .. "\nend")
  assert.equal(1, #endings)
  local said = out.log[1] and out.log[1].text:match("^cellflow.lua:%d+: (.-) %[in verdict") or nil
  return said, endings[1], out
end

describe("in a hook", function()
  -- What is written, and what is said about it (plain text, its beginning).
  local refused = {
    -- other people's metatables
    { "('').format = print", "attempt to index a string value" },
    { "('x').metatable.y = 1", "attempt to index field 'metatable' (a nil value)" },
    { "return (0).x", "attempt to index a number value" },
    { "print.x = 1", 'attempt to index global \'print\' (a function value)' },
    { "local f = ('').dump f(print)", "attempt to call local 'f' (a nil value)" },
    { "string[nil] = 1", "string cannot be changed" },
    { "return string[nil]", 'string has no member "nil"' },
    { "return math[{}]", 'math has no member "table: ' },
    { "log.info = nil", "log cannot be changed" },
    { "args.x = nil", "args cannot be changed" },
    { "bit.band.x = 1", "attempt to index field 'band' (a function value)" },
    { "return json.decode('{}')", 'json has no member "decode" (did you mean "encode"?)' },
    -- the event
    { "return ev + 1", "a flow event is not a number" }, { "return -ev", "a flow event is not a number" },
    { "return ev .. 'x'", "a flow event is not text" }, { "return #ev", "a flow event has no length" },
    { "return ev()", "a flow event is not a function" }, { "return ev < 1", "a flow event cannot be compared" },
    { "return ev == 1", "a flow event cannot be compared" }, { "return ev[1e9]", "size of C type is unknown" },
    { "ev[-1] = 1", "size of C type is unknown" }, { "return ev[0/0]", "size of C type is unknown" },
    { "return ev[ev]", "a flow event cannot be compared" }, { "return ev[{}]", 'a flow event has no field "table: ' },
    { "ev.dst_port = 1", 'a flow event cannot be changed: "dst_port" is read-only' },
    { "ev.__index = 1", 'a flow event has no field "__index"' },
    { "return ev.__gc", 'a flow event has no field "__gc"' },
    { "return ev['dst_port\\0']", 'a flow event has no field "dst_port' },
    { "for _ in pairs(ev) do end", "a flow event cannot be walked" },
    { "for _ in ipairs(ev) do end", "'struct flow_event' has no '__ipairs' metamethod" },
    { "next(ev)", "bad argument #1 to 'next' (table expected, got cdata)" },
    { "unpack(ev)", "bad argument #1 to 'unpack' (table expected, got cdata)" },
    { "return bit.band(ev, 1)", "bad argument #1 to 'hook' (cannot convert 'struct flow_event *'" },
    { "return string.format('%d', ev)", "bad argument #2 to 'hook' (number expected, got cdata)" },
    { "return (('a'):gsub('a', ev))", "bad argument #2 to 'gsub'" },
    { "return json.encode(ev)", "json.encode: a flow event is not a table" },
    { "return json.encode({ ev })", "json.encode: a flow event is not a table" },
    { "return net(ev)", "net takes a network as text" },
    { "return ev.copy()", "copy is called with a colon" }, { "return ev.copy(nil)", "copy is called with a colon" },
    { "return ev.copy({})", "copy is called with a colon" }, { "return ev.copy(4096)", "copy is called with a colon" },
    { "return ev.copy('text')", "copy is called with a colon" },
    { "return ev.copy(function() end)", "copy is called with a colon" },
    -- numbers of LuaJIT's own kind, which are cdata as well
    { "return 5LL", 'verdict must return "allow", "deny" or nil, got 5LL (leave out the LL)' },
    { "return 'deny', -7ULL", "verdict must return a reason code that is text (not empty) or nil, got " ..
      "18446744073709551609ULL (leave out the ULL)" },
    { "return 2i", 'verdict must return "allow", "deny" or nil, got 0+2i (a complex number)' },
    { "return (1LL).x", "'int64_t' has no member named 'x'" },
    { "return (1LL)[0]", "'int64_t' cannot be indexed with" },
    { "return (1LL)()", "'int64_t' is not callable" },
    { "local x = 1LL x[0] = 5", "'int64_t' cannot be indexed with" },
    { "return ev + 1LL", "a flow event is not a number" }, { "return 1LL == ev", "a flow event cannot be compared" },
    { "return ev - ev", "a flow event is not a number" }, { "return ev[1LL]", "size of C type is unknown" },
    { "return json.encode(1LL)", "json.encode: 1LL (leave out the LL) has no JSON form" },
    { "emit(1LL)", "emit takes a record, a table or text, got 1LL (leave out the LL)" },
    { "counter('x'):add(1LL)", "counter:add takes a whole number, not negative, got 1LL (leave out the LL)" },
    -- error objects
    { "error(ev)", "error object is a cdata value" }, { "error({})", "error object is a table value" },
    { "error(net('10.0.0.0/8'))", "error object is a table value" }, { "error()", "error object is a nil value" },
    { "error(string)", "error object is a table value" },
    { "local ok, e = pcall(error, ev) return e.nothing", 'a flow event has no field "nothing"' },
    { "local ok, e = pcall(function() return ev.nothing end) error(e .. '!', 0)",
      'a flow event has no field "nothing"!' },
    -- too much of something
    { "('x'):rep(1e9)", "string.rep: the text would be longer than 16 MB" },
    { "string.rep('x', '1e9')", "string.rep: the text would be longer than 16 MB" },
    { "string.rep('', 1e9, 'ab')", "string.rep: the text would be longer than 16 MB" },
    { "string.rep(5, 1e9)", "string.rep: the text would be longer than 16 MB" },
    { "string.format('%9999d', 1)", "invalid option '%999' to 'format'" },
    { "string.format('%.999f', 1)", "invalid option '%.999' to 'format'" },
    { "unpack({}, 1, 1e9)", "too many results to unpack" }, { "select(-1)", "bad argument #1 to 'select'" },
    { "('x'):rep(1e6):byte(1, -1)", "string slice too long" },
    { "table.concat({}, 'x', -2^31, -2^31 + 1)", "invalid value (nil) at index -2147483648" },
    { "table.concat({}, 'x', 1, 2^31 - 1)", "invalid value (nil) at index 1" },
    { "table.concat({ {} })", "invalid value (table) at index 1" },
    { "('a'):rep(99):find(('(a)'):rep(40))", "too many captures" }, { "('a'):find('%f')", "missing '[' after '%f'" },
    { "('a'):find('[a')", "malformed pattern" }, { "('a'):find('(')", "unfinished capture" },
    { "('a'):rep(1000):find(('(a?'):rep(31) .. (')'):rep(31) .. ('a?'):rep(500))", "pattern too complex" },
    { "local t = {} for i = 1, 500 do t[i] = i % 7 end table.sort(t, function() return true end)",
      "invalid order function for sorting" },
    { "table.sort({ 3, 1, 2 }, function() error('mine', 0) end)", "mine" },
    { "table.sort({ 3, {}, 'x' })", "attempt to compare" },
    { "local x = (('abc'):gsub('.', function() error('mine', 0) end))", "mine" },
    { "local function f() return 1 + f() end f()", "stack overflow" },
    { "local t = {} t[1] = t return json.encode(t)", "json.encode: tables are nested deeper than 32" },
    { "local t = {} t.a, t.b = t, t return json.encode(t)", "json.encode: tables are nested deeper than 32" },
    { "local t = {} for i = 1, 30 do t = { t, t } end return json.encode(t)",
      "json.encode: a value has more than 100000 tables" },
    { "local t = {} t[1] = t return net(t)", "net takes a network as text, or a list of them, got a table" },
    { "return json.encode(0/0)", "json.encode: a number is not finite" },
    { "return json.encode(print)", "json.encode: a function has no JSON form" },
    { "net('10.0.0.0\\0/8')", 'net "10.0.0.0' }, { "net('10.0.0.0/8').has({}, 'x')", "net:has is called with a colon" },
    { "net('10.0.0.0/8'):has(ev)", "net:has takes an address as text" },
  }
  for _, case in ipairs(refused) do
    it("refuses " .. case[1]:sub(1, 100), function()
      local said, ending = verdict(case[1])
      assert.equal(case[2], (said or "nothing was said"):sub(1, #case[2]))
      assert.equal("script_error", ending.reason)
      assert.equal("record", ending.how)
      assert.matches("^cellflow.lua:%d+$", ending.error_place)
    end)
  end

  -- Wrong answers, which no line of the policy raises.
  for code, what in pairs({
    ["return ev"] = 'verdict must return "allow", "deny" or nil, got a flow event',
    ["return 'deny', ev"] = "verdict must return a reason code that is text (not empty) or nil, got a flow event",
    ["return 'deny', 'x', ev"] = "verdict must return a rule name that is text (not empty) or nil, got a flow event",
    ["return string"] = 'verdict must return "allow", "deny" or nil, got a table',
    ["return 'deny\\0'"] = 'verdict must return "allow", "deny" or nil, got "deny',
  }) do
    it("refuses " .. code, function() assert.equal(what, (verdict(code) or ""):sub(1, #what)) end)
  end

  -- Harmless, and how.
  local bounded = {
    { "the event as text", "return 'deny', tostring(ev)", "flow event" },
    { "the event in a format", "return 'deny', string.format('%s', ev)", "flow event" },
    { "the event as a number", "return 'deny', tostring(tonumber(ev))", "nil" },
    { "NUL bytes", "return 'deny', 'a\\0b'", "a\0b" },
    { "next of a net", "return 'deny', tostring(next(net('10.0.0.0/8')))", "nil" },
    { "pairs of a net", "for _ in pairs(net('10.0.0.0/8')) do return 'deny', 'x' end return 'deny', 'none'", "none" },
    { "json of args", "return 'deny', json.encode(args)", '{"team":"web"}' },
    { "json of log", "return 'deny', json.encode(log)", "{}" },
    { "a table in gsub", "return 'deny', (('team'):gsub('%w+', args))", "web" },
    { "select of many", "return 'deny', 'n' .. select('#', unpack({}, 1, 200))", "n200" },
    { "random", "return 'deny', type(math.random(2^53)) .. type(math.random(1, math.huge))", "numbernumber" },
    { "a wide format", "return 'deny', 'n' .. #string.format('%99.99s|%099d', 'x', 1)", "n199" },
    { "errors in a loop", "for i = 1, 1e4 do pcall(error, i) end return 'deny', 'x'", "x" },
    { "errors of ours in a loop", "for i = 1, 1e3 do pcall(function() return ev.x end) end return 'deny', 'x'", "x" },
  }
  for _, case in ipairs(bounded) do
    it("bounds " .. case[1], function()
      local host, out, batch = recording.host("function verdict(ev) " .. case[2] .. " end", { team = "web" })
      recording.fill(batch.events[0])
      host.batch(1)
      assert.same({}, out.log)
      assert.equal(case[3], out.endings[1].reason)
    end)
  end

  it("cuts texts that are long, and does not take longer over them", function()
    for _, body in ipairs({ "error((' '):rep(4e6))", "error(('\\n'):rep(4e6))", "return ev[('x'):rep(4e6)]",
      "return string[('x'):rep(4e6)]", "return (args)[nil][('x'):rep(4e6)]" }) do
      local _, ending, out = verdict(body)
      assert.equal("script_error", ending.reason)
      assert.is_true(#out.log[1].text < 10000)
    end
  end)

  it("keeps an event that was kept inside the batch", function()
    local host, out, batch = recording.host([[
      local kept
      function verdict(ev)
        kept = kept or ev
        return "deny", tostring(kept.dst_port)
      end]])
    recording.fill(batch.events[0], { dst_port = 7 })
    host.batch(1)
    recording.fill(batch.events[0], { dst_port = 8 })
    host.batch(1)
    assert.equal("7", out.endings[1].reason)
    assert.equal("8", out.endings[2].reason) -- of another event, but of one
  end)
end)

describe("a record", function()
  local function format(body, before)
    local endings, out = recording.run((before or "") .. " function format(r)\n " .. body .. "\nend", { {}, {} })
    return out.log[1] and out.log[1].text:match("^cellflow.lua:%d+: (.-) %[in") or nil, endings
  end
  it("is of no use after the call", function()
    local _, out = recording.run([[
      local kept
      function verdict() if kept then return kept.decision end end
      function format(r) kept = r return r end]], { {}, {} })
    assert.matches("cellflow.lua:2: a record is valid during the call only", out.log[1].text, 1, true)
  end)
  it("shows nothing and takes no event", function()
    assert.equal("record.x cannot be a flow event", (format("r.x = ev return r",
      "local ev function verdict(e) ev = e end") or ""):sub(1, 31))
    local _, endings = format("return tostring(next(r)) .. tostring(r.copy) :sub(1, 8)")
    assert.equal("nilfunction", endings[1].line)
    assert.equal('a record has no member "__index"', (format("return r.__index")))
    assert.equal("a record's members are named by text, got a number", (format("r[1] = 2 return r")))
  end)
  it("takes no number of LuaJIT's own kind", function()
    assert.equal("record.x cannot be 1LL (leave out the LL)", (format("r.x = 1LL return r")))
  end)
  it("encodes what it holds within bounds", function()
    assert.equal("json.encode: tables are nested deeper than 32 (or contain themselves)",
      (format("r.x = {} r.x.x = r.x return r")))
    assert.equal("json.encode: tables are nested deeper than 32 (or contain themselves)", (format("r.x = r return r")))
    local _, endings = format("r['a\\0\\n'] = '\\255\\0' r.dst_addr = nil return r")
    assert.matches('"a\\u0000\\n":"\\ufffd\\u0000"', endings[1].line, 1, true)
  end)
end)

describe("a file", function()
  for text, what in pairs({
    [("("):rep(1e5)] = "chunk has too many syntax levels",
    ["local x = " .. ("{"):rep(1e5)] = "chunk has too many syntax levels",
    ["x = " .. (" "):rep(1e6)] = "unexpected symbol near '<eof>'",
    ["local " .. ("x"):rep(1e6) .. " = 1 ="] = "unexpected symbol near '='",
    [("x"):rep(1e6) .. "()"] = 'undefined name "xxx',
    ['x = 5 "' .. (" "):rep(1e6) .. '"'] = "unexpected symbol near '",
    ["local a = \0"] = "unexpected symbol",
    ["goto nowhere"] = "undefined label 'nowhere'",
    ["cell 'a\0' {}"] = "cell: the name must not contain a NUL byte",
  }) do
    it("of " .. text:sub(1, 30):gsub("%z", "\\0") .. " is refused", function()
      local message = recording.load_error(text)
      assert.equal("cellflow.lua:1: " .. what, message:sub(1, 16 + #what))
      assert.is_true(#message < 2500)
    end)
  end
end)
