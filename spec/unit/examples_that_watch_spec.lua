-- SPDX-License-Identifier: MIT
-- The example policies that keep state, or write formats of their own: what each does with events made for it.
local ffi = require("ffi")
local json = require("dkjson")
local core = require("output_core")
local recording = require("recording_core")

local SECOND = 1000000000ULL

local function read(name)
  local file = assert(io.open(("lua/examples/%s.lua"):format(name)))
  local text = file:read("*a")
  file:close()
  return text
end

-- A run of an example: :at(seconds, fields) decides one event, :timer(seconds) lets timers fire.
local function start(name, args)
  local host, out, batch = recording.host(read(name), args)
  local run = { out = out, seq = 0 }
  function run.at(_, seconds, fields)
    run.seq = run.seq + 1
    fields = fields or {}
    fields.seq, fields.last_seen_ns = run.seq, 1000 * SECOND + ffi.cast("uint64_t", seconds * 1e9)
    recording.fill(batch.events[0], fields)
    host.batch(1)
    assert.same({}, out.log)
    return out.endings[#out.endings]
  end
  function run.timer(_, seconds) host.moment("timer", 1000 + seconds, 0, 0) end
  function run.extra(_, i) return json.decode(out.extra[i or #out.extra]) end
  local plan = ffi.new("struct cf_plan")
  plan.cell_count = 1
  plan.cells[0].name, plan.cells[0].interface = "web", "eth0"
  host.bind(plan)
  assert.equal(0, core.cf_record_bind(plan, nil)) -- ids are made of its names
  host.moment("start", 1000, 0, 0)
  function run.stop() host.moment("stop", 1100, 0, 0) end
  run.lost = function(_, count, total) host.moment("lost", 1000, count, total) end
  return run
end

describe("example", function()
  after_each(function() core.cf_record_unbind() end)

  it("top_talkers lists the five largest, and writes no record", function()
    local run = start("top_talkers")
    for i = 1, 7 do
      for _ = 1, i do assert.equal("suppressed", run:at(i, { dst = "192.0.2." .. i }).how) end
    end
    run:at(8, { dst = "192.0.2.99", direction = 2 })
    run:timer(60)
    local top = run:extra().top
    assert.equal(5, #top)
    assert.same({ { key = "192.0.2.7", count = 7 }, { key = "192.0.2.3", count = 3 } }, { top[1], top[5] })
  end)

  it("first_seen_destinations writes each destination and port once", function()
    local run = start("first_seen_destinations")
    local how = {}
    for i, fields in ipairs({ {}, {}, { dst_port = 22 }, { dst = "192.0.2.8" }, { dst_port = 22 } }) do
      how[i] = run:at(i, fields).how
    end
    assert.same({ "line", "suppressed", "line", "line", "suppressed" }, how)
    assert.is_true(json.decode(run.out.endings[1].line).first_contact)
    assert.same({ ["new destinations"] = 3, ["flows to known destinations"] = 2 }, run.out.counters)
    assert.equal("line", run:at(90000).how)
  end)

  it("beacon_detector hears an even beat and nothing else", function()
    local run = start("beacon_detector")
    for beat = 0, 7 do run:at(beat * 60 + beat % 2, { dst = "192.0.2.1" }) end
    for _, at in ipairs({ 0, 20, 90, 95, 200, 320, 333, 500, 501 }) do run:at(at, { dst = "192.0.2.2" }) end
    for i = 1, 20 do run:at(i, { dst = "192.0.2.3" }) end
    assert.equal(1, #run.out.extra)
    local beacon = run:extra()
    assert.equal("192.0.2.1", beacon.to)
    assert.is_true(math.abs(beacon.seconds - 60) < 2)
  end)

  it("port_scan_detector denies from the port after the twentieth on, and says so once", function()
    local run = start("port_scan_detector")
    for port = 1, 20 do assert.equal("allow", run:at(1, { dst_port = port }).decision) end
    for _ = 1, 30 do assert.equal("allow", run:at(1, { dst_port = 20 }).decision) end
    for port = 21, 25 do assert.equal("port_scan", run:at(2, { dst_port = port }).reason) end
    assert.equal("allow", run:at(2, { dst_port = 21, dst = "192.0.2.8" }).decision)
    assert.equal(1, #run.out.extra)
    assert.same({ "10.0.0.1", "192.0.2.7", 21 }, { run:extra().from, run:extra().to, run:extra().ports })
    assert.equal("allow", run:at(120, { dst_port = 80 }).decision)
  end)

  it("per_destination_dedup leaves out repetitions, not what was dropped or ends", function()
    local run = start("per_destination_dedup")
    assert.equal("record", run:at(1).how)
    assert.equal("deduplicated", run:at(2).how)
    assert.equal("record", run:at(3, { protocol = 17 }).how)
    assert.equal("record", run:at(3, { verdict = 2 }).how)
    assert.equal("record", run:at(3, { kind = 3 }).how)
    assert.equal(300, run.out.keys[1].seconds)
  end)

  it("csv writes a line of names, then as many fields in each line", function()
    local run = start("csv")
    assert.equal("observed_at,cell_id,decision,reason_code,protocol,src_addr,src_port,dst_addr,dst_port,packet_count,"
      .. "byte_count", run.out.extra[1])
    assert.matches("^[^,]+Z,web,allow,ebpf_flow_observed,tcp,10.0.0.1,40000,192.0.2.7,443,2,120$", run:at(1).line)
    assert.matches(",icmp,10.0.0.1,,192.0.2.7,,2,120$", run:at(1, { protocol = 1, flags = 2 }).line)
  end)

  it("csv quotes what would break a line", function()
    local host, out, batch = recording.host((read("csv"):gsub('"cell_id", "decision"', '"prefix", "decision"')))
    host.moment("start", 1, 0, 0)
    recording.fill(batch.events[0], { prefix = 'a "b", c', kind = 4, source = 2 })
    host.batch(1)
    assert.matches('Z,"a ""b"", c",allow,', out.endings[1].line)
  end)

  it("cloudevents writes what the specification requires", function()
    local event = json.decode(start("cloudevents"):at(1, { verdict = 2 }).line)
    for _, name in ipairs({ "id", "source", "specversion", "type" }) do assert.is_string(event[name]) end
    assert.equal("1.0", event.specversion)
    assert.equal("org.cellflow.network_flow_decision.deny", event.type)
    assert.equal("/cellflow/web", event.source)
    assert.equal(event.id, event.data.decision_id)
    assert.equal(443, event.data.dst_port)
  end)

  it("syslog writes RFC 5424, a denied flow as a warning", function()
    local run = start("syslog")
    local header = "1 %d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%dZ web cellflow %- opened %[flow@32473 "
    assert.matches("^<134>" .. header .. '.*dst_port="443"%] flow to 192.0.2.7: allow$', run:at(1).line)
    assert.matches("^<132>" .. header .. 'decision="deny"', run:at(1, { verdict = 2 }).line)
  end)

  it("declared_versus_exercised denies what is not declared, and tells both sides at the end", function()
    local run = start("declared_versus_exercised")
    assert.same({ "allow", "https" }, { run:at(1).decision, run:at(2).rule })
    assert.equal("deny", run:at(3, { dst_port = 22 }).decision)
    assert.equal("not_declared", run:at(4, { dst_port = 22 }).reason)
    run:stop()
    local found = run:extra()
    assert.same({ "dns", "generator" }, found.unused)
    assert.same({ { key = "tcp 192.0.2.7 22", count = 2 } }, found.undeclared)
    assert.equal(2, run.out.counters["exercised[https]"])
  end)

  it("rate_alarm says it once, and again after a calm time; losses always", function()
    local run = start("rate_alarm", { limit = "10" })
    for i = 1, 15 do run:at(i / 100) end
    assert.equal(1, #run.out.extra)
    assert.same({ "web", 11 }, { run:extra().cell, run:extra().flows })
    run:at(30)
    for i = 1, 15 do run:at(31 + i / 100) end
    assert.equal(2, #run.out.extra)
    run:lost(3, 7)
    assert.same({ 3, 7 }, { run:extra().count, run:extra().total })
  end)
end)
