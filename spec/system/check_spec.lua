-- SPDX-License-Identifier: MIT
-- `cellflow check` as a user runs it: what is found, where, as what, in both forms, with exit codes.
local strict_json = require("strict_json")
local verb = require("verb")

local CELL = 'cell "web" { netns = "web", interface = "eth0" }\n'

describe("check", function()
  local place
  setup(function() place = verb.open() end)
  teardown(function() place:close() end)

  -- Lines of stderr without "cellflow: ", for a policy behind the line of its cell.
  local function findings(text, options)
    place:write("p.lua", CELL .. text)
    local code, out, err = place:run("check " .. (options or "") .. " p.lua")
    local lines = {}
    for line in err:gmatch("cellflow: ([^\n]*)\n") do lines[#lines + 1] = line end
    return lines, code, out
  end

  it("finds names that nothing defines, also where no made-up event comes", function()
    local lines, code, out = findings([[
      local function helper(x) return udnefined + x end
      function verdict(ev)
        if ev.dst_port == 9999 then
          count = 3
          return helper(vredict)
        end
      end]])
    assert.same({
      'error: p.lua:2: undefined name "udnefined"',
      'error: p.lua:5: global "count" may not be assigned; write local count, or one of the hooks dedup, verdict, ' ..
        'reason, format',
      'error: p.lua:6: undefined name "vredict" (did you mean "verdict"?)',
      "error: p.lua: 3 findings",
    }, lines)
    assert.equal(3, code)
    assert.equal("", out)
  end)

  it("goes on behind the first wrong field, and tells no consequences", function()
    assert.same({
      'error: p.lua:3: a flow event has no field "dst_prot" (did you mean "dst_port"?)',
      'error: p.lua:4: a flow event has no field "src_adr" (did you mean "src_addr"?)',
      'error: p.lua:6: a record has no member "ruel" (did you mean "rule"?)',
      "error: p.lua: 3 findings",
    }, (findings([[
      function verdict(ev)
        if ev.dst_prot == 22 then return "deny" end
        return ev.src_adr .. "x"
      end
      on("decision", function(record) if record.ruel then log.info("x") end end)]])))
  end)

  it("finds errors at several lines of one function", function()
    assert.same({ 'error: p.lua:3: attempt to perform arithmetic on a nil value',
      'error: p.lua:4: attempt to concatenate a nil value', "error: p.lua: 2 findings" }, (findings([[
      function verdict(ev)
        if ev.protocol == "udp" then return nil + 1 end
        if ev.protocol == "tcp" then return nil .. "x" end
      end]])))
  end)

  it("keeps to itself what the policy logs of made-up events", function()
    assert.same({ "read" }, (findings([[
      log.info("read")
      on("opened", function(ev) log.warn("opened", ev.dst_addr) print(ev.dst_port) end)
      every(60, function() log.error("now") end)]])))
  end)

  it("ends what takes few instructions and a long time, and names the line", function()
    assert.same({ "error: p.lua:2: still running after 3 s; is there a loop without an end?",
      "error: p.lua: 1 finding" },
      (findings('function verdict(ev) local s = "" for i = 1, 1e9 do s = s .. "x" end return s end')))
  end)

  it("does not try a slow function for ever, and says so", function()
    local lines, code = findings([[
      local text = ("x"):rep(2 ^ 23)
      function verdict(ev) return text:gsub("x", "yy") == ev.dst_addr and "deny" or "allow" end
      function reason(ev) if ev.family == "ipv6" and ev.protocol == "icmpv6" then return ev.nope end end]])
    assert.equal('error: p.lua:4: a flow event has no field "nope"', lines[1])
    assert.matches("^warning: p.lua:3: verdict takes %d+ ms a call, so it was tried on %d+ made%-up events only$",
      lines[2])
    assert.equal(3, code)
  end)

  it("ends what does not come back from one call, and tells what it found until then", function()
    local lines, code, out = findings([[
      function dedup(ev) return ev.nope end
      function verdict(ev) return (("a"):rep(40):find(("a?"):rep(40) .. ("a"):rep(40))) end
      function reason(ev) return ev.never_reached end]])
    assert.same({ 'error: p.lua:2: a flow event has no field "nope"',
      "error: p.lua:3: verdict did not come back from one call within 4 s (a text pattern without an end?)",
      "error: p.lua: 2 findings" }, lines)
    assert.same({ 3, "" }, { code, out })
  end)

  it("warns of fields that the events of a handler never have", function()
    local lines, code = findings([[
      cell "b" { netns = "b", events = { "opened", "closed" } }
      on("opened", function(ev) if ev.close_reason == "fin" then log.info("x") end end)
      on("closed", function(ev) if ev.close_reason == "fin" and ev.vlan then log.debug("x") end end)
      function verdict(ev) if ev.prefix or ev.close_reason == "rst" then return "deny" end end]])
    assert.same({ 'warning: p.lua:3: on "opened" reads close_reason, which no event that comes here ' ..
      "has" }, lines)
    assert.equal(0, code)
  end)

  it("does not take ev:copy() for reading every field", function()
    assert.same({ 'warning: p.lua:4: on "opened" reads close_reason, which no event that comes here has' }, (findings([[
      local kept
      on("opened", function(ev)
        kept = ev:copy() if ev.close_reason then log.debug("x") end
        local last = kept
      end)
      on("opened", function(ev) local copy = ev:copy() kept = copy end)]])))
  end)

  it("tries handlers behind a match on events that meet it", function()
    assert.same({ 'error: p.lua:2: a flow event has no field "nope"',
      'error: p.lua:3: attempt to concatenate a nil value',
      'warning: p.lua:4: on "opened" was not tried: no made-up event meets its match', "error: p.lua: 2 findings" },
      (findings([[
      on("opened", { protocol = "tcp", dst_port = 22, dst_addr = "10.0.0.0/8" }, function(ev) log.debug(ev.nope) end)
      on("logged", { prefix = "drop", mark = "7-", tcp_flags = "R" }, function(ev) log.debug(nil .. ev.prefix) end)
      on("opened", { cell_id = "other" }, function() end)]])))
  end)

  it("warns of hooks that cannot answer, but not of those that rarely do", function()
    assert.same({
      "warning: p.lua:2: dedup never returns anything, so no event is a duplicate",
      "warning: p.lua:4: reason never returns anything, so it changes no reason code",
      "warning: p.lua:5: format never returns anything, so no record is written",
    }, (findings([[
      function dedup() end
      function verdict(ev) if ev.dst_port == 9999 then return "deny" end end
      function reason() return end
      function format(record) local x = record.rule if x then log.debug(x) end end]])))
    assert.same({ "warning: p.lua:2: verdict never returns anything, so it decides nothing" },
      (findings("function verdict() end")))
  end)

  it("says nothing about hooks and timers that are functions of the library", function()
    assert.same({}, (findings("format = json.encode every(60, log.debug)")))
    assert.matches('^error: p.lua:2: verdict must return "allow", "deny" or nil', findings("verdict = tostring")[1])
  end)

  it("warns of functions with the name of a hook that are local, so that nobody calls them", function()
    assert.same({
      'warning: p.lua:3: verdict is local, so it is no hook and is never called; write "function verdict"',
      'warning: p.lua:7: reason is local, so it is no hook and is never called; write "function reason"',
      'warning: p.lua:9: dedup is local, so it is no hook and is never called; write "function dedup"',
    }, (findings([==[
      local secs, verb = "function", [[ verdict ]] -- verdict
      local function verdict(ev) return "deny" end
      --[[ verdict(1) ]]
      deny "x" { dst_port = 22, reason = "no" .. secs .. verb .. "\" reason" }
      local reason
      function reason(ev, decision, code) return ev.reason end
      --[==[ dedup
      ]==] .. "]==] local dedup = function(ev) return 1 end\n" ..
      'on("decision", function(r) return r.verdict end)')))
  end)

  it("does not take helpers, values and members for such functions", function()
    assert.same({}, (findings([[
      local function verdict(ev) return ev.dst_port == 22 end
      on("opened", function(ev) if verdict(ev) then log.debug("x") end end)
      local reason = "x"
      local function dedup() return dedup() end
      local t = {}
      function t.format(x) return x end
      function format(record) return t.format("x" ..reason) end]])))
  end)

  it("warns of timers that do nothing", function()
    assert.same({ "warning: p.lua:3: every(60) does nothing, and wakes the process for it" }, (findings([[
      every(10, function() log.debug("x") end)
      every(60, function() end)]])))
  end)

  it("tells rules that never apply", function()
    assert.matches('^warning: p.lua:3: allow "b" never applies: ', findings('deny "a" {}\nallow "b" { mark = 1 }')[1])
  end)

  it("takes warnings for errors with --strict", function()
    local lines, code, out = findings("function verdict() end", "--strict")
    assert.same({ "error: p.lua:2: verdict never returns anything, so it decides nothing", "error: p.lua: 1 finding" },
      lines)
    assert.equal(3, code)
    assert.equal("", out)
  end)

  describe("--json", function()
    it("has plan and findings", function()
      local lines, code, out = findings('deny "a" { mark = 1 }\non("opened", function() end)\n' ..
        'function verdict(ev) return ev.nope end\nfunction format() end', "--json")
      assert.same({}, lines)
      assert.equal(3, code)
      assert.equal('{"errors":1,"file":"p.lua","findings":[{"file":"p.lua","level":"error","line":4,' ..
        '"text":"a flow event has no field \\"nope\\""},{"file":"p.lua","level":"warning","line":5,' ..
        '"text":"format never returns anything, so no record is written"}],"ok":false,"plan":{"cells":[{' ..
        '"attach":["inside"],"events":["opened","logged"],"hooks":["egress"],"interface":"eth0","name":"web",' ..
        '"netns":"/run/netns/web","sources":["auto"]}],"handlers":1,"outputs":[{' ..
        '"path":"-"}],"rules":1},"warnings":1}\n', out)
      assert.truthy(strict_json.is_object(out, #out))
    end)

    it("is an object for a policy that does not come back while it is read", function()
      local lines, code, out = findings('local x = ("a"):rep(40):find(("a?"):rep(40) .. ("a"):rep(40))', "--json")
      assert.equal('{"errors":1,"file":"p.lua","findings":[{"file":"p.lua","level":"error","text":"p.lua: still ' ..
        'being read after 10 s (does it loop, or make very long texts?)"}],"ok":false,"warnings":0}\n', out)
      assert.same({ 3, {} }, { code, lines })
    end)

    it("is an object for a function that does not come back", function()
      local _, code, out = findings(
        'function verdict() return (("a"):rep(40):find(("a?"):rep(40) .. ("a"):rep(40))) end', "--json")
      assert.equal('{"errors":1,"file":"p.lua","findings":[{"file":"p.lua","level":"error","line":2,"text":"verdict ' ..
        'did not come back from one call within 4 s (a text pattern without an end?)"}],"ok":false,"warnings":0}\n',
        out)
      assert.equal(3, code)
    end)

    it("is an object for every policy that loads or does not", function()
      local _, code, out = findings("", "--json")
      assert.equal(0, code)
      assert.matches('"findings":%[%],"ok":true', out)
      _, code, out = findings("function verdict() end", "--json --strict")
      assert.equal(3, code)
      assert.matches('"errors":1,.*"level":"error","line":2,.*"ok":false', out)
      _, code, out = findings("oops()", "--json")
      assert.equal(3, code)
      assert.equal('{"errors":1,"file":"p.lua","findings":[{"file":"p.lua","level":"error","line":2,' ..
        '"text":"undefined name \\"oops\\""}],"ok":false,"warnings":0}\n', out)
      code, out = place:run("check --json none.lua")
      assert.equal(3, code)
      assert.equal('{"errors":1,"file":"none.lua","findings":[{"file":"none.lua","level":"error","text":"none.lua: ' ..
        'cannot open the policy file: No such file or directory"}],"ok":false,"warnings":0}\n', out)
    end)
  end)
end)
