-- SPDX-License-Identifier: GPL-2.0-only
-- One algorithm, compiled twice: the same packets through the tc program and through core/flow_table.c leave the same
-- bytes in both tables and tell the same. And the sweep, on the tc program's own table.
local ffi = require("ffi")
local run = require("bpf_run")
local packet = require("packet")
local twin = require("flow_twin")
local seeded = require("seeded")

local C = ffi.C
local RESULT = { flow_hit = C.CF_STAT_FLOW_HIT, flow_new = C.CF_STAT_FLOW_NEW, flow_full = C.CF_STAT_FLOW_FULL }

describe("the flow tables of kernel and user space", function()
  local HERE, THERE = "192.0.2.1", "198.51.100.2"

  local function frame(p)
    local back = p.end_ == 1
    local src, dst = back and p.port_b or p.port_a, back and p.port_a or p.port_b
    local ends = back and { src = THERE, dst = HERE } or { src = HERE, dst = THERE }
    if p.protocol == 6 then
      return packet.frame4(packet.TCP, packet.tcp({ src = src, dst = dst, flags = p.tcp_flags }), ends)
    end
    return packet.frame4(packet.UDP, packet.udp({ src = src, dst = dst }), ends)
  end

  local function entry_of(cell, p)
    for _, entry in ipairs(cell:flows()) do
      local key = entry.key
      if key.port[0] == p.port_a and key.protocol == p.protocol then return entry.flow end
    end
  end

  -- The same packet in both. The time of the one is taken from the other; everything else must come out by itself.
  local function step(cell, made, p, told)
    local before = cell:stats()
    local after = cell[p.direction == 0 and "egress" or "ingress"](cell, frame(p))
    local flow = entry_of(cell, p)
    p.now, p.bytes, p.events, p.cell = flow.last_seen_ns, p.protocol == 6 and 40 or 28, 10, 5
    p.ifindex = flow.ifindex
    local result, own, ended = twin.account(made, p)
    local kernel
    for name, value in pairs(RESULT) do if after[name] > before[name] then kernel = value end end
    assert.equal(kernel, result)
    if ended.kind ~= 0 then
      told[#told + 1] = { ended.kind, ended.close_reason, ended.flow.key.port[0], tonumber(ended.flow.packets[0]),
        tonumber(ended.flow.packets[1]) }
    end
    if result == C.CF_STAT_FLOW_NEW then told[#told + 1] = { C.CF_KIND_OPENED, 0, p.port_a, own.flags } end
  end

  local function told_by(cell)
    local list = {}
    for _, event in ipairs(cell:events()) do
      local closed = event.kind == C.CF_KIND_CLOSED
      local egress = event.direction == C.CF_DIRECTION_EGRESS
      local a = packet.address(HERE) == run.address(event.src_addr, 4) and event.src_port or event.dst_port
      local packets = { tonumber(event.packets), tonumber(event.reply_packets) }
      list[#list + 1] = closed and { event.kind, event.close_reason, a, packets[egress and 1 or 2],
        packets[egress and 2 or 1] } or { event.kind, 0, a, event.flags }
    end
    return list
  end

  local function bytes_of(place, len) return ffi.string(ffi.cast("const char *", place), len) end

  -- Tags, what a set remembers, and all entries, those of free ways, too.
  local function is_same(kernel, own, sets)
    local BLOOM, FLOW = ffi.offsetof("struct cf_flow_set", "flow"), ffi.sizeof("struct cf_flow")
    for set = 0, sets - 1 do
      assert.is_true(bytes_of(twin.core.cf_flow_table_tags(kernel, set), 64)
        == bytes_of(twin.core.cf_flow_table_tags(own, set), 64), "tags " .. set)
      assert.is_true(bytes_of(kernel.sets + set, BLOOM) == bytes_of(own.rooms[set].bloom, BLOOM), "bloom " .. set)
      assert.is_true(bytes_of(kernel.sets[set].age, 60) == bytes_of(own.rooms[set].age, 60), "ages " .. set)
      for way = 0, 14 do
        local flow = twin.core.cf_flow_table_flow(own, set, way)
        assert.is_true(bytes_of(twin.core.cf_flow_table_flow(kernel, set, way), FLOW)
          == (flow == nil and ("\0"):rep(FLOW) or bytes_of(flow, FLOW)), ("flow %d of %d"):format(way, set))
      end
    end
  end

  for seed = 1, 3 do
    it("are the same after the same packets (seed " .. seed .. ")", function()
      local cell = run.load({ cell = 5, flows = 30, events = 10, seed = seed, ring_bytes = 1048576 })
      local made, memory = twin.table(2, seed)
      local random, told = seeded.new(seed * 7919), {}
      for _ = 1, 1500 do
        local back = random:below(2) == 1
        local flags = ({ 2, 2, 16, 16, 17, 18, 4 })[random:below(7) + 1]
        local p = { port_a = random:below(24) + 1, port_b = 9999, protocol = random:below(3) == 1 and 17 or 6,
          tcp_flags = flags, direction = back and 1 or 0, end_ = back and 1 or 0 }
        step(cell, made, p, told)
      end
      assert.same(told, told_by(cell))
      is_same(twin.table(2, seed, cell:table()), made, 2)
      assert.is_true(memory ~= nil)
      local latest = cell.latest
      for _, name in ipairs({ "flow_hit", "flow_evicted", "flow_reused" }) do
        assert.is_true(latest[name] > 10, name)
      end
      cell:close()
    end)
  end

  it("are swept alike: what the tc program counted is told, and its ways are free again", function()
    local cell = run.load({ cell = 5, flows = 60, events = 10 })
    local made = twin.table(cell.sets, cell.seed, cell:table())
    local sweep = twin.sweep(made, { idle_ns = 1000000000 })
    for port = 1, 20 do
      for _ = 1, port do cell:egress(packet.frame4(packet.UDP, packet.udp({ src = port }))) end
    end
    local now = cell:flows()[1].flow.last_seen_ns
    assert.equal(20, sweep.some(now))
    sweep.some(now + 5000000000ULL)
    assert.equal(0, #cell:flows())
    assert.equal(21, cell:egress(packet.frame4(packet.UDP, packet.udp({ src = 20 }))).flow_new) -- one that is marked
    sweep.some(now + 5020000000ULL)
    local packets = {}
    for _, told in ipairs(sweep.take()) do
      assert.same({ 3, C.CF_CLOSE_IDLE, 5 }, { told[1], told[2], told[3] })
      packets[told[4]] = told[5]
    end
    for port = 1, 20 do assert.equal(port, packets[port]) end
    for port = 1, 19 do cell:egress(packet.frame4(packet.UDP, packet.udp({ src = port }))) end
    assert.same({ 40, 0 }, { cell.latest.flow_new, cell.latest.flow_evicted })
    sweep.fn:free()
    cell:close()
  end)
end)
