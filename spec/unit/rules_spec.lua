-- SPDX-License-Identifier: MIT
-- What rules decide, in which order they are asked, and every way they refuse what they are given.
require("spec.helper")
local ffi = require("ffi")
local recording = require("recording_core")

local function one(text, fields)
  local endings, out, host = recording.run(text, { fields or {} })
  assert.equal(1, #endings)
  return endings[1], out, host
end

local function reason_of(text, fields) return one(text, fields).reason end

describe("a rule that matches", function()
  it("gives decision, reason, its name and its place", function()
    assert.same({ how = "record", seq = 1, decision = "deny", reason = "ssh_egress", rule = "no-ssh",
      place = "cellflow.lua:2" },
      one('\ndeny "no-ssh" {\n  protocol = "tcp", dst_port = 22, reason = "ssh_egress" }', { dst_port = 22 }))
  end)
  it("has a reason code of its own when it names none", function()
    assert.equal("policy_allow", reason_of('allow "a" {}'))
    assert.equal("policy_deny", reason_of('deny "a" {}'))
    assert.equal("declared", reason_of('allow "a" { reason = "declared" }'))
  end)
  it("is the first in the order written, allow and deny in one list", function()
    local text = 'deny "a" { dst_port = 22 } allow "b" { dst_port = "1-100" }\n' ..
      'deny "c" { protocol = "tcp" } allow "d" {}'
    local endings = recording.run(text, { { dst_port = 22 }, { dst_port = 80 }, { dst_port = 443 },
      { protocol = 17, dst_port = 443 } })
    assert.same({ "a", "b", "c", "d" }, { endings[1].rule, endings[2].rule, endings[3].rule, endings[4].rule })
  end)
  it("keeps the verdict hook from being asked", function()
    local endings, out = recording.run([[
      allow "a" { dst_port = 443 }
      function verdict(ev) log.info("asked " .. ev.dst_port) return "deny", "hook" end]],
      { { dst_port = 443 }, { dst_port = 80 } })
    assert.same({ "policy_allow", "hook" }, { endings[1].reason, endings[2].reason })
    assert.equal("asked 80", out.log[1].text)
    assert.equal(1, #out.log)
  end)
  it("is asked after dedup and before reason and format", function()
    local endings = recording.run([[
      deny "a" { dst_port = 443 }
      function dedup(ev) return ev.dst_port end
      function reason(ev, decision, code) return decision .. "/" .. code end
      function format(record) return record.rule .. " " .. record.reason_code .. " " .. record.decided_at end]],
      { {}, {} })
    assert.equal("a deny/policy_deny cellflow.lua:1", endings[1].line)
    assert.equal("deduplicated", endings[2].how)
  end)
  it("decides what a failing dedup leaves", function()
    local ending = one('deny "a" {}\nfunction dedup() error("x") end')
    assert.same({ "deny", "script_error", "a", "cellflow.lua:2" },
      { ending.decision, ending.reason, ending.rule, ending.error_place })
  end)
end)

describe("default", function()
  it("answers for what no rule and no verdict decided", function()
    local text = 'allow "a" { dst_port = 1 }\ndefault { decision = "deny", reason = "not_declared" }\n' ..
      'function verdict(ev) if ev.dst_port == 2 then return "allow", "hook" end end'
    local endings = recording.run(text, { { dst_port = 1 }, { dst_port = 2 }, { dst_port = 3 } })
    assert.same({ "policy_allow", "hook", "not_declared" }, { endings[1].reason, endings[2].reason,
      endings[3].reason })
    assert.same({ "deny", "cellflow.lua:2" }, { endings[3].decision, endings[3].place })
    assert.is_nil(endings[3].rule)
  end)
  it("has a reason code of its own, and needs no rule", function()
    local ending = one('default { decision = "allow" }', { verdict = 2 })
    assert.same({ "allow", "default_allow", "cellflow.lua:1" }, { ending.decision, ending.reason, ending.place })
    assert.equal("default_deny", reason_of('default { decision = "deny" }'))
  end)
  it("answers when verdict fails", function()
    local ending = one('default { decision = "deny" }\nfunction verdict() error("x") end')
    assert.same({ "deny", "script_error", "cellflow.lua:1", "cellflow.lua:2" },
      { ending.decision, ending.reason, ending.place, ending.error_place })
  end)
  it("is the kernel's verdict when there is none", function()
    local ending = one('allow "a" { dst_port = 1 }', { verdict = 2 })
    assert.same({ "deny", "ebpf_xdp_drop" }, { ending.decision, ending.reason })
    assert.is_nil(ending.place)
  end)
end)

-- Each: what a rule asks for, events that meet it, events that do not. An event is changes to recording_core's.
local TCP, ICMP = 1 + 8, 2 + 4
local MATCHES = {
  { 'kind = "opened"', { {} }, { { kind = 2 }, { kind = 9 } } },
  { 'kind = { "closed", "updated" }', { { kind = 2 }, { kind = 3 } }, { {} } },
  { 'source = "ebpf"', { {} }, { { source = 2 } } },
  { 'hook = "tc_ingress"', { { hook = 2 } }, { {}, { hook = 0 } } },
  { 'direction = "egress"', { {} }, { { direction = 2 } } },
  { 'verdict = "accept"', { {} }, { { verdict = 0 }, { verdict = 2 } } },
  { 'family = "ipv6"', { { src = "::1", dst = "::2", family = 6 } }, { {} } },
  { 'protocol = { "udp", "icmp" }', { { protocol = 17 }, { protocol = 1 } }, { {}, { protocol = 47 } } },
  { "protocol_number = { 47, '50-51' }", { { protocol = 47 }, { protocol = 51 } }, { {}, { protocol = 52 } } },
  { 'src_addr = "10.0.0.1"', { {} }, { { src = "10.0.0.2" } } },
  { 'dst_addr = "0.0.0.0/0"', { {} }, { { src = "::1", dst = "::2", family = 6 } } },
  { 'dst_addr = "::/0"', { { src = "::1", dst = "c000:207::", family = 6 } }, { {} } },
  { 'dst_addr = { "192.0.2.0/24", "2001:db8::/33" }', { {}, { dst = "192.0.2.255" },
    { src = "::1", dst = "2001:db8:7fff::1", family = 6 } },
    { { dst = "192.0.3.0" }, { src = "::1", dst = "2001:db8:8000::", family = 6 } } },
  { 'dst_addr = net { "192.0.2.0/24", "10.0.0.0/8" }', { {}, { dst = "10.9.9.9" } }, { { dst = "11.0.0.0" } } },
  { "src_port = 40000", { {} }, { { src_port = 1 }, { flags = 32 } } },
  { "dst_port = 0", { { dst_port = 0 } }, { {}, { flags = 32, dst_port = 0 } } },
  { 'dst_port = { 22, "80-81", "8000-" }', { { dst_port = 22 }, { dst_port = 80 }, { dst_port = 81 },
    { dst_port = 65535 } }, { {}, { dst_port = 79 }, { dst_port = 82 }, { dst_port = 7999 } } },
  { 'dst_port = "443"', { {} }, { { dst_port = 444 } } },
  { "icmp_type = 8", { { protocol = 1, flags = ICMP, icmp_type = 8 } }, { {}, { flags = ICMP }, { icmp_type = 8 } } },
  { "icmp_code = '1-3'", { { flags = ICMP, icmp_code = 3 } }, { { flags = ICMP }, { icmp_code = 3 } } },
  { "icmp_id = 7", { { flags = ICMP, icmp_id = 7 } }, { { flags = 2, icmp_id = 7 }, { flags = ICMP } } },
  { 'tcp_flags = "S"', { {}, { tcp_flags = 0x12 } }, { { tcp_flags = 0x10 }, { flags = 1 } } },
  { 'tcp_flags = { "SA", "R" }', { { tcp_flags = 0x12 }, { tcp_flags = 4 }, { tcp_flags = 0xff } },
    { {}, { tcp_flags = 0x10 }, { tcp_flags = 0 } } },
  { "vlan = 0", { { flags = TCP + 16 } }, { {} } },
  { "vlan = '100-199'", { { flags = TCP + 16, vlan = 199 } }, { { vlan = 150 }, { flags = TCP + 16, vlan = 200 } } },
  { "mark = 0xffffffff", { { mark = 4294967295 } }, { {}, { mark = 2147483647 } } },
  { "fragment = true", { { flags = 32 } }, { {} } },
  { "fragment = false", { {} }, { { flags = 32 } } },
  { "reopened = true", { { flags = 64 } }, { {}, { flags = 32 + 128 } } },
  { "midstream = false", { {}, { flags = 64 } }, { { flags = 128 } } },
  { "conflict = true", { { flags = 256 } }, { {}, { flags = 255 } } },
  { 'witnesses = "ebpf"', { {}, { witnesses = 2, source = 2 } }, { { witnesses = 6 }, { source = 2 } } },
  { 'witnesses = { "nflog", "ebpf,nflog" }', { { source = 2 }, { witnesses = 4 }, { witnesses = 6 } },
    { {}, { source = 3 }, { source = 0 } } },
  { 'hook = { "nf_forward", "nf_egress" }', { { hook = 5 }, { hook = 9 } }, { {}, { hook = 6 }, { hook = 0 } } },
  { 'nft_rule = "no-ssh"', { { prefix = "cellflow:deny:no-ssh" }, { prefix = "cellflow:allow:no-ssh: " } },
    { {}, { prefix = "no-ssh" }, { prefix = "cellflow:deny:no-ssh2" }, { prefix = "cellflow::no-ssh" } } },
  { "reply_packet_count = '2-'", { { reply_packets = 2 } }, { {}, { reply_packets = 1 } } },
  { "reply_byte_count = '1-9'", { { reply_bytes = 9 } }, { {}, { reply_bytes = 10 }, { bytes = 5 } } },
  { "ifindex = '7-9'", { {} }, { { ifindex = 6 }, { ifindex = 0 } } },
  { 'close_reason = { "fin", "rst" }', { { close_reason = 1 } }, { {}, { close_reason = 3 } } },
  { 'prefix = "deny-ssh "', { { prefix = "deny-ssh " } }, { {}, { prefix = "deny-ssh" }, { prefix = "deny-ssh  " } } },
  { "packet_count = '2-'", { {}, { packets = 2 ^ 40 } }, { { packets = 1 }, { packets = 0 } } },
  { "byte_count = (1 * MB) .. '-' .. 2 * MB", { { bytes = 2 ^ 20 }, { bytes = 2 ^ 21 } },
    { {}, { bytes = 2 ^ 21 + 1 } } },
  { "seq = 1", { { seq = 1 } }, { { seq = 2 } } },
  { "cpu = '0-3'", { { cpu = 3 } }, { { cpu = 4 }, { hook = 0, cpu = 3 }, { hook = 3, cpu = 3 } } },
  { "duration = '2.5-3'", { {} }, { { last_seen_ns = 3499999999 }, { last_seen_ns = 4000000001 },
    { first_seen_ns = 0 } } },
  { "duration = 2.5", { {} }, { { last_seen_ns = 3500000001 } } },
  { "time = '1000000000-'", { {} }, { { last_seen_ns = 0 } } },
  { "dst_port = 443, protocol = 'tcp'", { {} }, { { dst_port = 444 }, { protocol = 17 } } },
}

describe("a match", function()
  for _, case in ipairs(MATCHES) do
    it("{ " .. case[1] .. " }", function()
      local text = ('deny "r" { %s }'):format(case[1])
      for i, fields in ipairs(case[2]) do assert.equal("r", one(text, fields).rule, "event " .. i) end
      for i, fields in ipairs(case[3]) do assert.is_nil(one(text, fields).rule, "other event " .. i) end
    end)
  end
  it("that is empty matches every event", function()
    for kind = 0, 4 do assert.equal("r", one('deny "r" {}', { kind = kind, protocol = 0, flags = 0 }).rule) end
  end)
  it("of cell_id and interface goes by the plan that is bound", function()
    local host, out, batch = recording.host([[
      cell "a" { pid = 1, interface = "e0" }
      cell "b" { pid = 2, interface = "e1" }
      deny "cell" { cell_id = { "b", "c" } }
      deny "interface" { interface = "e0" }]])
    for i = 0, 3 do recording.fill(batch.events[i], { cell = ({ [0] = 0, 1, 2, 4294967295 })[i] }) end
    host.batch(4)
    local resolved = ffi.new("struct cf_plan")
    resolved.cell_count = 1
    resolved.cells[0].name, resolved.cells[0].interface = "c", "e0"
    host.bind(resolved)
    host.batch(4)
    local rules = {}
    for i, ending in ipairs(out.endings) do rules[i] = ending.rule or "-" end
    assert.equal("interface cell - - cell - - -", table.concat(rules, " "))
  end)
end)

local FULL = "must be a whole number from 0 to 65535 or a range like \"1024-65535\", got "
local ERRORS = {
  { 'allow "dns" { dst_prot = 53 }', 'allow "dns": a match has no field "dst_prot" (did you mean "dst_port"?)' },
  { 'deny "x" { reson = "a" }', 'deny "x": a match has no field "reson" (did you mean "reason"?)' },
  { 'deny "x" { decision = "deny" }', 'deny "x": a match has no field "decision"' },
  { 'deny "x" { "tcp" }', 'deny "x": fields are written name = value, but "tcp" has no name' },
  { 'deny "x" "tcp"', 'deny "x" takes a table of fields, got "tcp"' },
  { 'deny "x" { dst_port = 70000 }', 'deny "x": dst_port ' .. FULL .. "70000" },
  { 'deny "x" { dst_port = 1.5 }', 'deny "x": dst_port ' .. FULL .. "1.5" },
  { 'deny "x" { dst_port = -1 }', 'deny "x": dst_port ' .. FULL .. "-1" },
  { 'deny "x" { dst_port = 0/0 }', 'deny "x": dst_port ' .. FULL .. tostring(0 / 0) },
  { 'deny "x" { dst_port = true }', 'deny "x": dst_port ' .. FULL .. "true" },
  { 'deny "x" { dst_port = "ssh" }', 'deny "x": dst_port ' .. FULL .. '"ssh"' },
  { 'deny "x" { dst_port = "1-70000" }', 'deny "x": dst_port ' .. FULL .. '70000 in "1-70000"' },
  { 'deny "x" { dst_port = "80-70" }', 'deny "x": dst_port "80-70" runs backwards; write "70-80"' },
  { 'deny "x" { dst_port = { 1, { 2 } } }', 'deny "x": dst_port ' .. FULL .. "a table" },
  { 'deny "x" { dst_port = {} }', 'deny "x": dst_port must not be an empty list' },
  { 'deny "x" { dst_port = { from = 1 } }',
    'deny "x": dst_port takes a value or a list of values; 1 in it has a name' },
  { 'deny "x" { duration = "x" }',
    'deny "x": duration must be a number of at least 0 or a range like "0.5-10", got "x"' },
  { 'deny "x" { mark = 0 }',
    'deny "x": mark must be a whole number from 1 to 4294967295 or a range like "1-255", got 0' },
  { 'deny "x" { icmp_type = 256 }',
    'deny "x": icmp_type must be a whole number from 0 to 255 or a range like "3-4", got 256' },
  { 'deny "x" { src_addr = "10.0.0.1/8" }',
    'deny "x": src_addr "10.0.0.1/8" has host bits set; the network is "10.0.0.0/8"' },
  { 'deny "x" { src_addr = { "10.0.0.0/8", "2001:db8::1/32" } }',
    'deny "x": src_addr "2001:db8::1/32" has host bits set; the network is "2001:db8::/32"' },
  { 'deny "x" { dst_addr = "10.0.0.0/33" }', 'deny "x": dst_addr "10.0.0.0/33": the prefix length must be 0 to 32' },
  { 'deny "x" { dst_addr = "example.org" }',
    'deny "x": dst_addr "example.org" is not an address or a network like "10.0.0.0/8"' },
  { 'deny "x" { dst_addr = 10 }', 'deny "x": dst_addr must be an address or a network like "10.0.0.0/8", got 10' },
  { 'deny "x" { protocol = "tpc" }',
    'deny "x": protocol must be one of "icmp", "icmpv6", "tcp", "udp", got "tpc" (did you mean "tcp"?)' },
  { 'deny "x" { protocol = 47 }', 'deny "x": protocol must be one of "icmp", "icmpv6", "tcp", "udp", got 47; a ' ..
    "number goes into protocol_number" },
  { 'deny "x" { verdict = "unknown" }', 'deny "x": verdict must be one of "accept", "drop", got "unknown"' },
  { 'deny "x" { fragment = "yes" }', 'deny "x": fragment must be true or false, got "yes"' },
  { 'deny "x" { tcp_flags = "SX" }', 'deny "x": tcp_flags "SX": there is no flag "X", only letters of FSRPAUEC' },
  { 'deny "x" { tcp_flags = "" }',
    'deny "x": tcp_flags must be letters of FSRPAUEC that are all to be set, like "SA", got ""' },
  { 'deny "x" { cell_id = 5 }', 'deny "x": cell_id must be text, got 5' },
  { 'deny "x" { prefix = ("x"):rep(128) }', 'deny "x": prefix is 128 bytes long, at most 127 fit' },
  { 'deny "x" { reason = "" }', 'deny "x": reason must not be empty' },
  { 'deny "x" { reason = 5 }', 'deny "x": reason must be text, got 5' },
  { "deny {}", 'deny takes a name first, got a table: deny "no-ssh" { protocol = "tcp", dst_port = 22 }' },
  { 'allow ""', "allow: the name must not be empty" },
  { 'allow "x"', 'allow "x" has no { options } after it' },
  { 'allow "x" {} deny "x" {}', 'deny "x" is declared twice; the first is allow "x" at cellflow.lua:3' },
  { "default {}", 'default must say what it decides: default { decision = "deny" }' },
  { 'default { decision = "alow" }',
    'default: decision must be one of "allow", "deny", got "alow" (did you mean "allow"?)' },
  { 'default { decision = "deny", dst_port = 1 }', 'default: unknown option "dst_port"' },
  { 'default { decision = "deny" } default { decision = "deny" }',
    "default is declared twice; the first is at cellflow.lua:3" },
  { 'for i = 1, 32769 do deny("r" .. i) { dst_port = 1 } end',
    'deny "r32769" is one too many; a policy holds 32768 rules' },
}

describe("a rule is refused:", function()
  for _, case in ipairs(ERRORS) do
    it(case[2], function()
      assert.equal("cellflow.lua:3: " .. case[2], recording.load_error("\n\n" .. case[1]))
    end)
  end
  for _, code in ipairs({ 'allow "x" {}', 'deny "x" {}', 'default { decision = "deny" }' }) do
    it("after the file was read: " .. code, function()
      local ending, out = one("function verdict()\n  " .. code .. "\nend")
      assert.equal("script_error", ending.reason)
      assert.matches(("%s() may only be used while the file is read"):format(code:match("%w+")), out.log[1].text, 1,
        true)
    end)
  end
end)

describe("many rules", function()
  it("are found at both ends of every page and word", function()
    local host, out, batch = recording.host([[
      for i = 1, 32768 do deny("r" .. i) { src_port = (i - 1) % 65536, dst_port = (i * 7) % 65536 } end]])
    local wanted = { 1, 2, 31, 32, 33, 64, 1023, 1024, 1025, 2048, 31744, 31745, 32736, 32737, 32767, 32768 }
    for i, number in ipairs(wanted) do
      recording.fill(batch.events[i - 1], { src_port = (number - 1) % 65536, dst_port = (number * 7) % 65536 })
    end
    host.batch(#wanted)
    for i, number in ipairs(wanted) do assert.equal("r" .. number, out.endings[i].rule) end
  end)
  it("whose names are more than core keeps are named right all the same", function()
    local core, out = recording.new()
    core.cf_intern_is_shared = function() return 1 end
    local host = require("cellflow.host").new(core)
    host.load('deny "a" { dst_port = 1 } allow "b" { dst_port = 2 }', "cellflow.lua", nil, ffi.new("struct cf_plan"))
    local batch = core.cf_batch_get()
    for i = 0, 3 do recording.fill(batch.events[i], { dst_port = i % 2 + 1 }) end
    host.batch(4)
    local names = {}
    for i, ending in ipairs(out.endings) do names[i] = ending.rule end
    assert.equal("a b a b", table.concat(names, " "))
  end)
end)
