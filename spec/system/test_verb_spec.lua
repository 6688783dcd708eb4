-- SPDX-License-Identifier: MIT
-- `cellflow test` and `cellflow init` as a user runs them, who is not root: outputs, exit codes, golden files,
-- coverage, and every way to ask wrongly. What specs can call is testing_spec's.
local recordings = require("replay_recording")
local verb = require("verb")

local NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups env -u LUA_INIT HOME=/ %s ./cellflow"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local POLICY = [[
cell "web" { netns = "web" }

allow "https" { protocol = "tcp", dst_port = 443 }
deny  "no-ssh" { protocol = "tcp", dst_port = 22 }

function verdict(ev)
  if ev.dst_port == 25 then
    return "deny", "mail"
  elseif ev.protocol == "udp" then
    local to = ev.dst_addr
    return "deny", to
  end
end
--
on("closed", function() log.info("gone") end)
every(60, function()
  emit "tick"
end)
]]

local SPEC = [[
local testing = require("cellflow.testing")
describe("egress", function()
  it("refuses mail", function()
    local policy = testing.load("egress.lua")
    assert.equal("mail", policy:decide { dst_port = 25 }.reason_code)
    assert.equal("https", policy:decide {}.rule)
  end)
  it("draws", function()
    print(math.random(1, 1000000), testing.events { count = 1 }().src_addr)
  end)
end)
]]

describe("cellflow test", function()
  local place

  before_each(function()
    place = verb.open()
    -- An installed cellflow is this one file, and whoever tests need not be able to read where it was built.
    os.execute(("cp %s %s/cellflow && chmod 755 %s/cellflow && mkdir %s/spec"):format(place.program, place.path,
      place.path, place.path))
    place.program = NOBODY:format("")
    os.execute("chown -R 65534:65534 " .. place.path)
  end)
  after_each(function() place:close() end)

  local function fails_with(code, text, words)
    local got, _, err = place:run(words)
    assert.truthy(err:find(text, 1, true), err)
    assert.equal(code, got, err)
  end

  local function write_egress()
    place:write("egress.lua", POLICY)
    place:write("spec/egress_spec.lua", SPEC)
  end

  it("and init work at once, for somebody who is not root", function()
    os.execute("rmdir " .. place.path .. "/spec")
    local code, out, err = place:run("init")
    assert.same({ 0, "", "wrote cellflow.lua\nwrote spec/cellflow_spec.lua\n" ..
      "next: cellflow check cellflow.lua && cellflow test\n" }, { code, err, out })
    for _, name in ipairs({ "cellflow.lua", "cellflow_spec.lua" }) do
      local own = read("lua/starter/" .. name)
      assert.equal(own:gsub("^[^\n]*\n", "", 1), read(place.path .. (name:find("spec") and "/spec/" or "/") .. name))
    end
    code, out, err = place:run("check --strict cellflow.lua")
    assert.equal(0, code, err)
    assert.truthy(out:find("cellflow.lua: ok, 1 cell, 1 output", 1, true))
    code, out, err = place:run("test")
    assert.equal("cellflow: test: seed 1\n", err)
    assert.truthy(out:find("8 successes / 0 failures / 0 errors / 0 pending", 1, true), out)
    assert.equal(0, code)
    assert.equal(0, (place:run("test --coverage-min 100")))
  end)

  it("writes TAP and junit for those who read them", function()
    write_egress()
    local code, out, err = place:run("test -- -o TAP")
    assert.equal("cellflow: test: seed 1\n", err)
    assert.equal("ok 1 - egress refuses mail\nok 2 - egress draws\n1..2\n", (out:gsub("%d+\t[^\n]*\n", "")))
    assert.equal(0, code)
    code, out = place:run("test egress.lua -- -o junit --filter=refuses")
    assert.equal(0, code)
    for _, what in ipairs({ "tests='1'", "failures='0'", "errors='0'", "skip='0'" }) do
      assert.truthy(out:match("<testsuites [^>]*"):find(what, 1, true), out)
    end
    assert.truthy(out:find("name='egress refuses mail'", 1, true), out)
  end)

  it("fails with 1, however many specs failed, and says where", function()
    write_egress()
    place:write("spec/other_spec.lua", [[
      local testing = require("cellflow.testing")
      it("a", function() assert.equal(1, 2) end)
      it("b", function() assert.equal(1, 2) end)
      it("c", function() testing.load("egress.lua"):decide { dst_prot = 1 } end)
      it("d", function()
        local policy = testing.load("endless.lua")
        policy:decide {}
      end)
      it("e", function() os.exit(0) end)
    ]])
    place:write("endless.lua", "function verdict()\n  while true do end\nend\n")
    local code, out = place:run("test")
    assert.equal(1, code)
    assert.truthy(out:find('spec/other_spec.lua:4: event: an event has no field "dst_prot" (did you mean "dst_port"?)',
      1, true), out)
    assert.truthy(out:find("spec/other_spec.lua:7: endless.lua:2: not back after 10 million instructions: a loop",
      1, true), out)
    code, out = place:run("test spec/other_spec.lua -- -o TAP")
    assert.same({ 1, 5 }, { code, select(2, out:gsub("\nnot ok", "")) + (out:find("^not ok") and 1 or 0) })
  end)

  it("is the same wherever and whenever it runs, and another for another seed", function()
    write_egress()
    local _, first = place:run("test -- -o TAP")
    place.program = NOBODY:format("TZ=Pacific/Kiritimati LC_ALL=de_DE.UTF-8 LANG=tr_TR.UTF-8")
    assert.equal(first, select(2, place:run("test -- -o TAP")))
    local code, other, err = place:run("test --seed 2 -- -o TAP")
    assert.same({ 0, "cellflow: test: seed 2\n" }, { code, err })
    assert.not_equal(first, other)
  end)

  it("writes golden files anew when it is told to", function()
    write_egress()
    place:write("spec/egress_spec.lua", [[
      local testing = require("cellflow.testing")
      it("writes what it always wrote", function()
        testing.load("egress.lua"):golden("spec/golden.jsonl", { { dst_port = 25 }, { kind = "closed" } })
      end)
    ]])
    local code, out = place:run("test")
    assert.equal(1, code)
    assert.truthy(out:find("golden: there is no spec/golden.jsonl; `cellflow test --update` writes it", 1, true), out)
    fails_with(0, "cellflow test: wrote spec/golden.jsonl (2 lines)\n", "test --update")
    assert.equal(0, (place:run("test")))
    place:write("egress.lua", (POLICY:gsub('"mail"', '"no_mail"')))
    code, out = place:run("test")
    assert.equal(1, code)
    assert.truthy(out:find('spec/golden.jsonl: line 1 is not what it was:', 1, true), out)
    assert.equal(0, (place:run("test --update")))
    local code_now, _, err = place:run("test --update")
    assert.same({ 0, "cellflow: test: seed 1\n" }, { code_now, err })
  end)

  it("tells which lines never ran and which rules never matched", function()
    write_egress()
    local code, _, err = place:run("test --coverage")
    assert.equal(0, code)
    assert.equal([[
cellflow: test: seed 1
coverage: egress.lua: 7 of 12 lines ran (58.3 %), 1 of 2 rules matched
            8 |     return "deny", "mail"
  never     9 |   elseif ev.protocol == "udp" then
  never    10 |     local to = ev.dst_addr
  never    11 |     return "deny", to
           12 |   end
        ...
           14 | --
   part    15 | on("closed", function() log.info("gone") end)
           16 | every(60, function()
  never    17 |   emit "tick"
           18 | end)
  egress.lua:4: deny "no-ssh" matched no event
]], err)
  end)

  it("fails when too little was covered", function()
    write_egress()
    fails_with(1, "cellflow: error: test: 58.3 % of the lines ran, and --coverage-min asks for 59 %\n",
      "test --coverage-min 59")
    fails_with(0, "coverage: egress.lua: 7 of 12 lines ran", "test --coverage-min 58")
    place:write("spec/egress_spec.lua", 'it("does nothing", function() end)')
    fails_with(1, "coverage: no policy was loaded\n", "test --coverage-min 1")
  end)

  it("covers what a policy includes, and all policies together", function()
    write_egress()
    place:write("ports.lua", "local ports = { 22 }\nif #ports > 1 then\n  ports = nil\nend\nreturn ports\n")
    place:write("other.lua", 'deny "x" { dst_port = include "ports.lua" }')
    place:write("spec/other_spec.lua", 'it("loads", function() require("cellflow.testing").load("other.lua") end)')
    local _, _, err = place:run("test --coverage")
    assert.truthy(err:find("other.lua: 1 of 1 lines ran (100.0 %), 0 of 1 rules matched\n" ..
      '  other.lua:1: deny "x" matched no event\nports.lua: 3 of 4 lines ran (75.0 %)\n', 1, true), err)
    assert.truthy(err:find("\nall: 11 of 17 lines ran (64.7 %)\n", 1, true), err)
  end)

  it("finds the spec of a policy", function()
    write_egress()
    place:write("own.lua", 'default { decision = "deny" }')
    place:write("own_spec.lua", 'it("is beside it", function() end)')
    assert.truthy(select(2, place:run("test own.lua egress.lua")):find("3 successes", 1, true))
    place:write("alone.lua", "")
    fails_with(2, "cellflow: error: test: there is no alone_spec.lua beside alone.lua, nor in spec\n", "test alone.lua")
  end)

  it("goes its own way in a directory with a .busted for another Lua", function()
    write_egress()
    place:write(".busted", 'return { _all = { lua = "/nonexistent/lua" } }')
    assert.equal(0, (place:run("test")))
  end)

  it("says what is asked wrongly", function()
    fails_with(2, "cellflow: error: test: no such file: spec/none_spec.lua\n", "test spec/none_spec.lua")
    fails_with(2, 'test: unknown option "--updaet" (did you mean "--update"?)', "test --updaet")
    fails_with(2, "unknown/bad flag: --nonsense", "test -- --nonsense")
    fails_with(2, "--coverage-min: \"101\" is not a whole number from 0 to 100", "test --coverage-min 101")
    os.execute("rmdir " .. place.path .. "/spec")
    fails_with(2, "error: test: there is no directory spec here (name a spec, or let `cellflow init` make one)\n",
      "test")
  end)

  it("says how to get busted", function()
    write_egress()
    place.program = NOBODY:format("LUA_PATH=/nonexistent/?.lua")
    local code, out, err = place:run("test")
    assert.same({ 1, "", "cellflow: error: test: specs are run by busted, which is not here or not whole " ..
      "(no module busted.runner): apt-get install lua-busted\n" }, { code, out, err })
  end)

  it("does what docs/testing-policies.md says", function()
    local blocks = {}
    for block in read("docs/testing-policies.md"):gmatch("```lua\n(.-)```") do blocks[#blocks + 1] = block end
    assert.equal(3, #blocks)
    place:write("cellflow.lua", blocks[1])
    place:write("spec/cellflow_spec.lua", blocks[2])
    place:write("spec/yesterday_spec.lua", blocks[3])
    local day = recordings.new(place.path .. "/spec/yesterday.rec")
    day:batch(1, { { dst_port = 443 }, { dst_port = 22, host = 2 }, { dst_port = 443, host = 3, cell = 1 } })
    day:close(7200)
    local code, out = place:run("test --update --coverage-min 100")
    assert.equal(0, code, out)
    assert.equal(0, (place:run("test")))
    assert.equal(0, (place:run("check --strict cellflow.lua")))
  end)
end)

describe("cellflow init", function()
  local place

  before_each(function() place = verb.open() end)
  after_each(function() place:close() end)

  it("overwrites nothing, unless it is told to", function()
    assert.equal(0, (place:run("init lab")))
    os.remove(place.path .. "/lab/cellflow.lua")
    local code, out, err = place:run("init lab")
    assert.same({ 1, "", "cellflow: error: init: lab/spec/cellflow_spec.lua is there already " ..
      "(--force overwrites it)\n" }, { code, out, err })
    assert.is_nil((io.open(place.path .. "/lab/cellflow.lua")))
    place:write("lab/cellflow.lua", "mine" .. ("x"):rep(10000))
    code, out, err = place:run("init lab")
    assert.same({ 1, "", "cellflow: error: init: lab/cellflow.lua is there already (--force overwrites it)\n" },
      { code, out, err })
    code, out = place:run("init --force lab")
    assert.equal(0, code)
    assert.truthy(out:find("next: cd lab && cellflow check cellflow.lua && cellflow test\n", 1, true), out)
    assert.equal(read("lua/starter/cellflow.lua"):gsub("^[^\n]*\n", "", 1), read(place.path .. "/lab/cellflow.lua"))
  end)

  it("says what it cannot make", function()
    local code, _, err = place:run("init none/lab")
    assert.same({ 1, "cellflow: error: init: cannot make the directory none/lab: No such file or directory\n" },
      { code, err })
    place:write("file", "")
    code, _, err = place:run("init file")
    assert.same({ 1, "cellflow: error: init: cannot make the directory file/spec: Not a directory\n" }, { code, err })
    code, _, err = place:run("init a b")
    assert.same({ 2, "cellflow: error: init: want one directory, got 2\n" }, { code, err })
  end)
end)
