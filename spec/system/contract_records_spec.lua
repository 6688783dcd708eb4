-- SPDX-License-Identifier: MIT
--
-- Lines 1 to 7 of the contract (docs/testing.md) with the module that cellflow takes the place of: what an event, a
-- record and a frozen ring-buffer record say. Each line in short, by a real run where it speaks of behaviour, by bytes
-- where it speaks of those; other specs go further into each.
local ffi = require("ffi")
local helper = require("spec.helper")
local bpf_run = require("bpf_run")
local cellflow = require("cellflow")
local flow_table = require("flow_table")
local frozen = require("frozen_bytes")
local json = require("dkjson")
local identities = require("identities")
local lab = require("spec.support.lab")
local own_object = require("own_object")
local packet = require("packet")
local policy_run = require("policy_run")
local talk = require("talk")
require("core_headers")("error", "frozen_record", "own_record")

local C = ffi.C
local RULES = [[
table inet t {
  chain out {
    type filter hook output priority 0; policy accept;
    udp dport 9100 log group 100 queue-threshold 1 prefix "cellflow:deny:no-9100" drop
    udp dport 9101 ct state new log group 100 queue-threshold 1 prefix "cellflow:allow:web-out" accept
  }
}]]

describe("the contract,", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    cellflow.stop_all()
    own_object.remove_all()
    policy_run.remove_all()
    here:down()
  end)

  local function start(...)
    return cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--interface", "eth0", "--summary-record",
      ... } }):ready()
  end

  local function finish(run)
    assert.equal(0, run:finish())
    return run:records(), run:summary()
  end

  -- The line of a record as it was written.
  local function line_of(run, record)
    return run:stdout():match('[^\n]*"decision_id":"' .. record.decision_id:gsub("%-", "%%-") .. '"[^\n]*')
  end

  local function of_protocol(records, number)
    for _, record in ipairs(records) do
      if record.protocol_number == number and record.direction == "egress" then return record end
    end
  end

  it("line 1: an event says whither, what was decided and why; absent is absent", function()
    local run = start()
    talk.udp(here, 5001, 9999, { size = 100 })
    here:exec("cell", "ping -q -c 1 " .. lab.peer4)
    local records = finish(run)
    local udp = talk.record_from(records, 5001)
    assert.same({ "egress", "allow", "ebpf_flow_observed", lab.peer4, 9999, "udp", 128 },
      { udp.direction, udp.decision, udp.reason_code, udp.dst_addr, udp.dst_port, udp.protocol, udp.byte_count })
    local ping = of_protocol(records, 1)
    assert.equal(84, ping.byte_count)
    local text = line_of(run, ping)
    for _, absent in ipairs({ "src_port", "dst_port", "tcp_flags", "run_id", "rule", "mark", "vlan" }) do
      assert.is_nil(text:find(('"%s"'):format(absent), 1, true), absent)
    end
    for _, lie in ipairs({ "null", '""', "[]" }) do assert.is_nil(text:find(lie, 1, true), lie) end
  end)

  it("line 2: the record has every member of network_flow_decision, and both ends and the real count", function()
    here:nft(RULES)
    local run = policy_run.start(here, [[
      metadata { run_id = "r2", policy_digest = "sha256:00ff", keyset_id = "ks-7", issuer_kid = "kid-9",
        correlation_id = "c-1" }]], { "--sources", "ebpf,nflog", "--events", "opened,closed" }):ready()
    talk.udp(here, 5002, 9101, { count = 5, size = 100 })
    local records, summary = finish(run)
    local both = talk.records_from(records, 5002)
    assert.same({ "opened", "closed" }, { both[1].kind, both[2].kind })
    assert.equal(2, #both)
    assert.not_equal(both[1].decision_id, both[2].decision_id)
    for i, record in ipairs(both) do
      assert.matches("^%x+%-%x+%-8%x+%-%x+%-%x+$", record.decision_id)
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d+Z$", record.observed_at)
      local packets = i == 1 and 1 or 5
      local want = { schema_version = "1.0.0", type = "network_flow_decision", cell_id = "one", run_id = "r2",
        direction = "egress", decision = "allow", reason_code = "ebpf_flow_observed", src_addr = lab.cell4,
        src_port = 5002, dst_addr = lab.peer4, dst_port = 9101, protocol = "udp", packet_count = packets,
        byte_count = packets * 128, policy_digest = "sha256:00ff", keyset_id = "ks-7", issuer_kid = "kid-9",
        correlation_id = "c-1" }
      for name, value in pairs(want) do assert.equal(value, record[name], name) end
    end
    assert.equal("web-out", both[1].nft_rule_ref)
    identities.check(summary)
  end)

  it("line 2: what is not given is left out", function()
    local run = start()
    talk.udp(here, 5003, 9999)
    local records = finish(run)
    local text = line_of(run, talk.record_from(records, 5003))
    for _, absent in ipairs({ "run_id", "nft_rule_ref", "policy_digest", "keyset_id", "issuer_kid",
      "correlation_id" }) do
      assert.is_nil(text:find(('"%s"'):format(absent), 1, true), absent)
    end
  end)

  it("line 3: egress or ingress, allow or deny, four protocols with a label and no label for any other", function()
    local run = policy_run.start(here, 'deny "tcp" { protocol = "tcp" }', { "--hooks", "both" }):ready()
    here:serve()
    talk.tcp(here, 5001, 9000)
    talk.udp(here, 5002, 9000)
    talk.udp(here, 5003, 7777, { side = "peer" })
    here:exec("cell", "ping -q -c 1 " .. lab.peer4)
    here:exec("cell", "ping -q -c 1 " .. lab.peer6)
    for _, protocol in ipairs({ 47, 132, 253 }) do talk.raw(here, protocol, { size = 40 }) end
    local records = finish(run)
    local labels = { [1] = "icmp", [6] = "tcp", [17] = "udp", [58] = "icmpv6" }
    for _, number in ipairs({ 1, 6, 17, 47, 58, 132, 253 }) do
      local record = assert(of_protocol(records, number), number)
      assert.equal(labels[number], record.protocol)
    end
    for _, record in ipairs(records) do
      assert.is_true(record.direction == "egress" or record.direction == "ingress")
      assert.equal(record.protocol == "tcp" and "deny" or "allow", record.decision)
    end
    assert.equal("egress", talk.record_from(records, 5002).direction)
    assert.equal("ingress", talk.record_from(records, 5003).direction)
  end)

  -- One flow that eBPF saw, one that a rule dropped and one that it let pass, and a drop of an operator's object.
  local function reasons(args)
    here:nft(RULES)
    local run = start("--sources", "ebpf", unpack(args))
    talk.udp(here, 5001, 9999)
    local allowed = talk.record_from(finish(run), 5001)
    run = start("--sources", "nflog", unpack(args))
    talk.udp(here, 5001, 9100)
    talk.udp(here, 5002, 9101)
    local logged = finish(run)
    run = start("--bpf-object", own_object.install("frozen_verdicts"), unpack(args))
    talk.udp(here, 5001, 9102)
    local dropped = talk.record_from(finish(run), 5001)
    local list = {}
    for i, record in ipairs({ allowed, talk.record_from(logged, 5001), talk.record_from(logged, 5002), dropped }) do
      list[i] = record.decision .. " " .. record.reason_code
      assert.is_nil(record.reason_code:match("^nft_"))
    end
    return list
  end

  it("line 4: a drop is ebpf_xdp_drop or nflog_match, an allowed flow ebpf_flow_observed", function()
    assert.same({ "allow ebpf_flow_observed", "deny nflog_match", "allow nflog_match", "deny ebpf_xdp_drop" },
      reasons({}))
  end)

  it("line 4: the first module's mapping, by source alone, is an example policy", function()
    assert.same({ "allow ebpf_xdp_drop", "deny nflog_match", "allow nflog_match", "deny ebpf_xdp_drop" },
      reasons({ "-c", "lua/examples/original_mapping.lua" }))
  end)

  it("line 5: the verdict byte: 0 unknown, 1 accept, 2 drop; 2 is deny, everything else allow", function()
    local run = start("--bpf-object", own_object.install("frozen_verdicts"))
    for verdict = 0, 3 do talk.udp(here, 5000 + verdict, 9000 + verdict) end
    local records = finish(run)
    for verdict, want in pairs({ [0] = { "allow" }, { "allow", "accept" }, { "deny", "drop" }, { "allow" } }) do
      local record = talk.record_from(records, 5000 + verdict)
      assert.same(want, { record.decision, record.verdict })
    end
  end)

  local function decode(bytes)
    local origin = ffi.new("struct cf_record_origin", { now_ns = 9e9, boot_offset_ns = 1e9, slot = 1,
      direction = C.CF_DIRECTION_EGRESS, hook = C.CF_HOOK_TC_EGRESS })
    local event, err = ffi.new("struct cf_event"), ffi.new("struct cf_error")
    if helper.core.cf_own_record_decode(bytes, #bytes, origin, event, err) == 0 then return event end
    return nil, ffi.string(err.text)
  end

  it("line 5: the 40 bytes are read field by field, whatever the padding holds", function()
    for _, padding in ipairs({ 0, 0xa5, 0xff }) do
      local event = decode(frozen.record({ src_ip = 0x0a4d0002, dst_ip = 0xc6336407, src_port = 40000, dst_port = 443,
        proto = 6, pkt_count = 2 ^ 40, first_seen_ns = 5e9, verdict = 2, padding = padding }))
      assert.same({ "\10\77\0\2", "\198\51\100\7", 40000, 443, 6, 2 ^ 40, 6e9, C.CF_VERDICT_DROP },
        { ffi.string(event.src_addr, 4), ffi.string(event.dst_addr, 4), event.src_port, event.dst_port, event.protocol,
          tonumber(event.packets), tonumber(event.first_seen_ns), event.verdict })
    end
  end)

  it("line 6: a record of another length is refused with both lengths, counted, and the next one is read", function()
    for _, len in ipairs({ 0, 39, 41, 48, 200 }) do
      local event, why = decode(("x"):rep(len))
      assert.is_nil(event)
      assert.matches(("a record of %d bytes, expected 40 "):format(len), why, 1, true)
    end
    local run = start("--bpf-object", own_object.install("frozen_mixed"))
    talk.udp(here, 6001, 9999) -- 36 bytes and then a record
    talk.udp(here, 6002, 9999) -- 200
    local records, summary = finish(run)
    assert.is_not_nil(talk.record_from(records, 6001))
    assert.is_not_nil(talk.record_from(records, 6002))
    assert.same({ 2, 2 }, { summary.collector.own_refused, summary.lost })
    assert.matches("a record of 36 bytes, expected 40 (flow record)", run:stderr(), 1, true)
  end)

  it("line 7: the program only looks: every packet goes on to whoever is next", function()
    local cell = bpf_run.load()
    local n = 0
    for _, protocol in ipairs({ packet.TCP, packet.UDP, packet.ICMP, packet.SCTP }) do
      local body = ({ [packet.TCP] = packet.tcp({}), [packet.UDP] = packet.udp({}),
        [packet.ICMP] = packet.icmp({ type = 8 }), [packet.SCTP] = packet.sctp({}) })[protocol]
      -- bpf_run expects TC_ACT_UNSPEC of each of them.
      assert(cell:egress(packet.frame4(protocol, body)) and cell:ingress(packet.frame6(protocol, body)))
      n = n + 2
    end
    assert(cell:egress(packet.eth(packet.ARP, ("\0"):rep(28))))
    assert.equal(n, #cell:events())
    assert.equal(1, cell:stats().not_ip)
    cell:close()
  end)

  it("line 7: its state is in a map named FLOWS, and all that is sent arrives", function()
    local sink = here:serve("--ports 1")
    local run = start("--hooks", "both")
    local sent = here:send("--flows 20 --ports 1 --packets 3")
    assert.matches(" 0%% packet loss", here:exec("peer", "ping -q -c 3 -i 0.05 " .. lab.cell4))
    local names = {}
    for _, id in ipairs(flow_table.map_ids(run.pid)) do
      names[lab.must("bpftool map show id " .. id):match(" name (%S+)")] = true
    end
    assert.is_true(names.FLOWS and names.FLOW_EVENTS)
    local records = finish(run)
    assert.is_true(#records >= 21)
    local got = assert(json.decode(here:stop(sink):match("{.*}")))
    assert.equal(sent.udp4.packets + sent.udp6.packets, got.udp.packets)
    assert.equal(sent.tcp4.flows + sent.tcp6.flows, got.tcp.connections)
    assert.equal(sent.tcp4.bytes + sent.tcp6.bytes, got.tcp.bytes)
  end)
end)
