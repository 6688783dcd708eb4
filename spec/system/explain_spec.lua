-- SPDX-License-Identifier: MIT
-- `cellflow explain` as a user runs it: every step and its text, exit codes, and every way to ask wrongly.
local strict_json = require("strict_json")
local verb = require("verb")

local EGRESS = [[
cell "web" { netns = "web", interface = "eth0" }
cell "db" { netns = "db" }
function dedup(ev)
  if ev.dst_port then return ev.dst_addr .. ":" .. ev.dst_port, 5 * minute end
end
allow "dns" { protocol = "udp", dst_port = 53 }
allow "https" { protocol = "tcp", dst_port = { 443, "8000-8100" }, dst_addr = { "192.0.2.0/24", "2001:db8::/32" } }
deny "no-ssh" { protocol = "tcp", dst_port = 22, reason = "ssh_egress" }
on("opened", { protocol = "tcp" }, function(ev) emit { type = "note", to = ev.dst_addr } end)
function verdict(ev)
  if ev.dst_port == 25 then return "deny", "no_mail", "mail" end
  if ev.dst_port == 26 then return "dney" end
  if ev.dst_port == 27 then return nil + 1 end
end
function reason(ev) if ev.mark == 7 then return "quarantined" end end
function format(record)
  if record.dst_port == 1 then return nil end
  if record.dst_port == 2 then return "two" end
  if record.dst_port == 3 then record.site = "lab" end
  return record
end
]]

describe("explain", function()
  local place

  setup(function()
    place = verb.open()
    place:write("egress.lua", EGRESS)
    place:write("with_default.lua", 'cell "web" { netns = "web" }\ndefault { decision = "deny" }\n')
  end)
  teardown(function() place:close() end)

  -- The lines without those of `record`, whose times and ids differ, and that record.
  local function steps(words, policy, input)
    local code, out, err = place:run(("explain -c %s %s"):format(policy or "egress.lua", words), input)
    assert.equal(0, code, err)
    local lines, record = {}, nil
    for line in out:gmatch("[^\n]+") do
      record = line:match("^record    (.*)$") or record
      if not line:find("^record ") then lines[#lines + 1] = line end
    end
    return lines, record, err
  end

  it("shows every step of an event that a rule decides", function()
    local lines, record, err = steps("protocol=tcp dst_addr=192.0.2.7 dst_port=22")
    assert.same({
      "event     opened egress tcp 10.0.0.1:40000 -> 192.0.2.7:22, cell web",
      'handler   egress.lua:9: on "opened": called',
      'emit      {"to":"192.0.2.7","type":"note"}',
      'dedup     egress.lua:3: key "192.0.2.7:22", 300 s: not seen',
      'rule      egress.lua:6 allow "dns": no, dst_port is 22, rule wants 53; protocol is tcp, rule wants udp',
      'rule      egress.lua:7 allow "https": no, dst_port is 22, rule wants 443 or 8000-8100',
      'rule      egress.lua:8 deny "no-ssh": yes -> deny, ssh_egress',
      "verdict   egress.lua:10: not asked, a rule decided",
      "reason    egress.lua:15: kept",
      "format    egress.lua:16: the record",
    }, lines)
    assert.equal("", err)
    record = assert(strict_json.decode(record))
    assert.same({ "deny", "ssh_egress", "no-ssh", "egress.lua:8", "web", "eth0" }, { record.decision,
      record.reason_code, record.rule, record.decided_at, record.cell_id, record.interface })
  end)

  for what, case in pairs({
    ["a verdict"] = { "dst_port=25", { 'verdict   egress.lua:10: -> deny, no_mail, rule "mail"' } },
    ["no opinion"] = { "dst_port=99", { "verdict   egress.lua:10: no opinion",
      "mapping   nothing of the policy decided -> allow, ebpf_flow_observed" } },
    ["a drop"] = { "dst_port=99 verdict=drop direction=ingress", {
      "event     opened ingress tcp 10.0.0.1:40000 -> 192.0.2.1:99, cell web",
      "mapping   nothing of the policy decided -> deny, ebpf_xdp_drop" } },
    ["a wrong answer"] = { "dst_port=26",
      { 'verdict   egress.lua:10: error: verdict must return "allow", "deny" or nil, got "dney" ' ..
        '(did you mean "deny"?)' } },
    ["a script error"] = { "dst_port=27",
      { "verdict   egress.lua:13: error: attempt to perform arithmetic on a nil value" } },
    ["another reason"] = { "dst_port=22 mark=7",
      { "reason    egress.lua:15: -> quarantined instead of ssh_egress" } },
    ["no line"] = { "dst_port=1", { "format    egress.lua:16: nothing, so no line is written",
      "ending    no line is written" } },
    ["a line of its own"] = { "dst_port=2", { "format    egress.lua:16: a line of its own", "line      two" } },
    ["a changed record"] = { "dst_port=3", { "format    egress.lua:16: the record, changed" } },
    ["no key, and absent fields"] = { "protocol_number=47", { "dedup     egress.lua:3: no key, never a duplicate",
      "event     opened egress protocol 47 10.0.0.1 -> 192.0.2.1, cell web",
      'rule      egress.lua:8 deny "no-ssh": no, dst_port is absent, rule wants 22; protocol is absent, rule wants tcp'
    } },
    ["another family and cell"] = { "dst_addr=2001:db8::1 cell_id=db icmp_id=3", {
      "event     opened egress icmpv6 fd00::1 -> 2001:db8::1, cell db" } },
  }) do
    it("shows " .. what, function()
      local lines = table.concat((steps(case[1])), "\n") .. "\n"
      for _, want in ipairs(case[2]) do assert.truthy(lines:find(want .. "\n", 1, true), lines) end
    end)
  end

  it("shows a default that decides, and one that does not", function()
    assert.same({ "event     opened egress tcp 10.0.0.1:40000 -> 192.0.2.1:443, cell web",
      "default   with_default.lua:2: -> deny, default_deny" }, (steps("protocol=tcp", "with_default.lua")))
  end)

  it("takes a record of its own and finds the same again", function()
    local _, record = steps("dst_port=3 kind=closed close_reason=fin vlan=5 mark=9 byte_count=99 " ..
      "observed_at=2026-01-31T12:00:00.123456789Z duration=1.5")
    local first = assert(strict_json.decode(record))
    assert.same({ "2026-01-31T11:59:58.623456789Z", "2026-01-31T12:00:00.123456789Z" },
      { first.first_seen, first.observed_at })
    local _, again = steps("-", nil, record .. "\n")
    local second = assert(strict_json.decode(again))
    first.decision_id, second.decision_id = nil, nil -- it comes from the CPU and the sequence number as well
    assert.same(first, second)
  end)

  it("shortens a long list of rules, unless all are wanted", function()
    place:write("many.lua", 'cell "web" { netns = "web" }\nfor i = 1, 10000 do deny("r" .. i) { dst_port = i } end\n')
    local lines = steps("dst_port=9000", "many.lua")
    assert.equal("rule      ... 8,979 more rules do not match", lines[22])
    assert.equal('rule      many.lua:2 deny "r9000": yes -> deny, policy_deny', lines[23])
    assert.equal('rule      many.lua:2 deny "r20": no, dst_port is 9000, rule wants 20', lines[21])
    assert.equal(51, #steps("dst_port=50", "many.lua"))
    assert.equal(23, #steps("dst_port=51", "many.lua"))
    assert.equal(9001, #steps("--all dst_port=9000", "many.lua"))
  end)

  it("runs handlers of start, shares counters and logs as in a run, and ends what does not come back", function()
    place:write("state.lua", [[
      cell "web" { netns = "web" }
      local n = counter("n")
      on("start", function() log.info("hello") n:add(3) end)
      on("decision", function(record) emit(record) error({}) end)
      function dedup() while true do pcall(function() while true do end end) end end
      function reason() return "n" .. n:get() end]])
    local lines, record, err = steps("dst_port=1", "state.lua")
    assert.equal('handler   state.lua:3: on "start": called', lines[2])
    assert.equal("dedup     state.lua:5: error: still running after 10 million instructions; is there a loop " ..
      "without an end?", lines[3])
    assert.equal("reason    state.lua:6: -> n3 instead of script_error", lines[5])
    assert.equal("handler   state.lua:4: error: error object is a table value", lines[6])
    assert.matches('^emit      {"schema_version"', lines[7])
    assert.matches("^cellflow: hello\n", err)
    assert.equal("script_error", strict_json.decode(record).reason_code)
  end)

  it("ends with what does not come back from one call", function()
    place:write("p.lua", 'cell "web" { netns = "web" }\n' ..
      'function reason() return (("a"):rep(40):find(("a?"):rep(40) .. ("a"):rep(40))) end')
    local code, out, err = place:run("explain -c p.lua dst_port=1")
    assert.same({ 1, "", "cellflow: error: p.lua:2: reason did not come back from one call within 4 s (a text " ..
      "pattern without an end?)\n" }, { code, out, err })
  end)

  it("reads a record of a connection back as it was", function()
    local words = "kind=closed close_reason=fin witnesses=ebpf,nflog conflict=true reopened=true midstream=true " ..
      "reply_packet_count=5 reply_byte_count=600 nft_rule=no-ssh duration=2.5 packet_count=7"
    local _, first = steps(words, "with_default.lua")
    local back = assert(strict_json.decode(first))
    assert.same({ { "ebpf", "nflog" }, true, true, true, 5, 600, "no-ssh", 2500, "cellflow:deny:no-ssh" },
      { back.witnesses, back.conflict, back.reopened, back.midstream, back.reply_packet_count, back.reply_byte_count,
        back.nft_rule_ref, back.duration_ms, back.prefix })
    local _, second = steps("-", "with_default.lua", first)
    local function without_id(text) return (text:gsub('"decision_id":"[^"]*"', "")) end
    assert.equal(without_id(first), without_id(second))
  end)

  it("takes a logged event for one that the firewall dropped", function()
    local lines, record = steps("kind=logged nft_rule=no-ssh hook=nf_output dst_port=99")
    assert.equal("mapping   nothing of the policy decided -> deny, nflog_match", lines[#lines - 2])
    record = assert(strict_json.decode(record))
    assert.same({ "drop", "no-ssh", { "nflog" }, "nf_output", "cellflow:deny:no-ssh" },
      { record.verdict, record.nft_rule_ref, record.witnesses, record.hook, record.prefix })
  end)

  it("says the same in JSON", function()
    local code, out = place:run("explain -c egress.lua --json dst_port=22")
    assert.equal(0, code)
    assert.truthy(strict_json.is_object(out, #out))
    assert.truthy(out:find('"steps":[{', 1, true))
    assert.truthy(out:find('"ending":"record"', 1, true))
    assert.truthy(out:find('"matches":false,"name":"dns"', 1, true))
    assert.truthy(out:find('"unmet":[{"field":"dst_port","has":"22","wants":"53"}', 1, true))
  end)

  for words, want in pairs({
    ["-c egress.lua dst_prot=3"] = 'event: an event has no field "dst_prot" (did you mean "dst_port"?)',
    ["-c egress.lua decision=deny"] = 'event: "decision" is what a policy decides, no field of an event',
    ["-c egress.lua dst_port=65536"] = 'event: dst_port must be a whole number from 0 to 65535, got "65536"',
    ["-c egress.lua dst_addr=300.1.1.1"] = 'event: dst_addr must be an address like "192.0.2.7" or "2001:db8::1", ' ..
      'got "300.1.1.1"',
    ["-c egress.lua cell_id=wbe"] = 'event: cell_id must be a cell of the policy, one of "db", "web", got "wbe"' ..
      ' (did you mean "web"?)',
    ["-c egress.lua protocol=tpc"] = 'event: protocol must be one of "icmp", "icmpv6", "tcp", "udp", got "tpc" ' ..
      '(did you mean "tcp"?)',
    ["-c egress.lua tcp_flags=SX"] = 'event: tcp_flags "SX": there is no flag "X", only letters of FSRPAUEC',
    ["-c egress.lua '{\"tcp_flags\":3}'"] = "event: tcp_flags must be letters of FSRPAUEC, got 3",
    ["-c egress.lua fragment=maybe"] = 'event: fragment must be true or false, got "maybe"',
    ["-c egress.lua observed_at=2026-02-30T00:00:00Z"] = 'event: observed_at must be a time like ' ..
      '"2026-01-31T12:00:00Z" or seconds since 1970, got "2026-02-30T00:00:00Z"',
    ["-c egress.lua duration=x"] = 'event: duration must be a number of seconds, got "x"',
    ["-c egress.lua x"] = 'event: want field=value words or one JSON record, got "x"',
    ["-c egress.lua mark=1 mark=2"] = "event: mark is given twice",
    ["-c egress.lua src_addr=::1 dst_addr=1.2.3.4"] = "event: src_addr and dst_addr are of different families",
    ["-c egress.lua family=ipv6 dst_addr=1.2.3.4"] = 'event: family "ipv6" does not fit the address',
    ["-c egress.lua protocol=tcp protocol_number=17"] =
      'event: protocol "tcp" and protocol_number "17" are not the same',
    ["-c egress.lua close_reason=fin"] = "event: close_reason belongs to kind closed",
    ["-c egress.lua '{\"witnesses\":[3]}'"] = "event: witnesses must be a list of text",
    ["-c egress.lua '{\"nft_rule\":3}'"] = "event: nft_rule must be text, got 3",
    ["-c egress.lua reply_byte_count=7"] = "event: reply_byte_count belongs to kinds updated and closed",
    ["-c egress.lua witnesses=everybody"] = 'event: witnesses must be one of "ebpf", "ebpf,nflog", ' ..
      '"ebpf,nflog,replay", "ebpf,replay", "nflog", "nflog,replay", "replay", got "everybody"',
    ["-c egress.lua first_seen=9 time=8"] = "event: first_seen is later than the event",
    ["-c egress.lua '{\"site\":1}'"] = 'event: an event has no field "site" (did you mean "time"?)',
    ["-c egress.lua '{\"dst_port\":1'"] = 'event: no JSON record: "," or "}" is missing at byte 14',
    ["-c egress.lua '{\"type\":\"cellflow_summary\"}'"] = 'event: a JSON object of type "cellflow_summary" is no ' ..
      'record (want "network_flow_decision")',
    ["-c egress.lua -"] = "event: stdin has no line",
    ["-c egress.lua"] = "explain: no event (give field=value words, a JSON record, or - to read one from stdin)",
    ["dst_port=1"] = "explain: no policy (give one with -c FILE)",
  }) do
    it("refuses " .. words, function()
      local code, out, err = place:run("explain " .. words)
      assert.equal("cellflow: error: " .. want .. "\n", err)
      assert.equal(2, code)
      assert.equal("", out)
    end)
  end

  it("a policy that does not load", function()
    place:write("bad.lua", "cell {")
    local code, out, err = place:run("explain -c bad.lua dst_port=1")
    assert.equal(3, code)
    assert.equal("", out)
    assert.matches("^cellflow: error: bad.lua:1: ", err)
    assert.equal(3, (place:run("explain -c missing.lua dst_port=1")))
  end)

  it("a policy without a cell has the one that run makes", function()
    place:write("none.lua", "function verdict(ev) return 'deny', ev.cell_id end")
    local lines = steps("dst_port=1 interface=eth7", "none.lua")
    assert.equal("verdict   none.lua:1: -> deny, cell", lines[2])
  end)
end)
