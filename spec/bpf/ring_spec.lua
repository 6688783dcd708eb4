-- SPDX-License-Identifier: GPL-2.0-only
-- The ring: what a record is, that a full ring loses events by count only, and that waking is rationed.
local ffi = require("ffi")
local bpf = require("bpf_libbpf")
local run = require("bpf_run")
local packet = require("packet")

local HOUR = 3600 * 1000000000

describe("the tc program's ring", function()
  -- One new flow for each n.
  local function flow(n)
    return packet.frame4(packet.UDP, packet.udp({ src = n % 65536, dst = math.floor(n / 65536) + 1 }))
  end

  it("carries records of one length, numbered on each CPU from 1", function()
    local cell = run.load()
    for n = 1, 300 do cell:egress(flow(n)) end
    local events, lengths = cell:events()
    local latest = {}
    assert.equal(300, #events)
    for i, event in ipairs(events) do
      assert.equal(ffi.C.CF_EVENT_RING_LEN, lengths[i])
      assert.equal((latest[event.cpu] or 0) + 1, tonumber(event.seq))
      latest[event.cpu] = tonumber(event.seq)
      assert.equal("", ffi.string(event.prefix))
    end
    assert.equal(0, #cell:events())
    cell:close()
  end)

  it("leaves nothing of an earlier record in a later one", function()
    local cell = run.load({ ring_bytes = 4096 })
    for n = 1, 200 do
      local tcp = packet.ipv6({ protocol = packet.TCP, payload = packet.tcp({ src = n, flags = 255 }) })
      cell:egress(packet.eth(packet.VLAN, packet.tag(4095, packet.IPV6, tcp)), { mark = 0xffffffff })
      local icmp = packet.ipv4({ protocol = packet.ICMP, payload = packet.icmp({ type = 8, id = n }) })
      cell:egress(packet.eth(packet.VLAN, packet.tag(4095, packet.IPV4, icmp)), { mark = 0xffffffff })
      assert.equal(2, #cell:events())
      cell:egress(packet.frame4(99, "", { src = "10.0.0." .. n }))
      local event = cell:events()[1]
      for _, name in ipairs({ "mark", "src_port", "dst_port", "icmp_id", "vlan", "flags", "tcp_flags", "icmp_type",
        "icmp_code", "close_reason", "cell" }) do
        assert.equal(0, event[name], name)
      end
      assert.equal(("\0"):rep(12), ffi.string(event.src_addr + 4, 12))
      assert.equal(("\0"):rep(12), ffi.string(event.dst_addr + 4, 12))
      assert.equal(("\0"):rep(4), ffi.string(event.pad0, 4))
    end
    cell:close()
  end)

  it("counts what does not fit, keeps what did, and goes on when there is room", function()
    local cell = run.load({ ring_bytes = 0, flows = 0 })
    assert.equal(16 * 1024 * 1024, cell.ring_bytes)
    local fit = math.floor((cell.ring_bytes - 1) / (ffi.C.CF_EVENT_RING_LEN + 8))
    for n = 1, fit + 100 do cell:egress(flow(n)) end
    local stats = cell.latest
    assert.equal(fit, stats.event_submitted)
    assert.equal(100, stats.ring_full)
    assert.equal(fit + 100, stats.event_attempted)
    assert.equal(fit, #cell:events())
    assert.equal(fit + 100, #cell:flows()) -- the table has what the ring lost

    cell:egress(flow(fit + 101))
    local event = cell:events()[1]
    cell:stats()
    assert.equal(cell.per_cpu[event.cpu].n[ffi.C.CF_STAT_EVENT_ATTEMPTED], event.seq) -- so the gap says how many
    cell:close()
  end)

  it("wakes once within an interval, however many events and cells", function()
    local cell = run.load({ wake_interval_ns = HOUR })
    local other = run.load({ wake_interval_ns = HOUR, cell = 1, share = cell })
    for n = 1, 200 do
      cell:egress(flow(n))
      other:egress(flow(n))
    end
    assert.equal(200, cell.latest.event_submitted)
    assert.equal(1, cell.latest.wakeups)
    assert.equal(0, other.latest.wakeups)
    other:close()
    cell:close()
  end)

  it("goes by the time of the event's submission, not by that of its packet", function()
    local cell = run.load({ wake_interval_ns = 1000000000, object = "test/late" })
    bpf.test_run(cell.program.egress, flow(1)) -- wakes, and says it was ten intervals ago
    bpf.test_run(cell.program.egress, flow(2))
    bpf.test_run(cell.program.egress, flow(3))
    assert.equal(2, cell:stats().wakeups)
    assert.equal(3, cell:stats().event_submitted)
    cell:close()
  end)

  it("wakes for every event when told so", function()
    local cell = run.load({ wake_interval_ns = 0 })
    for n = 1, 200 do cell:egress(flow(n)) end
    assert.equal(200, cell.latest.wakeups)
    cell:close()
  end)

  it("rations wake-ups by default", function()
    local cell = run.load({ flows = 65536, ring_bytes = 4 * 1024 * 1024 })
    for n = 1, 30000 do cell:egress(flow(n)) end
    assert.equal(30000, cell.latest.event_submitted)
    assert.is_true(cell.latest.wakeups >= 1)
    assert.is_true(cell.latest.wakeups < 30000 / 4)
    cell:close()
  end)
end)
