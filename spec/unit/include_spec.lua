-- SPDX-License-Identifier: MIT
-- include and limits: what they read, what they refuse, and where errors are said to be.
require("spec.helper")
local recording = require("recording_core")

local function reason(text, files)
  local host, out, batch = recording.host(text, nil, files)
  recording.fill(batch.events[0])
  host.batch(1)
  return out.endings[1].reason, out.endings[1], out
end

describe("include", function()
  it("runs the file in the same environment and returns what it returns", function()
    assert.equal("lib blue", reason([[
      local words = include "words.lua"
      function verdict() return "deny", words.reason .. " " .. words.team() end]],
      { ["words.lua"] = 'return { reason = "lib", team = function() return "blue" end }' }))
  end)
  it("may define hooks and declare cells, at places of its own", function()
    local got, ending, out = reason('include "hooks.lua"', { ["hooks.lua"] =
      '\ncell "a" { pid = 1 }\nfunction verdict() return "deny", "inner" end' })
    assert.equal("inner", got)
    assert.equal("hooks.lua:3", ending.place)
    assert.equal("hooks.lua:2", require("ffi").string(out.plan.cells[0].place))
  end)
  it("is relative to the file that says it", function()
    local files = { ["sub/a.lua"] = 'return include "deep/b.lua"', ["sub/deep/b.lua"] = 'return include "/etc/c.lua"',
      ["/etc/c.lua"] = 'return "found"' }
    assert.equal("found", reason('local c = include "./sub/a.lua" function verdict() return "deny", c end', files))
  end)
  it("may name a file twice", function()
    assert.equal("xx", reason('local a, b = include "x.lua", include "x.lua"\n'
      .. 'function verdict() return "deny", a .. b end', { ["x.lua"] = 'return "x"' }))
  end)

  local function refused(text, files) return recording.load_error("\n" .. text, nil, files) end
  it("names both places when the file is missing", function()
    assert.equal('cellflow.lua:2: include "x.lua": x.lua: cannot open the policy file: No such file or directory',
      refused('include "x.lua"'))
    assert.equal('a.lua:1: include "x.lua": x.lua: cannot open the policy file: No such file or directory',
      refused('include "a.lua"', { ["a.lua"] = 'include "x.lua"' }))
  end)
  it("names both places of a cycle", function()
    assert.equal('b.lua:3: include "a.lua": a.lua is being read already (included at cellflow.lua:2)',
      refused('include "a.lua"', { ["a.lua"] = 'include "b.lua"', ["b.lua"] = '\n\ninclude "a.lua"' }))
    assert.equal('a.lua:1: include "cellflow.lua": cellflow.lua is being read already (it is the policy itself)',
      refused('include "a.lua"', { ["a.lua"] = 'include "cellflow.lua"' }))
  end)
  it("names both places of a syntax error, and the inner one of any other", function()
    assert.equal("a.lua:2: '=' expected near '<eof>' (included at cellflow.lua:2)",
      refused('include "a.lua"', { ["a.lua"] = "\nnonsense" }))
    assert.equal('a.lua:1: undefined name "nonsense"', refused('include "a.lua"', { ["a.lua"] = "nonsense()" }))
  end)
  it("is bounded in depth and number", function()
    local files = {}
    for i = 1, 20 do files[i .. ".lua"] = ('include "%d.lua"'):format(i + 1) end
    assert.equal('8.lua:1: include "9.lua": nested deeper than 8 files; it began at cellflow.lua:2',
      refused('include "1.lua"', files))
    assert.matches('include "x.lua" is one too many; a policy can include 64 files',
      refused('for i = 1, 65 do include "x.lua" end', { ["x.lua"] = "" }), 1, true)
  end)
  it("takes a path, and only while the file is read", function()
    assert.matches("include takes a file: include \"lists.lua\"; got nil", refused("include()"), 1, true)
    assert.matches("include: the path must not be empty", refused("include ''"), 1, true)
    local _, _, out = reason('function verdict() include "x.lua" end', { ["x.lua"] = "" })
    assert.matches("include() may only be used while the file is read", out.log[1].text, 1, true)
  end)
  it("refuses bytecode, and a file that does not come to its end", function()
    assert.matches("a.lua: is bytecode", refused('include "a.lua"', { ["a.lua"] = string.char(27) .. "LJ" }), 1, true)
    assert.matches("^a.lua:1: still running", refused('include "a.lua"', { ["a.lua"] = "while true do end" }))
    assert.matches("^a.lua:1: still running", refused('local f = include "a.lua" f()', {
      ["a.lua"] = "return function() while true do end end" }))
  end)
end)

describe("limits", function()
  local function limits(text)
    local _, out = recording.host(text)
    local l = out.plan.limits
    return { l.slow_ms, l.stuck_s, l.memory_mb, l.interpreted }
  end
  it("are in the plan, given or not", function()
    assert.same({ 20, 2, 256, 0 }, limits(nil))
    assert.same({ 20, 2, 256, 0 }, limits("limits {}"))
    assert.same({ 5, 10, 64, 0 }, limits("limits { slow_ms = 5, stuck_s = 10, memory_mb = 64, interpreted = false }"))
  end)
  local WRONG = {
    { "limits { slow = 5 }", 'limits: unknown option "slow" (did you mean "slow_ms"?)' },
    { "limits { slow_ms = 0 }", "limits: slow_ms must be a whole number from 1 to 60000, got 0" },
    { "limits { memory_mb = 1 }", "limits: memory_mb must be a whole number from 16 to 65536, got 1" },
    { "limits { interpreted = 1 }", "limits: interpreted must be true or false, got 1" },
    { "limits(5)", "limits takes a table of options, got 5" },
    { "limits {} limits {}", "limits is declared twice; the first is at cellflow.lua:1" },
  }
  for _, case in ipairs(WRONG) do
    it("refuse " .. case[1], function()
      assert.equal("cellflow.lua:1: " .. case[2], recording.load_error(case[1]))
    end)
  end
  it("interpreted is the worker's to carry out", function()
    local _, out = recording.host("limits { interpreted = true }")
    assert.equal(1, out.plan.limits.interpreted)
  end)
end)
