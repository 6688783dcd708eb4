-- SPDX-License-Identifier: MIT
--
-- Two witnesses of one flow: what is told, when, and what becomes of those that come late or never. The clock is the
-- caller's, so nothing here waits.
local ffi = require("ffi")
local helper = require("spec.helper")
require("core_headers")("join")

local C, core = ffi.C, helper.core
local MS = 1000000
local EBPF, NFLOG = 2 ^ tonumber(C.CF_SOURCE_EBPF), 2 ^ tonumber(C.CF_SOURCE_NFLOG)
local HOLD = tonumber(C.CF_JOIN_HOLD_MS) * MS

describe("the join", function()
  local join, told, has_room, callback
  local now

  before_each(function()
    told, has_room, now = {}, true, 10 ^ 12
    callback = ffi.cast("cf_join_fn *", function(_, event)
      if not has_room then return -1 end
      local copy = ffi.new("struct cf_event")
      ffi.copy(copy, event, ffi.sizeof(copy))
      told[#told + 1] = copy
      return 0
    end)
    join = core.cf_join_new(callback, nil)
  end)

  after_each(function()
    core.cf_join_free(join)
    callback:free()
  end)

  local function event(source, over)
    local made = ffi.new("struct cf_event")
    made.kind, made.source, made.family, made.protocol = C.CF_KIND_OPENED, source, 4, 6
    made.flags, made.src_port, made.dst_port, made.cell = C.CF_EVENT_PORTS, 40000, 443, 3
    made.src_addr[0], made.dst_addr[0] = 10, 192
    made.packets, made.bytes, made.first_seen_ns = 1, 60, now
    for name, value in pairs(over or {}) do
      if name == "prefix" then ffi.copy(made.prefix, value) else made[name] = value end
    end
    return made
  end
  local function ebpf(over) return event(C.CF_SOURCE_EBPF, over) end
  local function nflog(over) return event(C.CF_SOURCE_NFLOG, over) end
  local function take(made) return core.cf_join_take(join, made, now) end
  local function after(ns)
    now = now + ns
    return core.cf_join_release(join, now, 0)
  end
  local function numbers() return core.cf_join_numbers(join) end

  it("holds what one source saw, and tells it alone when its time is over", function()
    take(ebpf())
    assert.equal(now + HOLD, tonumber(core.cf_join_due(join)))
    assert.equal(1, after(HOLD - 1))
    assert.equal(0, #told)
    assert.equal(0, after(1))
    assert.equal(1, #told)
    assert.equal(EBPF, told[1].witnesses)
    assert.equal(0, tonumber(core.cf_join_due(join)))
  end)

  it("tells one event of what both saw, at once: numbers from tc, rule and fate from netfilter", function()
    for _, first in ipairs({ "ebpf", "nflog" }) do
      local from_tc = ebpf({ packets = 7, hook = C.CF_HOOK_TC_EGRESS, verdict = C.CF_VERDICT_ACCEPT })
      local from_nft = nflog({ prefix = "cellflow:allow:web", verdict = C.CF_VERDICT_ACCEPT,
        hook = C.CF_HOOK_NF_OUTPUT })
      told, now = {}, now + 10 ^ 10
      take(first == "ebpf" and from_tc or from_nft)
      take(first == "ebpf" and from_nft or from_tc)
      assert.equal(1, #told)
      assert.equal(EBPF + NFLOG, told[1].witnesses)
      assert.equal(C.CF_SOURCE_EBPF, told[1].source)
      assert.equal(C.CF_HOOK_TC_EGRESS, told[1].hook)
      assert.equal(7, tonumber(told[1].packets))
      assert.equal("cellflow:allow:web", ffi.string(told[1].prefix))
      assert.equal(0, bit.band(told[1].flags, C.CF_EVENT_CONFLICT))
      after(HOLD)
      assert.equal(1, #told)
    end
    assert.equal(2, tonumber(numbers().joined))
    assert.equal(0, tonumber(numbers().conflicts))
  end)

  it("takes both directions for one flow", function()
    local back = nflog({ src_port = 443, dst_port = 40000 })
    back.src_addr[0], back.dst_addr[0] = 192, 10
    take(ebpf())
    take(back)
    assert.equal(1, #told)
    assert.equal(40000, told[1].src_port)
  end)

  it("calls it a conflict when netfilter drops what tc saw leave", function()
    take(ebpf({ verdict = C.CF_VERDICT_ACCEPT }))
    take(nflog({ kind = C.CF_KIND_LOGGED, verdict = C.CF_VERDICT_DROP, prefix = "cellflow:deny:late" }))
    assert.equal(1, #told)
    assert.equal(C.CF_VERDICT_DROP, told[1].verdict)
    assert.is_true(bit.band(told[1].flags, C.CF_EVENT_CONFLICT) ~= 0)
    assert.equal(1, tonumber(numbers().conflicts))
  end)

  it("calls it none where tc saw the packet before netfilter did", function()
    take(ebpf({ direction = C.CF_DIRECTION_INGRESS }))
    take(nflog({ kind = C.CF_KIND_LOGGED, verdict = C.CF_VERDICT_DROP }))
    assert.equal(C.CF_VERDICT_DROP, told[1].verdict)
    assert.equal(0, bit.band(told[1].flags, C.CF_EVENT_CONFLICT))
    assert.equal(0, tonumber(numbers().conflicts))
  end)

  it("says nothing of a witness that comes after the event was told, unless it disagrees", function()
    take(ebpf())
    after(HOLD)
    take(nflog({ verdict = C.CF_VERDICT_ACCEPT }))
    after(HOLD)
    assert.equal(1, #told)
    take(ebpf({ src_port = 1, verdict = C.CF_VERDICT_ACCEPT }))
    after(HOLD)
    take(nflog({ src_port = 1, kind = C.CF_KIND_LOGGED, verdict = C.CF_VERDICT_DROP }))
    assert.equal(3, #told)
    assert.is_true(bit.band(told[3].flags, C.CF_EVENT_CONFLICT) ~= 0)
    assert.equal(EBPF + NFLOG, told[3].witnesses)
  end)

  it("forgets what it told after a while: the ports may belong to another connection by then", function()
    take(ebpf())
    after(HOLD)
    now = now + (tonumber(C.CF_JOIN_MEMORY_MS) + 1) * MS
    take(nflog({ kind = C.CF_KIND_LOGGED, verdict = C.CF_VERDICT_DROP }))
    after(HOLD)
    assert.equal(2, #told)
    assert.equal(0, bit.band(told[2].flags, C.CF_EVENT_CONFLICT))
    assert.equal(NFLOG, told[2].witnesses)
  end)

  it("takes a second word of the same source for another connection", function()
    take(ebpf({ packets = 1 }))
    take(ebpf({ packets = 2 }))
    assert.equal(1, #told)
    after(HOLD)
    assert.equal(2, #told)
    assert.equal(2, tonumber(told[2].packets))
  end)

  it("lets other kinds through, after what waits of the flow", function()
    take(ebpf())
    take(ebpf({ kind = C.CF_KIND_CLOSED }))
    assert.equal(2, #told)
    assert.equal(C.CF_KIND_OPENED, told[1].kind)
    assert.equal(C.CF_KIND_CLOSED, told[2].kind)
  end)

  it("tells what waits of a flow when it is asked, before somebody else tells of its end", function()
    take(ebpf())
    take(ebpf({ src_port = 1 }))
    has_room = false
    local closed = ebpf({ kind = C.CF_KIND_CLOSED })
    assert.equal(-1, core.cf_join_precede(join, closed, now))
    has_room = true
    assert.equal(0, core.cf_join_precede(join, closed, now))
    assert.equal(0, core.cf_join_precede(join, closed, now))
    assert.equal(1, #told)
    assert.same({ tonumber(C.CF_KIND_OPENED), 40000 }, { told[1].kind, told[1].src_port })
    assert.equal(1, tonumber(numbers().waiting))
  end)

  it("loses nothing while there is no room", function()
    take(ebpf())
    has_room = false
    assert.equal(1, after(HOLD))
    assert.equal(-1, take(ebpf({ kind = C.CF_KIND_CLOSED })))
    has_room = true
    assert.equal(0, after(0))
    assert.equal(1, #told)
  end)

  it("tells the oldest early when too many wait, each once", function()
    local max = tonumber(C.CF_JOIN_MAX)
    for i = 1, max + 100 do take(ebpf({ mark = i, dst_port = i % 60000, src_port = math.floor(i / 60000) })) end
    assert.equal(100, #told)
    assert.equal(100, tonumber(numbers().early))
    core.cf_join_release(join, now, 1)
    assert.equal(max + 100, #told)
    local seen = {}
    for _, one in ipairs(told) do seen[one.mark] = (seen[one.mark] or 0) + 1 end
    for i = 1, max + 100 do assert.equal(1, seen[i]) end
  end)

  it("tells ICMP apart by its identifier", function()
    local function ping(made, id)
      made.protocol, made.flags, made.icmp_id = 1, C.CF_EVENT_ICMP + C.CF_EVENT_ICMP_ID, id
      return made
    end
    take(ping(ebpf(), 1))
    take(ping(nflog(), 2))
    assert.equal(0, #told)
    take(ping(nflog(), 1))
    assert.equal(1, #told)
  end)
end)
