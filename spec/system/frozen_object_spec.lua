-- SPDX-License-Identifier: MIT
--
-- A cell that is watched by an operator's object with frozen records, from packet to line: each IPv4 TCP and UDP flow
-- has its record, what is no record is counted, and cells beside it notice nothing.
local cellflow = require("cellflow")
local flow_list = require("flow_list")
local lab = require("spec.support.lab")
local own_object = require("own_object")
local talk = require("talk")

describe("an operator's object with frozen records", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, beside, paths
  before_each(function()
    paths = {}
    here, beside = lab.up(), nil
    here:serve()
  end)
  after_each(function()
    cellflow.stop_all()
    own_object.remove_all()
    here:down()
    if beside then beside:down() end
    for _, path in ipairs(paths) do os.remove(path) end
  end)

  local function temporary()
    paths[#paths + 1] = os.tmpname()
    return paths[#paths]
  end

  local function start(object, ...)
    return cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--bpf-object", own_object.install(object),
      "--require", "ebpf", "--summary-record", ... } }):ready()
  end

  local function send(side, options)
    local path = temporary()
    side:send(options .. " --list " .. path)
    return flow_list.read(path)
  end

  local function finish(run)
    assert.equal(0, run:finish())
    local summary = run:summary()
    local c, w = summary.collector, summary.worker
    assert.is_true(summary.adds_up)
    assert.equal(c.own_taken, c.submitted + c.own_refused)
    assert.equal(w.consumed, w.records)
    assert.equal(w.records, #run:records())
    assert.equal(c.own_refused, summary.lost)
    return summary
  end

  it("has a record of each IPv4 TCP and UDP flow, and of nothing else", function()
    local run = start("frozen")
    local expected = send(here, "--flows 120 --mix tcp4,udp4 --packets 3")
    send(here, "--flows 20 --mix tcp6,udp6")
    here:exec("cell", "ping -q -c 1 " .. lab.peer4)
    local summary = finish(run)
    local records = run:records()
    local found, missing = flow_list.match(records, expected)
    assert.same({ 120, 0 }, { #records, missing })
    for _, record in pairs(found) do
      assert.same({ "one", "ebpf", "egress", "ipv4", "accept", "allow", "ebpf_flow_observed", "eth0" },
        { record.cell_id, record.source, record.direction, record.family, record.verdict, record.decision,
          record.reason_code, record.interface })
      assert.equal(record.protocol == "tcp" and 6 or 17, record.protocol_number)
      assert.equal(1, record.packet_count)
      assert.equal(record.first_seen, record.observed_at)
      for _, absent in ipairs({ "byte_count", "tcp_flags", "icmp_type", "vlan", "mark" }) do
        assert.is_nil(record[absent], absent)
      end
    end
    assert.same({ 120, 0 }, { summary.collector.own_taken, summary.collector.own_refused })
    assert.same({ "ebpf" }, summary.cells[1].sources)
    assert.is_nil(summary.kernel) -- it has no counters, and 0 would be a lie
  end)

  it("is asked for the verdict: 1 is accept, 2 drop, which is denied; any other is none", function()
    local run = start("frozen_verdicts")
    for verdict = 0, 3 do talk.udp(here, 5000 + verdict, 9000 + verdict) end
    local summary = finish(run)
    local want = { [0] = { decision = "allow" }, { verdict = "accept", decision = "allow" },
      { verdict = "drop", decision = "deny" }, { decision = "allow" } }
    for verdict = 0, 3 do
      local record = talk.record_from(run:records(), 5000 + verdict)
      assert.same(want[verdict], { verdict = record.verdict, decision = record.decision })
      assert.equal(verdict == 2 and "ebpf_xdp_drop" or "ebpf_flow_observed", record.reason_code)
    end
    assert.same({ allow = 3, deny = 1 }, summary.decisions)
  end)

  it("that writes other lengths is read on: each is counted, the first one named", function()
    local run = start("frozen_mixed")
    -- By port modulo 6: a good one, one after 36 bytes, after 200, after one that was thrown away, after an event,
    -- after an event of a kind that does not exist.
    for port = 6001, 6006 do talk.udp(here, port, 9000) end
    local summary = finish(run)
    for port = 6001, 6006 do
      assert.equal(port % 6 == 4 and 2 or 1, #talk.records_from(run:records(), port), port)
    end
    assert.same({ 10, 3 }, { summary.collector.own_taken, summary.collector.own_refused })
    local _, lines = run:stderr():gsub("cellflow: warning: [^\n]*", "")
    assert.equal(1, lines)
    assert.matches('cellflow: warning: cell "one": BPF object: a record of 36 bytes, expected 40 (flow record) or 128 '
      .. "(struct cf_event)\n", run:stderr(), 1, true)
  end)

  it("does not disturb the cell beside it, which shares none of its maps", function()
    beside = lab.up()
    beside:serve()
    local policy = temporary()
    local file = assert(io.open(policy, "w"))
    file:write(('cell "own" { netns = %q, bpf_object = %q }\ncell "shared" { netns = %q }\n'):format(here.cell,
      own_object.install("frozen_mixed"), beside.cell))
    file:close()
    local run = cellflow.start({ args = { "-c", policy, "--summary-record" } }):ready()
    local of_own, of_shared = send(here, "--flows 30 --mix udp4"), send(beside, "--flows 40 --mix udp4,udp6")
    local summary = finish(run)
    local by_cell = { own = {}, shared = {} }
    for _, record in ipairs(run:records()) do table.insert(by_cell[record.cell_id], record) end
    local found, missing = flow_list.match(by_cell.shared, of_shared)
    assert.same({ 40, 0 }, { #by_cell.shared, missing })
    for _, record in pairs(found) do assert.equal(record.family == "ipv4" and 92 or 112, record.byte_count) end
    -- Careless as it is, it said something of each of its own.
    local seen = {}
    for _, record in ipairs(by_cell.own) do seen[flow_list.of(record)] = true end
    for flow in pairs(of_own) do assert.is_true(seen[flow], flow) end
    assert.equal(40, summary.cells[2].flows)
    assert.is_nil(summary.cells[1].flows)
  end)
end)
