-- SPDX-License-Identifier: MIT
-- What a policy can name, what it cannot, and what it is told then.
require("spec.helper")
local recording = require("recording_core")

-- What the chunk returns through a log line.
local function logged(text, args)
  local _, out = recording.host("log.info(" .. text .. ")", args)
  return out.log[1].text
end

describe("the sandbox has", function()
  local values = {
    { "type(pairs) .. type(ipairs) .. type(next) .. type(select) .. type(unpack)", ("function"):rep(5) },
    { "tostring(tonumber('0x10')) .. type(pcall) .. type(error) .. type(assert)", "16" .. ("function"):rep(3) },
    { "('a'):rep(2) .. string.format('%d', 3)", "aa3" }, { "table.concat({ 1, 2 }, '-')", "1-2" },
    { "math.floor(2.5)", "2" }, { "bit.band(6, 3)", "2" },
    { "kB .. ' ' .. MB .. ' ' .. GB", "1024 1048576 1073741824" }, { "sec + minute + hour", "3661" },
    { "json.encode({ b = 1, a = 'x' })", '{"a":"x","b":1}' },
    { "tostring(net('10.0.0.0/8'):has('10.1.1.1'))", "true" },
  }
  for _, case in ipairs(values) do
    it(case[1], function() assert.equal(case[2], logged(case[1])) end)
  end
  it("args as text, nil when not given, read-only, and pairs over them", function()
    assert.equal("7 string", logged("args.n .. ' ' .. type(args.n)", { n = 7 }))
    assert.equal("nil", logged("args.n"))
    assert.equal("n=7", logged("(function() for k, v in pairs(args) do return k .. '=' .. v end end)()", { n = 7 }))
    assert.equal("cellflow.lua:1: args cannot be changed; they come from -a name=value",
      recording.load_error("args.x = 1"))
  end)
  it("log by level, and print as info", function()
    local _, out = recording.host("log.debug 'a' log.info(1) log.warn 'c' log.error 'd' print('e', nil, 2) print()")
    local got = {}
    for _, line in ipairs(out.log) do got[#got + 1] = line.level .. line.text end
    assert.same({ "3a", "21", "1c", "0d", "2e\tnil\t2", "2" }, got)
    assert.equal("cellflow.lua:1: print takes at most 8 values", recording.load_error("print(1,2,3,4,5,6,7,8,9)"))
  end)
end)

describe("the sandbox refuses", function()
  for _, name in ipairs({ "os", "io", "ffi", "package", "require", "load", "loadstring", "dofile", "loadfile", "debug",
    "jit", "collectgarbage", "getfenv", "setfenv", "rawget", "rawset", "rawequal", "getmetatable", "setmetatable",
    "module", "newproxy", "coroutine", "_G", "xpcall", "gcinfo", "arg" }) do
    it("the name " .. name, function()
      local text = recording.load_error("\nlocal x = " .. name)
      assert.matches(('^cellflow.lua:2: undefined name "%s"'):format(name), text)
    end)
  end
  it("what plain Lua has, with what there is instead", function()
    for name, instead in pairs({ os = "the time is ev.time, or what a timer is given",
      io = "emit and log write, include reads a file of the policy", require = 'include "FILE" reads another file',
      dofile = 'include "FILE" reads another file', loadfile = 'include "FILE" reads another file',
      load = 'include "FILE" reads another file', loadstring = 'include "FILE" reads another file',
      setmetatable = "policies have no metatables", getmetatable = "policies have no metatables",
      xpcall = "pcall is there" }) do
      assert.equal(('cellflow.lua:1: undefined name "%s" (%s)'):format(name, instead),
        recording.load_error("local x = " .. name))
    end
  end)
  it("undefined names with a suggestion", function()
    assert.equal('cellflow.lua:1: undefined name "vedrict" (did you mean "verdict"?)',
      recording.load_error("local x = vedrict"))
    assert.equal('cellflow.lua:1: undefined name "verdict"', recording.load_error("local x = verdict"))
  end)
  it("new globals", function()
    assert.equal('cellflow.lua:1: global "count" may not be assigned; write local count, or one of the hooks dedup, ' ..
      "verdict, reason, format", recording.load_error("count = 1"))
    assert.matches('(did you mean "verdict"?)', recording.load_error("function verdit() end"), 1, true)
  end)
  it("new globals also from a hook", function()
    local _, out = recording.run("function verdict()\n count = 1 end")
    assert.matches('^cellflow.lua:2: global "count" may not be assigned', out.log[1].text)
  end)
  it("assigning its own words", function()
    assert.equal('cellflow.lua:1: "net" is a word of cellflow and cannot be assigned', recording.load_error("net = 1"))
    assert.equal('cellflow.lua:1: "MB" is a word of cellflow and cannot be assigned', recording.load_error("MB = 1"))
  end)
  it("hooks that are no functions, twice, or too late", function()
    assert.equal("cellflow.lua:1: verdict must be a function, got a string", recording.load_error("verdict = 'deny'"))
    assert.equal("cellflow.lua:2: verdict is defined twice; the first is at cellflow.lua:1",
      recording.load_error("function verdict() end\nfunction verdict() end"))
    local _, out = recording.run("function verdict()\n function reason() end end")
    assert.matches("^cellflow.lua:2: reason may only be defined while the file is read", out.log[1].text)
  end)
  it("members that its tables do not have, and changes to them", function()
    assert.equal('cellflow.lua:1: string has no member "fromat" (did you mean "format"?)',
      recording.load_error("string.fromat('x')"))
    assert.equal('cellflow.lua:1: log has no member "warning" (did you mean "warn"?)',
      recording.load_error("log.warning('x')"))
    assert.equal("cellflow.lua:1: table cannot be changed", recording.load_error("table.concat = nil"))
    assert.equal("function", type(table.concat))
  end)
  it("string.dump, also as a method", function()
    assert.equal('cellflow.lua:1: string has no member "dump"', recording.load_error("local x = string.dump"))
    assert.matches("attempt to call method 'dump'", recording.load_error("(''):dump()"))
  end)
  it("bytecode, also behind a byte order mark", function()
    local bytecode = table.concat({ "\27LJ\2\10\0" })
    assert.equal("cellflow.lua: is bytecode; a policy is Lua text", recording.load_error(bytecode))
    assert.matches("cannot load malformed bytecode", recording.load_error("\239\187\191" .. bytecode))
  end)
end)

describe("loading", function()
  it("raises one line with file and line", function()
    assert.equal("cellflow.lua:2: unexpected symbol near '='", recording.load_error("local x =\n= 1"))
    assert.equal("cellflow.lua:2: boom", recording.load_error("\nerror('boom')"))
    assert.equal("cellflow.lua:1: a | b", recording.load_error("error('a\\nb')"))
    assert.equal("cellflow.lua:1: error object is a table value", recording.load_error("error({})"))
    assert.matches("^cellflow.lua:2: attempt to index",
      recording.load_error("local function f(x)\n return x.y.z end f({})"))
  end)
  it("names long paths by their end, and fits the plan", function()
    local path = ("/very/long"):rep(30) .. "/p.lua"
    local message = recording.load_error("\nerror('boom')", path)
    assert.matches("^%.%.%..*/p%.lua:2: boom$", message)
    assert.is_true(#message:match("^(.-):2:") < 120)
  end)
  it("ends a file that never ends, whatever it catches", function()
    local host = require("cellflow.host")
    local steps = host.LOAD_STEPS_MAX
    host.LOAD_STEPS_MAX = 1e6
    local plain = recording.load_error("local n = 0\nwhile true do n = n + 1 end")
    local caught = recording.load_error("while true do\n pcall(function() while true do end end) end")
    host.LOAD_STEPS_MAX = steps
    assert.equal("cellflow.lua:2: still running after 1 million instructions; is there a loop without an end?", plain)
    assert.matches("still running after 1 million instructions", caught)
  end)
end)

describe("check", function()
  local function check(text) return (recording.host(text)).check() end
  it("finds nothing wrong with a sound policy", function()
    assert.same({}, check([[
      function dedup(ev) return ev.src_addr .. (ev.dst_port or ""), 5 end
      function verdict(ev) if ev.icmp_type == 8 then return "deny", "ping" end end
      function reason(ev, decision, code) return decision .. code end
      function format(record) record.x = record.dst_port return record end]]))
  end)
  it("finds what only some kinds of events meet, once for each place", function()
    assert.same({ "cellflow.lua:2: attempt to concatenate field 'dst_port' (a nil value)" },
      check("function dedup(ev)\n return ev.dst_addr .. ':' .. ev.dst_port end"))
    assert.same({ 'cellflow.lua:1: verdict must return "allow", "deny" or nil, got "no"' },
      check("function verdict(ev) if ev.kind == 'closed' and ev.family == 'ipv6' then return 'no' end end"))
    assert.same({ "cellflow.lua:1: reason must return a reason code (text, not empty) or nil, got 1" },
      check("function reason(ev) if ev.protocol_number == 47 then return 1 end end"))
    assert.same({ 'cellflow.lua:1: a record has no member "dst_prot" (did you mean "dst_port"?)' },
      check("function format(r) return r.dst_prot end"))
    assert.same({ "cellflow.lua:1: json.encode: a function has no JSON form" },
      check("function format(r) r.x = print return r end"))
  end)
  it("ends hooks that never end, whatever they catch, and goes on with the others", function()
    local checks = require("cellflow.check")
    local steps = checks.STEPS_MAX
    checks.STEPS_MAX = 1e5
    local lines = check([[
      function verdict(ev)
        while true do end end
      function dedup(ev) repeat pcall(function() while true do end end) until false end
      function reason(ev) return 5 end]])
    checks.STEPS_MAX = steps
    table.sort(lines)
    assert.equal(3, #lines)
    assert.matches("^cellflow.lua:2: still running after", lines[1])
    assert.matches("^cellflow.lua:3: still running after", lines[2])
    assert.matches("^cellflow.lua:4: reason must return", lines[3])
  end)
  it("leaves the compiler as it was", function()
    check("function verdict() end")
    assert.is_true((jit.status()))
  end)
end)
