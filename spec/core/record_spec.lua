-- SPDX-License-Identifier: MIT
--
-- The decision record: which members, in which order, with which values, and none that is not known.
local ffi = require("ffi")
local core = require("output_core")
local strict_json = require("strict_json")

local SIZE = 1048576
local out = ffi.new("char[?]", SIZE)
local C = ffi.C

local function intern(text)
  return core.cf_intern(text, #text)
end

local function bind(change)
  local plan = ffi.new("struct cf_plan")
  plan.cell_count = 2
  plan.cells[0].name = "build-42"
  plan.cells[0].interface = "eth0"
  plan.cells[1].name = "lab"
  plan.cells[1].run_id = "run-of-lab"
  plan.metadata.run_id = "run-1"
  plan.metadata.policy_digest = "sha256:abc"
  plan.metadata.keyset_id = "keys-1"
  plan.metadata.issuer_kid = "kid-1"
  plan.metadata.correlation_id = "corr-1"
  if change then
    change(plan)
  end
  assert(core.cf_record_bind(plan, nil) == 0)
end

local function event(fields)
  local ev = ffi.new("struct cf_event", {
    first_seen_ns = 1500000000ULL, last_seen_ns = 2000000001ULL, packets = 12, bytes = 3456, seq = 7,
    kind = C.CF_KIND_OPENED, source = C.CF_SOURCE_EBPF, direction = C.CF_DIRECTION_EGRESS, family = 4, protocol = 6,
    src_port = 40000, dst_port = 443, flags = C.CF_EVENT_PORTS,
  })
  ffi.copy(ev.src_addr, "\10\0\0\5", 4)
  ffi.copy(ev.dst_addr, "\192\0\2\7", 4)
  for name, value in pairs(fields or {}) do
    ev[name] = value
  end
  return ev
end

local function record(ev, decision)
  local len = core.cf_record_json(ev, ffi.new("struct cf_decision", decision or { decision = C.CF_ALLOW }), out, SIZE)
  assert.is_true(len > 0)
  return ffi.string(out, len)
end

local function fields(ev, decision)
  local text = record(ev, decision)
  local back, why = strict_json.decode(text)
  return assert(back, why), text
end

describe("record", function()
  setup(function() assert(strict_json.available, strict_json.missing) end)
  before_each(function()
    core.cf_intern_reset()
    core.cf_clock_set_offset(1769903999LL * 1000000000)
    bind()
  end)
  teardown(function()
    core.cf_record_unbind()
    core.cf_intern_reset()
    core.cf_clock_follow()
  end)

  it("has every member in the order that is documented", function()
    local ev = event({
      kind = C.CF_KIND_CLOSED, verdict = C.CF_VERDICT_DROP, close_reason = C.CF_CLOSE_IDLE, mark = 9, vlan = 0,
      icmp_type = 8, icmp_code = 0, icmp_id = 77, tcp_flags = 0x12, flags = 0x1ff, prefix = "cellflow:deny:ssh: ",
      reply_packets = 5, reply_bytes = 678, witnesses = 6, hook = C.CF_HOOK_NF_OUTPUT,
    })
    local text = record(ev, {
      decision = C.CF_DENY, reason = intern("ssh_egress"), rule = intern("no-ssh"), place = intern("cellflow.lua:3"),
      error_place = intern("cellflow.lua:9"),
    })
    local id = text:match('"decision_id":"(%x+%-%x+%-8%x%x%x%-[89ab]%x%x%x%-%x+)"')
    assert.equal(36, #id)
    assert.equal('{"schema_version":"1.0.0","type":"network_flow_decision","kind":"closed","cell_id":"build-42",'
      .. '"run_id":"run-1","decision_id":"' .. id .. '","direction":"egress","decision":"deny",'
      .. '"reason_code":"ssh_egress","rule":"no-ssh","nft_rule_ref":"ssh",'
      .. '"decided_at":"cellflow.lua:3","error_at":"cellflow.lua:9",'
      .. '"src_addr":"10.0.0.5","src_port":40000,"dst_addr":"192.0.2.7","dst_port":443,"protocol":"tcp",'
      .. '"protocol_number":6,"family":"ipv4","icmp_type":8,"icmp_code":0,"icmp_id":77,"tcp_flags":"SA",'
      .. '"fragment":true,"vlan":0,"mark":9,"source":"ebpf","witnesses":["ebpf","nflog"],"hook":"nf_output",'
      .. '"verdict":"drop","conflict":true,"reopened":true,"midstream":true,"packet_count":12,"byte_count":3456,'
      .. '"reply_packet_count":5,"reply_byte_count":678,"duration_ms":500,"close_reason":"idle",'
      .. '"interface":"eth0","policy_digest":"sha256:abc","keyset_id":"keys-1",'
      .. '"issuer_kid":"kid-1","correlation_id":"corr-1","first_seen":"2026-02-01T00:00:00.500000000Z",'
      .. '"observed_at":"2026-02-01T00:00:01.000000001Z","prefix":"cellflow:deny:ssh: "}', text)
  end)

  it("leaves out what is not known, whatever the bytes of absent fields hold", function()
    bind(function(plan)
      ffi.fill(plan.metadata, ffi.sizeof(plan.metadata))
      plan.cells[0].interface = ""
    end)
    local back, text = fields(event({
      flags = 0, packets = 0, bytes = 0, tcp_flags = 255, vlan = 5, icmp_type = 3, icmp_code = 3, icmp_id = 3,
      close_reason = C.CF_CLOSE_FIN, protocol = 132, reply_packets = 9, reply_bytes = 9, hook = C.CF_HOOK_TC_EGRESS,
    }))
    back.decision_id = nil
    assert.same({
      schema_version = "1.0.0", type = "network_flow_decision", kind = "opened", cell_id = "build-42",
      direction = "egress", decision = "allow", src_addr = "10.0.0.5", dst_addr = "192.0.2.7", protocol_number = 132,
      family = "ipv4", source = "ebpf", first_seen = "2026-02-01T00:00:00.500000000Z",
      observed_at = "2026-02-01T00:00:01.000000001Z",
    }, back)
    assert.is_nil(text:find("null", 1, true))
  end)

  it("survives an event whose every byte is out of range", function()
    local ev = ffi.new("struct cf_event")
    ffi.fill(ev, ffi.sizeof(ev), 0xff)
    local back = fields(ev, { decision = 77, reason = 1000, rule = 4294967295, place = 1033 })
    for _, name in ipairs({
      "cell_id", "interface", "kind", "direction", "decision", "family", "src_addr", "dst_addr", "protocol", "source",
      "verdict", "close_reason", "witnesses", "hook", "nft_rule_ref", "reply_packet_count", "duration_ms",
      "reason_code", "rule", "decided_at",
    }) do
      assert.is_nil(back[name], name)
    end
    assert.equal(255, back.protocol_number)
    assert.equal(65535, back.dst_port)
    assert.equal(2 ^ 64, back.byte_count)
    assert.equal(("\239\191\189"):rep(128), back.prefix)
    assert.equal("run-1", back.run_id)
  end)

  it("says who saw it where that is more than the source", function()
    local cases = { [{ source = 1 }] = false, [{ source = 1, witnesses = 2 }] = false, [{ source = 3 }] = false,
      [{ source = 2 }] = { "nflog" }, [{ source = 1, witnesses = 4 }] = { "nflog" },
      [{ source = 1, witnesses = 6 }] = { "ebpf", "nflog" }, [{ witnesses = 14 }] = { "ebpf", "nflog", "replay" },
      [{ witnesses = 1 }] = false, [{ witnesses = 16 }] = false, [{ witnesses = 255 }] = false }
    for given, want in pairs(cases) do assert.same(want or nil, fields(event(given)).witnesses) end
  end)

  it("names netfilter's hooks, and leaves those of tc to the direction", function()
    for hook = 0, 255 do
      local name = hook > 2 and core.cf_name_hook(hook) or nil
      assert.equal(name ~= nil and ffi.string(name) or nil, fields(event({ hook = hook })).hook)
    end
  end)

  it("counts replies and time of flows that last or end, and of no others", function()
    local given = { reply_packets = 1, reply_bytes = 2, first_seen_ns = 1, last_seen_ns = 3600000999999ULL }
    for kind = 1, 4 do
      given.kind = kind
      local back, lasts = fields(event(given)), kind == 2 or kind == 3
      assert.same(lasts and { 1, 2, 3600000 } or {},
        { back.reply_packet_count, back.reply_byte_count, back.duration_ms })
    end
    local back = fields(event({ kind = 3, first_seen_ns = 5, last_seen_ns = 4 }))
    assert.same({}, { back.duration_ms, back.reply_packet_count, back.reply_byte_count })
  end)

  it("takes the name of the firewall's rule from the prefix", function()
    local cases = { ["cellflow:deny:no-ssh"] = "no-ssh", ["cellflow:allow:a:b c : "] = "a:b c", ["no-ssh"] = false,
      ["cellflow:deny:"] = false, ["cellflow:deny"] = false, ["cellflow::x"] = false, ["cellflow:"] = false,
      ["Cellflow:deny:x"] = false, ["cellflow:drop:x"] = false, ['cellflow:deny:"\7'] = '"\7',
      ["cellflow:deny:" .. ("x"):rep(113)] = ("x"):rep(113) }
    for prefix, want in pairs(cases) do
      local back = fields(event({ prefix = prefix }))
      assert.equal(want or nil, back.nft_rule_ref, prefix)
      assert.equal(prefix, back.prefix)
    end
    local endless = event()
    ffi.copy(endless.prefix, "cellflow:deny:" .. ("y"):rep(114), 128)
    assert.equal(("y"):rep(114), fields(endless).nft_rule_ref)
  end)

  it("writes labels for four protocols and the number for all", function()
    local labels = { [1] = "icmp", [6] = "tcp", [17] = "udp", [58] = "icmpv6" }
    for protocol = 0, 255 do
      local back = fields(event({ protocol = protocol }))
      assert.equal(labels[protocol], back.protocol)
      assert.equal(protocol, back.protocol_number)
    end
  end)

  it("writes IPv6 addresses as RFC 5952 says", function()
    local ev = event({ family = 6 })
    ffi.copy(ev.src_addr, "\32\1\13\184\0\0\0\0\0\0\0\0\0\0\0\1", 16)
    ffi.copy(ev.dst_addr, "\254\128\0\0\0\0\0\0\0\0\0\0\0\0\0\255", 16)
    local back = fields(ev)
    assert.same({ "2001:db8::1", "fe80::ff", "ipv6" }, { back.src_addr, back.dst_addr, back.family })
  end)

  it("has the cell's own run id before the metadata's", function()
    local back = fields(event({ cell = 1 }))
    assert.same({ "lab", "run-of-lab" }, { back.cell_id, back.run_id })
    assert.is_nil(back.interface)
  end)

  it("writes a known but empty set of TCP flags as empty text", function()
    assert.equal("", fields(event({ flags = C.CF_EVENT_TCP })).tcp_flags)
  end)

  it("returns 0 for every size below its length, and touches nothing past it", function()
    local decision = ffi.new("struct cf_decision", {
      decision = C.CF_ALLOW, reason = intern("r\1r"), rule = intern(("long rule "):rep(90)),
    })
    for _, prefix in ipairs({ "", "a\1b" }) do
      local ev = event({ prefix = prefix })
      local full = record(ev, decision)
      for size = 0, #full do
        ffi.fill(out, #full + 64, 0xee)
        assert.equal(size == #full and #full or 0, tonumber(core.cf_record_json(ev, decision, out, size)))
        assert.equal(("\238"):rep(64 + #full - size), ffi.string(out + size, 64 + #full - size))
      end
      assert.equal(full, ffi.string(out, #full))
    end
  end)

  it("has no cell_id for any cell that the plan does not have", function()
    for _, cell in ipairs({ 2, 3, 4, 4096, 2147483648, 4294967295 }) do
      local back = fields(event({ cell = cell }))
      assert.is_nil(back.cell_id)
      assert.equal("run-1", back.run_id)
    end
  end)

  it("is not written when a text is longer than any line", function()
    local decision = ffi.new("struct cf_decision", { decision = C.CF_ALLOW, reason = intern(("x"):rep(SIZE)) })
    assert.equal(0, tonumber(core.cf_record_json(event(), decision, out, SIZE)))
  end)

  it("needs a plan", function()
    core.cf_record_unbind()
    local decision = ffi.new("struct cf_decision", { decision = C.CF_ALLOW })
    assert.equal(0, tonumber(core.cf_record_json(event(), decision, out, SIZE)))
    assert.equal(0, tonumber(core.cf_decision_id_text(event(), out)))
  end)
end)

describe("decision id", function()
  local function id(ev)
    return ffi.string(out, core.cf_decision_id_text(ev, out))
  end

  before_each(function() bind() end)
  teardown(function() core.cf_record_unbind() end)

  it("is the record's", function()
    local ev = event()
    assert.equal(id(ev), record(ev):match('"decision_id":"([^"]+)"'))
  end)

  it("is the same for the same event of the same run, in every run of the program", function()
    assert.equal("68dcd4fc-6a37-8fc0-ba81-e3b889317c57", id(event()))
    bind()
    assert.equal("68dcd4fc-6a37-8fc0-ba81-e3b889317c57", id(event()))
  end)

  it("differs from event to event of one flow's life", function()
    local known = {}
    for kind, last in pairs({ 2000000001ULL, 3000000000ULL, 4000000000ULL, 2000000001ULL }) do
      local text = id(event({ kind = kind, last_seen_ns = last, seq = 0 }))
      assert.is_nil(known[text])
      known[text] = kind
    end
    assert.is_nil(known[id(event({ kind = 2, last_seen_ns = 5000000000ULL, seq = 0 }))])
  end)

  it("does not depend on what absent fields hold, nor on what is not identity", function()
    local plain = id(event({ flags = 0 }))
    assert.equal(plain, id(event({
      flags = 0, src_port = 1, dst_port = 2, icmp_type = 3, icmp_id = 4, mark = 5, packets = 6,
    })))
  end)

  it("differs when any part of the identity does", function()
    local known = { [id(event())] = "the event itself" }
    local function differs(name, ev)
      local text = id(ev)
      assert.is_nil(known[text], name .. " against " .. tostring(known[text]))
      known[text] = name
    end
    local icmp = C.CF_EVENT_ICMP + C.CF_EVENT_ICMP_ID
    for name, value in pairs({
      first_seen_ns = 1, last_seen_ns = 1, seq = 8, cpu = 1, kind = 2, source = 3, family = 6, protocol = 17,
      src_port = 1, dst_port = 1, cell = 1, flags = icmp,
    }) do
      differs(name, event({ [name] = value }))
    end
    differs("icmp_type", event({ flags = icmp, icmp_type = 1 }))
    differs("icmp_code", event({ flags = icmp, icmp_code = 1 }))
    differs("icmp_id", event({ flags = icmp, icmp_id = 1 }))
    differs("no cell", event({ cell = 2 }))
    for i = 0, 15 do
      for _, field in ipairs({ "src_addr", "dst_addr" }) do
        local ev = event({ family = i < 4 and 4 or 6 })
        ev[field][i] = ev[field][i] + 1
        differs(field .. i, ev)
      end
    end
    bind(function(plan) plan.metadata.run_id = "run-2" end)
    differs("run_id", event())
    bind(function(plan) plan.cells[0].name = "build-43" end)
    differs("cell name", event())
    bind(function(plan)
      plan.cells[0].name = "1build-42"
      plan.metadata.run_id = "run-"
    end)
    differs("the border between run and name", event())
  end)
end)
