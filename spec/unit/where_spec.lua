-- SPDX-License-Identifier: MIT
-- --where: what an expression says of an event, what is absent, and how mistakes are told.
local ffi = require("ffi")
require("spec.helper")
local recording = require("recording_core")

local POLICY = [[
  metadata { run_id = "r1" }
  cell "web" { netns = "w", interface = "eth0" }
  function verdict(ev)
    if ev.dst_port == 22 then return "deny", "no_ssh", "ssh" end
    if ev.dst_port == 23 then error("boom") end
  end]]

-- Whether events are selected by `words`, a list of option and value: a list of booleans; and out.
local function select_with(words, events, policy)
  local core, out = recording.new()
  local host = require("cellflow.host").new(core)
  local said = host.select(words)
  assert(type(said) ~= "string", said)
  out.plan = ffi.new("struct cf_plan")
  host.load(policy or POLICY, "cellflow.lua", nil, out.plan)
  local batch = core.cf_batch_get()
  for i, fields in ipairs(events) do recording.fill(batch.events[i - 1], fields) end
  host.batch(#events)
  assert.equal(#events, #out.endings)
  local list = {}
  for i, ending in ipairs(out.endings) do list[i] = ending.how:sub(1, 8) ~= "filtered" end
  return list, out
end

local function holds(expression, fields)
  local list, out = select_with({ "where", expression }, { fields or {} })
  return list[1], out
end

local function usage(words)
  return require("cellflow.host").new((recording.new())).select(words)
end

describe("--where", function()
  -- Of an opened TCP flow 10.0.0.1:40000 -> 192.0.2.7:443 with 2 packets and 120 bytes.
  local TRUE = {
    'dst_port == 443', 'dst_port == 443 and decision == "allow"', 'kind ~= "closed"', 'not rule',
    'dst_port >= 443 and dst_port <= 443', '(dst_port < 1024) == true', 'byte_count / packet_count == 60',
    'byte_count + 1 == 121 and byte_count - 1 == 119 and byte_count * 2 == 240 and byte_count % 7 == 1',
    '2 ^ 3 ^ 2 == 512', '-2 ^ 2 == -4', 'not (1 > 2)', '1 + 2 * 3 == 7', '"a" .. "b" .. "c" == "abc"', '#cell_id == 3',
    'cell_id == "web"', "cell_id == 'web'", 'cell_id == "\\119eb"', 'dst_addr:find("192.0.2.", 1, true)',
    'dst_addr:find"^192%."', 'string.upper(cell_id) == "WEB"', 'net("192.0.2.0/24"):has(dst_addr)',
    'net("10.9.0.0/16", "192.0.2.7"):has(dst_addr)', 'reason_code == "ebpf_flow_observed"', 'run_id == "r1"',
    'observed_at > "19" and observed_at < "3"', 'tonumber("5") == 5', 'duration == 2.5',
    'math.max(dst_port, 500) == 500', 'bit.band(dst_port, 1) == 1', 'byte_count < 1 * kB', 'witnesses == "ebpf"',
    'hook == "tc_egress"', 'fragment == false', 'false or nil == nil', '0x10 == 16', '1e2 == 100', 'dst_port',
    '\n dst_port\n==\t443 ',
  }
  for _, expression in ipairs(TRUE) do
    it("is true: " .. expression, function() assert.is_true((holds(expression))) end)
  end

  local FALSE = {
    'dst_port ~= 443', 'rule', 'nil', 'not dst_port', 'decision == "deny"', 'dst_port == "443"', 'dst_port < "444"',
    'net("10.0.0.0/8"):has(dst_addr)', 'dst_addr:find("%d%d%d%d")', '1 > 1', '1 < 1', '"b" < "a"',
  }
  for _, expression in ipairs(FALSE) do
    it("is false: " .. expression, function() assert.is_false((holds(expression))) end)
  end

  -- vlan, rule, prefix, icmp_type and close_reason are absent from that event.
  local ABSENT = {
    'vlan > 100', 'vlan < 100', '100 < vlan', '100 >= vlan', 'vlan + 1 > 0', '1 - vlan > -5', 'vlan * 2 / 3 % 4 > 0',
    '-vlan < 5', '#prefix > 0', 'prefix:find("x")', 'prefix:len() > 0', 'string.find(prefix, "x")',
    'rule .. "x" == "x"',
    'math.abs(vlan) < 10', 'bit.band(vlan, 1) == 0', 'net("10.0.0.0/8"):has(nft_rule)', 'vlan == 5', 'vlan > icmp_type',
    'duration_ms > 0', 'close_reason == "rst"', 'tonumber(prefix) > 1', 'vlan ^ 2 > 1',
  }
  for _, expression in ipairs(ABSENT) do
    it("is false, and no error, of what is absent: " .. expression, function()
      local is, out = holds(expression)
      assert.is_false(is)
      assert.equal(0, out.script_errors)
    end)
  end

  it("sees what was decided, and the error that an event met", function()
    local events = { { dst_port = 22 }, { dst_port = 23 }, { dst_port = 24 } }
    assert.same({ true, false, false }, (select_with({ "where", 'rule == "ssh" and decision == "deny"' }, events)))
    assert.same({ true, false, false }, (select_with({ "where", 'decided_at == "cellflow.lua:3"' }, events)))
    assert.same({ false, true, false }, (select_with({ "where", 'reason_code == "script_error"' }, events)))
    assert.same({ false, true, false }, (select_with({ "where", 'error_at:find(":5", 1, true)' }, events)))
  end)
  it("sees the totals of a flow that ended", function()
    local events = { { kind = 3, close_reason = 2, reply_bytes = 7 }, { kind = 1 } }
    assert.same({ true, false }, (select_with({ "where", 'close_reason == "rst" and duration_ms >= 2500' }, events)))
    assert.same({ true, false }, (select_with({ "where", "reply_byte_count > 5" }, events)))
  end)
  it("given often is one of them", function()
    local events = { { dst_port = 1 }, { dst_port = 2 }, { dst_port = 3 } }
    assert.same({ true, false, true },
      (select_with({ "where", "dst_port == 1", "where", "dst_port == 3" }, events)))
  end)
  it("that fails leaves the event out, counts, and says so once", function()
    local list, out = select_with({ "where", 'dst_addr:find("[")' }, { {}, {}, {} })
    assert.same({ false, false, false }, list)
    assert.equal(3, out.script_errors)
    assert.equal(1, #out.log)
    assert.equal("--where: malformed pattern (missing ']') [in --where]", out.log[1].text)
  end)

  it("over which a worker hung is switched off: nothing is shown", function()
    local progress = require("spec.helper").core.cf_progress_get()
    progress.switched_off[0] = 2 ^ 7
    local list = select_with({ "where", "true" }, { {}, {} })
    progress.switched_off[0] = 0
    assert.same({ false, false }, list)
    assert.equal("--where", ffi.string(progress.names[7]))
    assert.same({ true, true }, (select_with({ "where", "true" }, { {}, {} })))
  end)

  local WRONG = {
    { "dst_prot == 1", 'column 1: a record has no field "dst_prot" (did you mean "dst_port"?)' },
    { "dst_port == 1 and decision == deny",
      'column 31: a record has no field "deny"; text is written in quotes: "deny"' },
    { "dst_port = 443", 'column 10: "=" is no operator here; write ==' },
    { "dst_port != 443", 'column 10: "!=" is no operator here; write ~=' },
    { "dst_port && 1", 'column 10: "&&" is no operator here; write and' },
    { "!rule", 'column 1: "!" is no operator here; write not' },
    { "dst_addr == 10.0.0.1", 'column 13: "10.0.0.1" is no number; text is written in quotes: "10.0.0.1"' },
    { "dst_port ==", "column 12: the expression ends where a value is expected" },
    { "(dst_port", 'column 10: the expression ends where ")" is expected' },
    { "dst_port 443", 'column 10: the expression is over before "443"; join conditions with and, or' },
    { "dst_port == == 1", 'column 13: a value is expected here, not "=="' },
    { 'cell_id == "web', 'column 12: text without its closing "' },
    { 'cell_id == "\\q\\400"', 'column 12: text with an escape that Lua does not know: "\\q\\400"' },
    { "", 'column 1: there is no expression (want one like decision == "deny")' },
    { "{} == 1", 'column 1: "{" cannot stand here' },
    { "dst_port == 1; x", 'column 14: ";" cannot stand here' },
    { "\195\164 == 1", 'column 1: "\195\164" cannot stand here' },
    { "dst_port.x == 1", 'column 9: "dst_port" is a value: it cannot be called and has no members' },
    { "dst_port() == 1", 'column 9: "dst_port" is a value: it cannot be called and has no members' },
    { 'cell_id:fnd("x")', 'column 9: string has no function "fnd" here (did you mean "find"?)' },
    { 'cell_id:gsub("x", "y")', 'column 9: string has no function "gsub" here (did you mean "sub"?)' },
    { "string.rep(cell_id, 5)", 'column 8: string has no function "rep" here' },
    { "os.exit()", 'column 1: a record has no field "os"; text is written in quotes: "os"' },
    { "string == 1", "column 1: string is no value; name one of its functions" },
    { "math.abs == 1", "column 6: math.abs is a function: call it" },
    { "tonumber == 1", "column 1: tonumber is a function: call it" },
    { "net(dst_addr):has(src_addr)", 'column 5: net takes networks in quotes: net("10.0.0.0/8")' },
    { 'net("10.0.0.0/8") == 1', 'column 1: a net is asked like this: net("10.0.0.0/8"):has(dst_addr)' },
    { 'net("10.0.0.0/8"):size()', 'column 19: a net has no "size", only has(ADDRESS)' },
    { 'net("10.0.0.0/8"):has()', "column 19: has takes one address" },
    { 'net("10.0.0.1/8"):has(dst_addr)',
      'column 1: net "10.0.0.1/8" has host bits set; the network is "10.0.0.0/8"' },
    { ("("):rep(100) .. "1", "column 61: nested deeper than 60" },
    { "1 == " .. ("x"):rep(9000), "longer than 8192 bytes" },
    { "cell_id:5", 'column 9: "name" is expected here, not "5"' },
  }
  for _, case in ipairs(WRONG) do
    it("is refused: " .. case[1]:sub(1, 60), function()
      assert.equal("--where: " .. case[2], (usage({ "where", case[1] })))
    end)
  end
  it("may have hundreds of alternatives, but no arithmetic as long as that", function()
    assert.is_true((holds(("dst_port == 1 or "):rep(450) .. "dst_port == 443")))
    assert.equal("--where: is too long: function or expression too complex near '('",
      usage({ "where", "1" .. (" + 1"):rep(300) }))
  end)
  it("reaches nothing of the runtime, whatever it is made of", function()
    for _, name in ipairs({ "_G", "get", "answer", "ffi", "require", "load", "calls", "safe", "member", "lt" }) do
      assert.matches("a record has no field", usage({ "where", name .. " == 1" }), 1, true)
    end
    assert.is_true((holds('"%d %s %%" == "%d %s %%" and 7 % 4 == 3')))
  end)
end)

describe("filters", function()
  local EVENTS = {
    { dst_port = 443 }, { dst_port = 22 }, { dst_port = 53, protocol = 17, dst = "2001:db8::5", src = "2001:db8::1" },
    { kind = 3, src_port = 443, dst_port = 50000, direction = 2, src = "192.0.2.7", dst = "10.0.0.1" },
    { protocol = 47, flags = 0, dst = "198.51.100.1" }, { protocol = 1, flags = 2, cell = 1, verdict = 2 },
  }
  local POLICY_OF_TWO = POLICY .. '\ncell "db" { netns = "d", interface = "eth0" }'
  local CASES = {
    { { "kind", "closed" }, "4" }, { { "kind", "closed,logged" }, "4" }, { { "kind", "opened" }, "12356" },
    { { "decision", "deny" }, "26" }, { { "decision", "allow" }, "1345" }, { { "decision", "allow,deny" }, "123456" },
    { { "protocol", "udp" }, "3" }, { { "protocol", "udp,47" }, "35" }, { { "protocol", "icmp" }, "6" },
    { { "port", "443" }, "14" }, { { "port", "22", "port", "50-60" }, "23" }, { { "to-port", "443" }, "1" },
    { { "from-port", "443" }, "4" }, { { "port", "443", "kind", "closed" }, "4" },
    { { "ip", "192.0.2.0/24" }, "1246" }, { { "from-ip", "192.0.2.7" }, "4" }, { { "to-ip", "192.0.2.7" }, "126" },
    { { "ip", "2001:db8::/32,198.51.100.1" }, "35" }, { { "cell", "db" }, "6" }, { { "select-cell", "web" }, "12345" },
    { { "reason", "no_ssh" }, "2" }, { { "reason", "no_ssh", "reason", "ebpf_xdp_drop" }, "26" },
    { { "rule", "ssh" }, "2" }, { { "rule", "none" }, "" }, { { "decision", "deny", "where", "dst_port == 22" }, "2" },
    { { "to-port", "22,443", "to-ip", "192.0.2.7", "decision", "allow" }, "1" },
    { { "since", "0" }, "123456" }, { { "since", "2100-01-01T00:00:00Z" }, "" },
    { { "until", "2100-01-01T00:00:00Z" }, "123456" }, { { "until", "1" }, "" },
  }
  for _, case in ipairs(CASES) do
    it(table.concat(case[1], " "), function()
      local list, text = select_with(case[1], EVENTS, POLICY_OF_TWO), ""
      for i, is in ipairs(list) do text = text .. (is and i or "") end
      assert.equal(case[2], text)
    end)
  end

  local WRONG = {
    { { "kind", "open" }, '--kind: must be one of "closed", "logged", "opened", "updated", got "open"' ..
      ' (did you mean "opened"?)' },
    { { "kind", "opened,,closed" }, '--kind: "opened,,closed" has an empty value' },
    { { "decision", "drop" }, '--decision: must be one of "allow", "deny", got "drop"' },
    { { "protocol", "tpc" }, '--protocol: must be one of "icmp", "icmpv6", "tcp", "udp", got "tpc"' ..
      ' (did you mean "tcp"?); or its number' },
    { { "protocol", "256" }, "--protocol: a number must be from 0 to 255, got 256" },
    { { "port", "65536" }, '--port: must be a whole number from 0 to 65535 or a range like "1024-65535", got "65536"' },
    { { "ip", "10.0.0.1/8" }, '--ip: "10.0.0.1/8" has host bits set; the network is "10.0.0.0/8"' },
    { { "from-ip", "host" }, '--from-ip: "host" is not an address or a network like "10.0.0.0/8"' },
    { { "select-cell", ("x"):rep(64) }, "--select-cell: is 64 bytes long, at most 63 fit" },
    { { "since", "1", "since", "2" }, "--since: given more than once" },
    { { "until", "noon" }, '--until: must be a time like "2026-01-31T12:00:00Z" or seconds since 1970, got "noon"' ..
      ", or how long ago, like 30s, 5m, 2h, 1d, or in how long, like +5m" },
  }
  for _, case in ipairs(WRONG) do
    it("are refused: " .. table.concat(case[1], " "):sub(1, 60), function()
      assert.equal(case[2], usage(case[1]))
    end)
  end

  it("take times as how long ago, and in how long", function()
    local selection, core = require("cellflow.selection"), recording.new()
    assert.equal(1000 - 90, selection.read(core, { "since", "1.5m" }, 1000).since)
    assert.equal(100000 - 86400, selection.read(core, { "until", "1d" }, 100000).before)
    assert.equal(1000 + 300, selection.read(core, { "until", "+5m" }, 1000, true).before)
    assert.is_nil(selection.read(core, {}, 1000))
  end)
  it("of what is to come have no end behind them", function()
    local selection, core = require("cellflow.selection"), recording.new()
    local ok, wrong = pcall(selection.read, core, { "until", "1970-01-01T00:00:01Z" }, 1000, true)
    assert.same({ false, "--until: 1970-01-01T00:00:01Z is over already; in five minutes is +5m" }, { ok, wrong.usage })
    assert.equal(1, selection.read(core, { "since", "1" }, 1000, true).since)
  end)
  it("change the output only: counters, handlers, dedup and other endings are as without", function()
    local policy = POLICY .. [[
      local n = 0
      on("opened", function() counter("seen"):add() end)
      on("decision", function(record) counter("decided", record.decision):add() emit("extra") end)
      function dedup(ev) return ev.dst_port == 5 and "k" or nil end
      function format(record) if record.dst_port == 6 then return nil end return record end]]
    local events = { { dst_port = 5 }, { dst_port = 5 }, { dst_port = 6 }, { dst_port = 22 }, { dst_port = 7 } }
    local function endings(words)
      local _, out = select_with(words, events, policy)
      local list = {}
      for i, ending in ipairs(out.endings) do list[i] = ending.how end
      return list, out
    end
    local all, without = endings({})
    local some, with = endings({ "port", "7" })
    assert.same({ "record", "deduplicated", "suppressed", "record", "record" }, all)
    assert.same({ "filtered", "deduplicated", "filtered", "filtered deny", "record" }, some)
    assert.same(without.counters, with.counters)
    assert.same(without.extra, with.extra)
    assert.same(without.keys, with.keys)
  end)
  it("are asked once for an event whose handlers and format fail", function()
    local policy = POLICY .. [[
      on("decision", function() error("one") end)
      on("decision", function() error("two") end)
      function format() error("three") end]]
    local _, out = select_with({ "port", "443" }, { {}, { dst_port = 9 } }, policy)
    assert.same({ "record", "filtered" }, { out.endings[1].how, out.endings[2].how })
    assert.equal(5, out.script_errors)
  end)
end)
