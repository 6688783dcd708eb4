-- SPDX-License-Identifier: MIT
--
-- Lines 15 to 18 of the contract (docs/testing.md) with the module that cellflow takes the place of: start and stop,
-- what an idle run costs, the phases of a connection, and how many there were. Each line in short, by real runs; other
-- specs go further into each.
local ffi = require("ffi")
local helper = require("spec.helper")
local cellflow = require("cellflow")
local identities = require("identities")
local lab = require("spec.support.lab")
local made_ring = require("made_ring")
local policy_run = require("policy_run")
local privileged = require("privileged")
local recording_core = require("recording_core")
local system = require("system")
local talk = require("talk")
require("core_headers")("error", "ring", "frozen_record", "own_ring", "hash", "sketch", "connections")

local C, core = ffi.C, helper.core
local COUNT = "exercised_egress_connections"

describe("the contract,", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here
  before_each(function() here = lab.up() end)
  after_each(function()
    cellflow.stop_all()
    policy_run.remove_all()
    here:down()
  end)

  local function start(...)
    return cellflow.start({ args = { "--cell", "one", "--netns", here.cell, "--interface", "eth0", "--summary-record",
      ... } }):ready()
  end

  local function finish(run)
    assert.equal(0, run:finish())
    return run:records(), identities.check(run:summary())
  end

  it("line 15: a source that yields nothing says its name", function()
    local run = start("--sources", "noop")
    assert.matches('cell "one": noop\n', run:stderr(), 1, true)
    here:send("--flows 4 --mix udp4,udp6")
    local records, summary = finish(run)
    assert.same({ 0, 0 }, { #records, summary.lost })
    assert.same({ "noop" }, summary.cells[1].sources)
    assert.equal("lower bound", summary[COUNT .. "_are"]) -- nobody looked
    assert.matches("cell      one: noop: ", run:stderr(), 1, true)
  end)

  it("line 15: a ring with nothing in it is drained at once", function()
    local made = made_ring.new()
    local own = ffi.gc(ffi.new("struct cf_own_ring"), core.cf_own_ring_close)
    assert.equal(0, core.cf_own_ring_open(own, made.fd, -1, made_ring.SIZE, ffi.new("struct cf_record_origin"), nil))
    assert.equal(0, core.cf_own_ring_read(own, 256, nil, nil))
    made:close()
  end)

  it("line 15: stop may be said twice, and when nothing was started", function()
    local run = start()
    talk.udp(here, 5015, 9999)
    run:signal("TERM")
    run:signal("TERM")
    assert.equal(0, run:wait())
    local _, summaries = run:stderr():gsub("cellflow: summary: ", "")
    assert.equal(1, summaries)

    run = policy_run.start(here, 'local s = ("a"):rep(3e6)\nfor _ = 1, 1e6 do s:reverse() end')
    run:worker()
    run:signal("TERM")
    assert.equal(0, run:wait())
    assert.equal("", run:stdout())

    local attachment = ffi.new("struct cf_attachment")
    core.cf_attachment_init(attachment)
    local cell = privileged.cell({ netns = "/run/netns/" .. here.cell, interface = "eth0" })
    for _ = 1, 2 do assert.is_true(privileged.detach(attachment, cell)) end
    local object = ffi.new("struct cf_bpf_object")
    core.cf_bpf_object_init(object)
    for _ = 1, 2 do core.cf_bpf_unload(object) end
    local maps = ffi.new("struct cf_bpf_maps")
    core.cf_bpf_maps_init(maps)
    for _ = 1, 2 do core.cf_bpf_maps_close(maps) end
  end)

  local function switches(pid)
    local status = lab.read_file(("/proc/%d/status"):format(pid))
    return tonumber(status:match("\nvoluntary_ctxt_switches:%s*(%d+)"))
  end

  -- A loop that sleeps a millisecond between looks would have a thousand of them. The worker has none to make; the
  -- collector looks at an eighth of the flow table ten times a second, the supervisor at its cells four times.
  it("line 16: an idle run polls nothing", function()
    local run = start()
    local pids = { worker = run:worker(), collector = run:collector(), supervisor = run.pid }
    system.sleep(0.3) -- what begins has ended
    local before = {}
    for name, pid in pairs(pids) do before[name] = switches(pid) end
    system.sleep(1)
    for name, most in pairs({ worker = 2, collector = 30, supervisor = 15 }) do
      local count = switches(pids[name]) - before[name]
      assert.is_true(count <= most, ("%s: %d"):format(name, count))
    end
  end)

  -- How long it takes is measured elsewhere. Here everybody who could have a tick is stopped: what wakes the worker is
  -- the packet.
  it("line 16: the first flow after idleness has its record without anybody's tick", function()
    local run = start()
    local worker, collector = run:worker(), run:collector()
    system.sleep(0.3)
    assert.is_true(cellflow.kill(run.pid, "STOP") and cellflow.kill(collector, "STOP"))
    local before = switches(worker)
    talk.udp(here, 5016, 9999)
    cellflow.wait_for("the record", 10, function() return #talk.records_from(run:records(), 5016) == 1 end)
    assert.is_true(switches(worker) - before <= 5)
    assert.is_true(cellflow.kill(collector, "CONT") and cellflow.kill(run.pid, "CONT"))
    finish(run)
  end)

  it("line 16: no queue grows: what does not fit is counted", function()
    local run = start("--ring-size", "1")
    local worker = run:worker()
    assert.is_true(cellflow.kill(worker, "STOP"))
    here:send("--mix udp4 --flows 9000") -- 8,192 records of 128 bytes are a mebibyte
    assert.is_true(cellflow.kill(worker, "CONT"))
    local records, summary = finish(run)
    assert.is_true(#records <= 8192)
    assert.equal(9000, #records + summary.kernel.ring_full)
    assert.equal(summary.kernel.ring_full, summary.lost)
  end)

  it("line 17: a connection is opened and closed, with packets and bytes, in both families", function()
    here:serve()
    local run = start("--hooks", "both", "--events", "opened,closed")
    talk.udp(here, 5017, 7777, { count = 3, size = 100 })
    talk.udp(here, 5018, 7777, { count = 4, size = 50, family = 6 })
    talk.tcp(here, 5019, 9000)
    talk.tcp(here, 5020, 9001, { family = 6 })
    local records = finish(run)
    local KEY = { "src_addr", "src_port", "dst_addr", "dst_port", "protocol_number", "family" }
    for port, want in pairs({ [5017] = { lab.cell4, lab.peer4, 7777, 17, 3, 3 * 128 },
      [5018] = { lab.cell6, lab.peer6, 7777, 17, 4, 4 * 98 }, [5019] = { lab.cell4, lab.peer4, 9000, 6 },
      [5020] = { lab.cell6, lab.peer6, 9001, 6 } }) do
      local phases = talk.records_from(records, port)
      assert.equal(2, #phases)
      local opened, closed = phases[1], phases[2]
      assert.same({ "opened", "closed" }, { opened.kind, closed.kind })
      for _, name in ipairs(KEY) do assert.equal(opened[name], closed[name]) end
      assert.same({ want[1], want[2], want[3], want[4] },
        { closed.src_addr, closed.dst_addr, closed.dst_port, closed.protocol_number })
      assert.equal(1, opened.packet_count)
      if want[5] then
        assert.same({ want[5], want[6], "shutdown" }, { closed.packet_count, closed.byte_count, closed.close_reason })
      else -- SYN, ACK, payload, FIN at least, and as many answers but one
        assert.is_true(closed.packet_count >= 4 and closed.reply_packet_count >= 2)
        assert.equal("fin", closed.close_reason)
        assert.equal(opened.family == "ipv4" and 60 or 80, opened.byte_count)
      end
    end
  end)

  it("line 17: what netfilter drops was no connection to close, and what two sources saw is closed once", function()
    here:nft([[
      table inet t {
        chain out {
          type filter hook output priority 0; policy accept;
          udp dport 9100 log group 100 queue-threshold 1 prefix "cellflow:deny:no" drop
          udp dport 9101 log group 100 queue-threshold 1 prefix "cellflow:allow:yes"
        }
      }]])
    for sources, who in pairs({ ["nflog"] = "nflog", ["ebpf,nflog"] = "ebpf" }) do
      local run = start("--sources", sources, "--events", "opened,closed,logged")
      talk.udp(here, 5021, 9100, { count = 2 })
      talk.udp(here, 5022, 9101, { count = 2 })
      local records = finish(run)
      assert.equal("logged", talk.record_from(records, 5021).kind)
      local phases = talk.records_from(records, 5022)
      assert.equal(2, #phases)
      assert.same({ "opened", "closed", who, 2 },
        { phases[1].kind, phases[2].kind, phases[2].source, phases[2].packet_count })
    end
  end)

  it("line 18: connections: a key once, a close adds none, N at once are N, a tuple used anew is another", function()
    here:serve()
    local run = start("--events", "opened,closed")
    local total = 0
    local function count(more)
      total = total + more
      cellflow.wait_for(total .. " connections", 10, function()
        run:signal("USR1")
        system.sleep(0.05)
        return run:stderr():match(".*  egress    (%d+) connections? %(exact%)") == tostring(total)
      end)
    end
    talk.udp(here, 5030, 7777, { count = 3 })
    talk.udp(here, 5030, 7777, { count = 3 }) -- the same key
    count(1)
    talk.tcp(here, 5040, 9000, { count = 7 }) -- at once, to one destination
    count(7)
    talk.tcp_reset(here, 5050, 9000)
    talk.tcp_reset(here, 5050, 9000) -- the tuple of one that is over
    count(2)
    local records, summary = finish(run)
    local opened, closed = 0, 0
    for _, record in ipairs(records) do
      local is_ours = record.src_port and record.src_port >= 5030 and record.src_port <= 5050
      opened = opened + (is_ours and record.kind == "opened" and 1 or 0)
      closed = closed + (is_ours and record.kind == "closed" and 1 or 0)
    end
    assert.same({ 10, 10 }, { opened, closed })
    assert.same({ 10, "exact" }, { summary[COUNT], summary[COUNT .. "_are"] })
    assert.same({ 10, "exact" }, { summary.cells[1].connections, summary.cells[1].connections_are })
  end)

  it("line 18: what is opened again is the same, whatever its flags; 32 bits saturate; memory is bounded", function()
    local set = ffi.gc(core.cf_connections_new(100), core.cf_connections_free)
    local out = ffi.new("struct cf_connection_count")
    local function add(port, fields)
      fields.src_port, fields.dst_port, fields.flags = port, 443, bit.bor(C.CF_EVENT_PORTS, fields.flags or 0)
      core.cf_connections_add(set, recording_core.fill(ffi.new("struct cf_event"), fields))
      core.cf_connections_of_run(set, out)
      return tonumber(out.count)
    end
    assert.equal(1, add(1, { kind = C.CF_KIND_OPENED, first_seen_ns = 1000 }))
    for _, flag in ipairs({ C.CF_EVENT_REOPENED, C.CF_EVENT_MIDSTREAM }) do
      assert.equal(1, add(1, { kind = C.CF_KIND_OPENED, flags = flag, first_seen_ns = 2000 }))
    end
    assert.equal(1, add(1, { kind = C.CF_KIND_CLOSED, first_seen_ns = 3000 }))
    assert.equal(1, add(2, { kind = C.CF_KIND_CLOSED, first_seen_ns = 3000 }))
    assert.equal(1, add(3, { kind = C.CF_KIND_OPENED, verdict = C.CF_VERDICT_DROP, first_seen_ns = 1 }))
    assert.equal(2, add(3, { kind = C.CF_KIND_OPENED, verdict = C.CF_VERDICT_DROP, first_seen_ns = 1,
      flags = C.CF_EVENT_CONFLICT })) -- a rule drops what had left
    for _ = 1, 3 do -- an object whose records have no kind tells a flow more than once: no bytes, and the same time
      assert.equal(3, add(4, { kind = C.CF_KIND_OPENED, bytes = 0, first_seen_ns = 1000 }))
    end
    for port = 5, 401 do add(port, { kind = C.CF_KIND_OPENED, first_seen_ns = 1000 }) end
    assert.same({ 1 }, { out.is_estimate })
    assert.is_true(math.abs(tonumber(out.count) - 400) < 5 * 0.0082 * 400)
    for number, field in pairs({ [0] = 0, [7] = 7, [2 ^ 32 - 1] = 2 ^ 32 - 1, [2 ^ 32] = 2 ^ 32 - 1,
      [2 ^ 60] = 2 ^ 32 - 1 }) do
      assert.equal(field, tonumber(core.cf_connections_field(number)))
    end
  end)
end)
