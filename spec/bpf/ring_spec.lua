-- SPDX-License-Identifier: GPL-2.0-only
-- The ring: that a slot has one event, that a full ring loses events by count only, and that waking is rationed.
local ffi = require("ffi")
local run = require("bpf_run")
local packet = require("packet")

local HOUR = 3600 * 1000000000

describe("the tc program's ring", function()
  -- One new flow for each n.
  local function flow(n)
    return packet.frame4(packet.UDP, packet.udp({ src = n % 65536, dst = math.floor(n / 65536) + 1 }))
  end

  it("carries events, numbered on each CPU from 1", function()
    local cell = run.load()
    for n = 1, 300 do cell:egress(flow(n)) end
    local events = cell:events()
    local latest = {}
    assert.equal(300, #events)
    for _, event in ipairs(events) do
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
    assert.equal(16 * 1024 * 1024, cell.slots * ffi.C.CF_EVENT_RING_LEN)
    local fit = cell.slot_limit
    assert.is_true(fit < cell.slots and fit > cell.slots * 0.99)
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

  it("draws a number for each event, and none for one that is not asked for", function()
    for _, case in ipairs({ { events = 2, drawn = 40 }, { events = 10, drawn = 40 + 25 }, { events = 0, drawn = 0 } }) do
      local cell = run.load({ flows = 15, events = case.events })
      for n = 1, 40 do cell:egress(flow(n)) end
      cell:egress(flow(40)) -- known
      assert.same({ 40, 25 }, { cell.latest.flow_new, cell.latest.flow_evicted })
      assert.equal(case.drawn, cell:drawn())
      assert.equal(case.drawn, #cell:events())
      cell:close()
    end
  end)

  it("leaves a number that it drew for a packet that comes to nothing", function()
    local cell = run.load({ flows = 15 })
    cell:egress(flow(1))
    cell:tags()[0].lock = 1
    cell:egress(flow(2))
    cell:tags()[0].lock = 0
    cell:egress(flow(3))
    assert.equal(1, cell.latest.flow_full)
    assert.same({ 2, 2 }, { cell.latest.event_attempted, cell.latest.event_submitted })
    assert.equal(3, cell:drawn())
    local events = cell:events()
    assert.same({ 1, 3 }, { events[1].src_port, events[2].src_port })
    assert.same({ 1, 2 }, { tonumber(events[1].seq), tonumber(events[2].seq) - (events[2].cpu == events[1].cpu and 0 or -1) })
    cell:close()
  end)

  it("writes over nothing while its reader stands still, and takes no nonsense for one that went on", function()
    local cell = run.load({ ring_bytes = 8192 })
    for n = 1, 5 do cell:egress(flow(n)) end
    assert.equal(5, #cell:events())
    for n = 6, 105 do cell:egress(flow(n)) end
    assert.equal(cell.slot_limit, cell.latest.event_submitted - 5)
    local events = cell:events()
    for i = 1, cell.slot_limit do assert.equal(5 + i, events[i].src_port) end
    for _, nonsense in ipairs({ 2 ^ 40, 4 }) do
      ffi.cast("uint64_t *", cell.ring.consumer_page)[0] = nonsense
      local before = cell.latest.ring_full
      cell:egress(flow(1000 + nonsense % 1000))
      assert.equal(before + 1, cell.latest.ring_full)
    end
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
