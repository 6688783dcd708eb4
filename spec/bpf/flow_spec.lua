-- SPDX-License-Identifier: GPL-2.0-only
-- The flow table: which packets are one flow, what its entry holds, and that only its first packet makes an event.
local ffi = require("ffi")
local run = require("bpf_run")
local bpf = require("bpf_libbpf")
local packet = require("packet")

ffi.cdef([[
int fork(void);
int waitpid(int pid, int *status, int options);
void _exit(int status);
int sched_yield(void);
int ffs(int bits);
]])

-- Runs the frames in step with another process: each says in arrived[me] how far it is and waits for the other, so
-- that both runs of a frame begin within less time than the program takes. Gives up when the other does not come.
local function send_in_step(program, frames, arrived, me)
  for i, frame in ipairs(frames) do
    arrived[me] = i
    local turns = 0
    while arrived[1 - me] < i do
      turns = turns + ffi.C.ffs(1) -- any C call: without one the compiled loop would not read the memory again
      if turns % 5000 == 0 then ffi.C.sched_yield() end
      if turns > 1e9 then return false end
    end
    if bpf.test_run(program, frame) ~= 0xffffffff then return false end
  end
  return true
end

describe("the tc program's flow table", function()
  local cell

  before_each(function() cell = run.load({ cell = 5 }) end)
  after_each(function() cell:close() end)

  local HERE, THERE = "192.0.2.1", "198.51.100.2"

  local function segment(flags, back, payload)
    if back then
      return packet.frame4(packet.TCP, packet.tcp({ src = 443, dst = 40000, flags = flags, payload = payload }),
        { src = THERE, dst = HERE })
    end
    return packet.frame4(packet.TCP, packet.tcp({ flags = flags, payload = payload }))
  end

  it("makes one event of a thousand equal packets, and counts them exactly", function()
    local bytes = segment(0x10, false, "twelve bytes")
    for _ = 1, 1000 do cell:egress(bytes) end
    assert.equal(1, cell.latest.flow_new)
    assert.equal(999, cell.latest.flow_hit)
    assert.equal(1, #cell:events())
    local flows = cell:flows()
    assert.equal(1, #flows)
    assert.equal(1000, tonumber(flows[1].flow.packets[0]))
    assert.equal(52000, tonumber(flows[1].flow.bytes[0]))
    assert.is_true(flows[1].flow.last_seen_ns >= flows[1].flow.first_seen_ns)
  end)

  it("finds the reply in the same entry, and makes no second event", function()
    cell:egress(segment(0x02))
    cell:ingress(segment(0x12, true, "abc"))
    cell:egress(segment(0x10))
    assert.equal(3, cell:egress(segment(0x11)).flow_hit)
    assert.equal(1, #cell:events())
    local flows = cell:flows()
    assert.equal(1, #flows)
    local key, flow = flows[1].key, flows[1].flow
    assert.equal(3, tonumber(flow.packets[0]))
    assert.equal(120, tonumber(flow.bytes[0]))
    assert.equal(0x13, flow.tcp_flags[0])
    assert.equal(1, tonumber(flow.packets[1]))
    assert.equal(43, tonumber(flow.bytes[1]))
    assert.equal(0x12, flow.tcp_flags[1])
    assert.equal(0, flow.origin)
    assert.equal(0, flow.origin_end) -- 192.0.2.1 is the lower address
    assert.equal(packet.address(HERE), run.address(key.addr[0], 4))
    assert.equal(40000, key.port[0])
    assert.equal(packet.address(THERE), run.address(key.addr[1], 4))
    assert.equal(443, key.port[1])
    assert.equal(5, key.cell)
  end)

  it("remembers who began: a connection that comes in", function()
    cell:ingress(segment(0x02, true))
    assert.equal(1, cell:egress(segment(0x12)).flow_hit)
    local flow = cell:flows()[1].flow
    assert.equal(1, flow.origin)
    assert.equal(1, flow.origin_end)
    local event = cell:events()[1]
    assert.equal(packet.address(THERE), run.address(event.src_addr, 4))
    assert.equal(443, event.src_port)
    assert.equal(40000, event.dst_port)
  end)

  it("orders IPv6 ends by all 16 bytes, as big-endian", function()
    local low, high = "2001:db8::1ff", "2001:db8::1:0" -- the other way round if words were read little-endian
    cell:egress(packet.frame6(packet.UDP, packet.udp({ src = 1, dst = 2 }), { src = high, dst = low }))
    cell:ingress(packet.frame6(packet.UDP, packet.udp({ src = 2, dst = 1 }), { src = low, dst = high }))
    local flows = cell:flows()
    assert.equal(1, #flows)
    assert.equal(packet.address(low), run.address(flows[1].key.addr[0], 6))
    assert.equal(1, flows[1].flow.origin_end)
    assert.equal(packet.address(high), run.address(cell:events()[1].src_addr, 6))
  end)

  it("orders the ends of a host that talks to itself by port", function()
    local me = { src = HERE, dst = HERE }
    cell:egress(packet.frame4(packet.UDP, packet.udp({ src = 0x0200, dst = 0x01ff }), me))
    cell:egress(packet.frame4(packet.UDP, packet.udp({ src = 0x01ff, dst = 0x0200 }), { src = HERE, dst = HERE }))
    local flows = cell:flows()
    assert.equal(1, #flows)
    assert.equal(0x01ff, flows[1].key.port[0])
    assert.equal(1, flows[1].flow.origin_end)
  end)

  for name, echo in pairs({
    ICMP = { frame = packet.frame4, protocol = packet.ICMP, request = 8, reply = 0 },
    ICMPv6 = { frame = packet.frame6, protocol = packet.ICMPV6, request = 128, reply = 129 },
  }) do
    it("joins an " .. name .. " echo request with its reply by identifier", function()
      local v4 = echo.protocol == packet.ICMP
      local back = v4 and { src = THERE, dst = HERE } or { src = "2001:db8::2", dst = "2001:db8::1" }
      cell:egress(echo.frame(echo.protocol, packet.icmp({ type = echo.request, id = 77 })))
      cell:ingress(echo.frame(echo.protocol, packet.icmp({ type = echo.reply, id = 77 }), back))
      assert.equal(1, cell.latest.flow_hit)
      cell:egress(echo.frame(echo.protocol, packet.icmp({ type = echo.request, id = 78 })))
      assert.equal(2, cell.latest.flow_new)
      local error = packet.icmp({ type = v4 and 3 or 1, code = 77 })
      assert.equal(3, cell:egress(echo.frame(echo.protocol, error)).flow_new)
      local events = cell:events()
      assert.equal(3, #events)
      assert.equal(77, events[1].icmp_id)
      assert.equal(0, events[1].src_port)
    end)
  end

  it("keeps echo apart from an error whose type and code look like the identifier", function()
    cell:egress(packet.frame4(packet.ICMP, packet.icmp({ type = 8, id = 3 * 256 + 1 })))
    assert.equal(2, cell:egress(packet.frame4(packet.ICMP, packet.icmp({ type = 3, code = 1 }))).flow_new)
  end)

  it("does not lose other flows by seeing one again in a full table", function()
    for port = 1, 1024 do cell:egress(packet.frame4(packet.UDP, packet.udp({ src = port }))) end
    local before = #cell:flows()
    for _ = 1, 500 do cell:egress(packet.frame4(packet.UDP, packet.udp({ src = 1024 }))) end
    assert.equal(500, cell.latest.flow_hit)
    assert.equal(before, #cell:flows())
  end)

  it("keeps the flows and counters of cells apart that share their maps", function()
    local other = run.load({ cell = 6, share = cell })
    cell:egress(segment(0x02))
    other:egress(segment(0x02))
    other:egress(segment(0x10))
    assert.equal(1, cell:stats().packets)
    assert.equal(2, other:stats().packets)
    assert.equal(2, #cell:flows())
    local events = cell:events()
    assert.equal(5, events[1].cell)
    assert.equal(6, events[2].cell)
    assert.equal(1, tonumber(events[2].seq)) -- numbered for each cell
    other:close()
  end)

  -- All frames on two CPUs in step; ends the other process before anything is looked at.
  local function on_two_cpus(shared, frames)
    local arrived = ffi.cast("uint32_t *", ffi.C.mmap(nil, bpf.page_size, 3, 0x21, -1, 0)) -- shared, anonymous
    local child = ffi.C.fork()
    local ok = send_in_step(shared.program.egress, frames, arrived, child == 0 and 1 or 0)
    if child == 0 then ffi.C._exit(ok and 0 or 1) end
    local status = ffi.new("int[1]")
    assert.equal(child, ffi.C.waitpid(child, status, 0))
    assert.equal(0, status[0])
    assert.is_true(ok)
    ffi.C.munmap(arrived, bpf.page_size)
  end

  local function packets_in(flows)
    local packets = 0
    for _, entry in ipairs(flows) do packets = packets + tonumber(entry.flow.packets[0]) end
    return packets
  end

  it("opens a flow once when two CPUs see its first packets at the same time", function()
    if bpf.cpus() < 2 then pending("needs two CPUs") end
    local count = 5000
    local shared = run.load({ flows = 65536, ring_bytes = 2 * 1024 * 1024 }) -- both may draw a number for each flow
    local frames = {}
    for port = 1, count do frames[port] = packet.frame4(packet.UDP, packet.udp({ src = port })) end
    on_two_cpus(shared, frames)
    local stats = shared:stats()
    assert.equal(2 * count, stats.parsed)
    assert.equal(count, stats.flow_new)
    assert.equal(count, stats.flow_hit + stats.flow_full) -- full: the other CPU was taken away inside the lock
    assert.equal(count, #shared:events())
    assert.equal(stats.flow_new + stats.flow_hit, packets_in(shared:flows()))
    shared:close()
  end)

  it("loses no packet when two CPUs make room in the same set", function()
    if bpf.cpus() < 2 then pending("needs two CPUs") end
    local shared = run.load({ flows = 15, ring_bytes = 4 * 1024 * 1024, events = 10 })
    local frames = {}
    for i = 1, 6000 do frames[i] = packet.frame4(packet.UDP, packet.udp({ src = i * 7 % 40 + 1 })) end
    on_two_cpus(shared, frames)
    local stats, opened, closed = shared:stats(), 0, 0
    for _, event in ipairs(shared:events()) do
      if event.kind == ffi.C.CF_KIND_OPENED then opened = opened + 1 else closed = closed + tonumber(event.packets) end
    end
    local flows = shared:flows()
    assert.equal(15, #flows)
    assert.equal(12000, stats.flow_new + stats.flow_hit + stats.flow_full)
    assert.equal(stats.flow_new, opened)
    assert.equal(stats.flow_new - 15, stats.flow_evicted)
    assert.equal(stats.flow_new + stats.flow_hit, closed + packets_in(flows))
    shared:close()
  end)
end)
