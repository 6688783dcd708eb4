-- SPDX-License-Identifier: MIT
-- core/sweep.c: which flows are taken out and when, what is told of them, and that no room means later, not never.
local ffi = require("ffi")
local twin = require("flow_twin")

local C = ffi.C
local MS, S = 1000000, 1000000000
local FIN, SYN, RST, ACK = 1, 2, 4, 16
local CLOSED, UPDATED = 3, 2

for _, remembers in ipairs({ false, true }) do describe("a sweep of a flow table"
    .. (remembers and ", passing over sets that are not due" or ""), function()
  local made, memory, sweep

  before_each(function()
    made, memory = twin.table(4)
    sweep = twin.sweep(made, { idle_ns = { 10 * S, 2 * S, 1 * S, 3 * S }, linger_ns = 500 * MS,
      remembers = remembers })
  end)
  after_each(function()
    sweep.fn:free()
    assert.is_true(memory ~= nil)
  end)

  local function seen(p) return (twin.account(made, p)) end

  -- What is told by two passes, the second after the counters have become final.
  local function pass(now)
    sweep.some(now)
    sweep.some(now + 15 * MS)
    return sweep.take()
  end

  it("closes a flow that was idle for its protocol's time, once, and frees its way", function()
    seen({ port_a = 1, now = 1 * S })
    seen({ port_a = 1, now = 2 * S })
    assert.same({}, pass(3900 * MS))
    assert.same({ { CLOSED, C.CF_CLOSE_IDLE, 0, 1, 2 } }, pass(4 * S))
    assert.same({}, pass(5 * S))
    assert.equal(0, sweep.some(6 * S))
    assert.equal(C.CF_STAT_FLOW_NEW, seen({ port_a = 1, now = 6 * S }))
    assert.equal(1, tonumber(sweep.sweep.numbers.closed[C.CF_CLOSE_IDLE]))
  end)

  it("knows four kinds of protocols", function()
    for i, protocol in ipairs({ 6, 17, 1, 132 }) do
      seen({ port_a = i, protocol = protocol, tcp_flags = SYN, now = 1 * S })
    end
    local order = {}
    for now = 1, 12 do
      for _, told in ipairs(pass(now * S)) do order[#order + 1] = { now - 1, told[4] } end
    end
    assert.same({ { 1, 3 }, { 2, 2 }, { 3, 4 }, { 10, 1 } }, order)
  end)

  it("does not tell before the counters are final, and counts nothing into a flow that it marked", function()
    seen({ port_a = 1, now = 1 * S })
    sweep.some(3 * S)
    sweep.some(3 * S + 5 * MS)
    assert.same({}, sweep.take())
    assert.equal(C.CF_STAT_FLOW_NEW, seen({ port_a = 1, now = 3 * S + 6 * MS })) -- another flow, with its own way
    sweep.some(3 * S + 15 * MS)
    assert.same({ { CLOSED, C.CF_CLOSE_IDLE, 0, 1, 1 } }, sweep.take())
    assert.equal(C.CF_STAT_FLOW_HIT, seen({ port_a = 1, now = 3 * S + 16 * MS }))
  end)

  local function tcp(flags, now, back)
    return seen({ port_a = 7, protocol = 6, tcp_flags = flags, now = now, direction = back and 1 or 0,
      end_ = back and 1 or 0 })
  end

  it("closes a connection that both ends finished, after its last packets", function()
    tcp(SYN, 1 * S)
    tcp(SYN + ACK, 1 * S, true)
    tcp(FIN + ACK, 2 * S)
    assert.same({}, pass(3 * S)) -- half closed: the other end may go on
    tcp(FIN + ACK, 4 * S, true)
    tcp(ACK, 4 * S + 100 * MS)
    assert.same({}, pass(4 * S + 550 * MS))
    assert.same({ { CLOSED, C.CF_CLOSE_FIN, 0, 7, 5 } }, pass(4 * S + 600 * MS))
  end)

  it("takes one FIN for enough where only one direction is seen", function()
    tcp(SYN, 1 * S)
    tcp(FIN + ACK, 2 * S)
    assert.same({ { CLOSED, C.CF_CLOSE_FIN, 0, 7, 2 } }, pass(2500 * MS))
  end)

  it("closes a reset connection", function()
    tcp(SYN, 1 * S)
    tcp(RST + ACK, 2 * S, true)
    assert.same({ { CLOSED, C.CF_CLOSE_RST, 0, 7, 2 } }, pass(2500 * MS))
  end)

  it("tells later what there was no room for, and keeps the reason", function()
    for port = 1, 6 do seen({ port_a = port, now = 1 * S }) end
    sweep.refuse = 2
    assert.equal(2, #pass(3 * S))
    assert.equal(4, tonumber(sweep.sweep.numbers.refused))
    sweep.refuse = nil
    local told = pass(4 * S)
    assert.equal(4, #told)
    for _, one in ipairs(told) do assert.equal(C.CF_CLOSE_IDLE, one[2]) end
    assert.equal(0, sweep.some(5 * S))
  end)

  it("takes out, but does not tell, what a cell did not ask for", function()
    seen({ port_a = 1, now = 1 * S, events = 2 })
    assert.same({}, pass(3 * S))
    assert.equal(1, tonumber(sweep.sweep.numbers.closed[C.CF_CLOSE_IDLE]))
    assert.equal(0, sweep.some(4 * S))
  end)

  it("asks the caller, by slot, when the caller has something to say", function()
    local wants = ffi.new("uint8_t[4096]")
    wants[1] = 8
    sweep.sweep.options.wants = wants
    seen({ port_a = 1, now = 1 * S, cell = 1 + 3 * 4096 })
    seen({ port_a = 2, now = 1 * S, cell = 2 })
    assert.same({ { CLOSED, C.CF_CLOSE_IDLE, 1 + 3 * 4096, 1, 1 } }, pass(3 * S))
  end)

  it("tells of flows that changed, at their interval", function()
    sweep.sweep.options.update_ns = 1 * S
    sweep.sweep.options.idle_ns[1] = 100 * S
    local function at(now)
      sweep.some(now)
      return sweep.take()
    end
    seen({ port_a = 1, now = 1 * S, events = 4 })
    assert.same({}, at(2500 * MS)) -- nothing since it was opened
    seen({ port_a = 1, now = 2600 * MS, events = 4 })
    assert.same({}, at(2700 * MS)) -- told in its next interval
    assert.same({ { UPDATED, 0, 0, 1, 2 } }, at(3 * S))
    assert.same({}, at(4 * S))
    seen({ port_a = 1, now = 4100 * MS, events = 4 })
    sweep.refuse = 0
    assert.same({}, at(5 * S))
    sweep.refuse = nil
    assert.same({ { UPDATED, 0, 0, 1, 3 } }, at(5 * S + MS))
    assert.same({}, at(5 * S + 2 * MS))
  end)

  it("closes the flows of one cell, with its epoch, and no other's", function()
    for port = 1, 5 do seen({ port_a = port, now = 1 * S, cell = 3 }) end
    seen({ port_a = 6, now = 1 * S, cell = 3 + 4096 })
    tcp(RST, 1 * S)
    assert.equal(0, sweep.close(3, C.CF_CLOSE_CELL_GONE, 2 * S))
    local told = sweep.take()
    assert.equal(5, #told)
    for _, one in ipairs(told) do assert.same({ CLOSED, C.CF_CLOSE_CELL_GONE, 3 }, { one[1], one[2], one[3] }) end
    assert.equal(2, sweep.some(2 * S))
    assert.equal(0, sweep.close(4294967295, C.CF_CLOSE_SHUTDOWN, 2 * S))
    local reasons = {}
    for _, one in ipairs(sweep.take()) do reasons[one[4]] = one[2] end
    assert.same({ [6] = C.CF_CLOSE_SHUTDOWN, [7] = C.CF_CLOSE_RST }, reasons)
    assert.equal(0, sweep.some(3 * S))
  end)

  it("goes on closing a cell where there was no room, with the same reason", function()
    for port = 1, 5 do seen({ port_a = port, now = 1 * S, cell = 3 }) end
    sweep.refuse = 3
    assert.equal(-1, sweep.close(3, C.CF_CLOSE_CELL_GONE, 1500 * MS))
    sweep.refuse = nil
    assert.equal(0, sweep.close(3, C.CF_CLOSE_CELL_GONE, 1500 * MS))
    local ports = {}
    for _, one in ipairs(sweep.take()) do
      assert.equal(C.CF_CLOSE_CELL_GONE, one[2])
      ports[one[4]] = true
    end
    assert.same({ true, true, true, true, true }, ports)
  end)

  it("finishes what a dead predecessor had begun", function()
    seen({ port_a = 1, now = 1 * S })
    sweep.some(3 * S)
    local successor = twin.sweep(made, { idle_ns = 2 * S, remembers = remembers })
    successor.some(4 * S)
    assert.same({ { CLOSED, C.CF_CLOSE_IDLE, 0, 1, 1 } }, successor.take())
    successor.fn:free()
  end)

  it("goes round in pieces", function()
    for port = 1, 30 do seen({ port_a = port, now = 1 * S }) end
    local sum = 0
    for _ = 1, 4 do sum = sum + sweep.some(1 * S, 1) end
    assert.equal(30, sum)
    assert.equal(30, tonumber(sweep.sweep.numbers.in_use))
    assert.equal(1, tonumber(sweep.sweep.numbers.rounds))
  end)
end) end

describe("a sweep that passes over sets that are not due", function()
  local made, memory = twin.table(4)
  local sweep = twin.sweep(made, { idle_ns = { 10 * S, 2 * S, 1 * S, 3 * S }, linger_ns = 500 * MS, remembers = true })
  after_each(function() assert.is_true(memory ~= nil) end)

  local function closed(now)
    sweep.some(now)
    sweep.some(now + 15 * MS)
    return #sweep.take()
  end

  -- Nothing in the table says that it is over but the flow itself: who closes it has looked.
  local function outdate(flow) flow.last_seen_ns = 0 end

  it("looks at a new flow when the soonest of its kind could be over", function()
    local now = 100 * S
    closed(now) -- a first round takes nothing for granted
    local _, udp = twin.account(made, { port_a = 1, now = now })
    local _, tcp = twin.account(made, { port_a = 2, protocol = 6, tcp_flags = SYN, now = now })
    outdate(udp)
    outdate(tcp)
    assert.equal(0, closed(now + 400 * MS))
    local by_linger = closed(now + 600 * MS)
    assert.is_true(by_linger >= 1) -- tcp; and udp, if it is in the same set
    assert.equal(2, by_linger + closed(now + 1100 * MS))
    assert.equal(0, sweep.some(now + 2 * S))
  end)

  it("looks again when the first flow of the set that it saw can be over, and at all when times change", function()
    local now = 200 * S
    for _, change in ipairs({ false, true }) do
      local _, flow = twin.account(made, { port_a = 3, now = now })
      assert.equal(0, closed(now + 1100 * MS)) -- now it is known that it is UDP
      outdate(flow)
      assert.equal(0, closed(now + 1500 * MS))
      sweep.sweep.options.idle_ns[1] = change and 3 * S or 2 * S
      assert.equal(change and 1 or 0, closed(now + 1600 * MS))
      assert.equal(change and 0 or 1, closed(now + 2100 * MS))
      now = now + 10 * S
    end
    sweep.fn:free()
  end)
end)
