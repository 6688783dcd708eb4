-- SPDX-License-Identifier: MIT
--
-- The ring of events that are made in user space: what is put in comes out, once, whoever dies; and the two rings of a
-- worker as one stream.
local ffi = require("ffi")
local helper = require("spec.helper")
local made_ring = require("made_ring")
require("core_headers")("error", "ring", "feed", "host_ring")

local C, core = ffi.C, helper.core
local SIZE = 65536

describe("the host ring", function()
  local host, producer, ring
  local batch = ffi.new("struct cf_batch")

  before_each(function()
    host, producer, ring = ffi.new("struct cf_host_ring"), ffi.new("struct cf_host_producer"), ffi.new("struct cf_ring")
    assert.equal(0, core.cf_host_ring_new(host, SIZE, nil))
    assert.equal(0, core.cf_host_producer_open(producer, host, nil))
    assert.equal(0, core.cf_ring_open_host(ring, host, nil))
  end)

  after_each(function()
    core.cf_ring_close(ring)
    core.cf_host_producer_close(producer)
    core.cf_host_ring_close(host)
  end)

  local function put(mark, prefix)
    local event = ffi.new("struct cf_event")
    event.first_seen_ns = mark
    if prefix then ffi.copy(event.prefix, prefix) end
    return core.cf_host_ring_put(producer, event)
  end

  local function take(from, max)
    local position, refused, len = ffi.new("uint64_t[1]", from), ffi.new("uint32_t[1]"), ffi.new("uint32_t[1]")
    core.cf_ring_take(ring, position, batch, max or 256, refused, len)
    assert.equal(0, refused[0])
    return position[0]
  end

  it("keeps events in order, with their prefix where they have one", function()
    put(1)
    put(2, "cellflow:deny:web")
    put(3)
    take(0)
    assert.equal(3, batch.count)
    for i = 0, 2 do assert.equal(i + 1, tonumber(batch.events[i].first_seen_ns)) end
    assert.equal("", ffi.string(batch.events[0].prefix))
    assert.equal("cellflow:deny:web", ffi.string(batch.events[1].prefix))
    assert.equal("", ffi.string(batch.events[2].prefix))
  end)

  it("takes no more than there is room for, and all of it again when that was released", function()
    local position, put_in, taken = 0, 0, 0
    for _ = 1, 20 do -- goes round several times, at every alignment of the end
      while put(put_in + 1, put_in % 3 == 0 and ("p"):rep(127) or nil) == 0 do put_in = put_in + 1 end
      assert.is_true(tonumber(core.cf_host_ring_room(producer)) < 8 + tonumber(C.CF_EVENT_FULL_LEN))
      repeat
        position = take(position, 7)
        for i = 0, batch.count - 1 do
          taken = taken + 1
          assert.equal(taken, tonumber(batch.events[i].first_seen_ns))
          assert.equal((taken - 1) % 3 == 0 and ("p"):rep(127) or "", ffi.string(batch.events[i].prefix))
        end
        core.cf_ring_release(ring, position)
      until batch.count == 0
    end
    assert.equal(put_in, taken)
    assert.is_true(put_in > 20 * 250)
  end)

  it("goes on where a producer died, and shows nothing that it had not finished", function()
    put(1)
    ffi.fill(producer.producer_page + producer.page + 136, 64, 0xff) -- half a record behind the first
    core.cf_host_producer_close(producer)
    take(0)
    assert.equal(1, batch.count)
    assert.equal(0, core.cf_host_producer_open(producer, host, nil))
    put(2)
    take(0)
    assert.equal(2, batch.count)
    assert.equal(2, tonumber(batch.events[1].first_seen_ns))
  end)

  it("has no room while the consumer's position is nonsense", function()
    core.cf_ring_release(ring, 2 ^ 40)
    assert.equal(0, tonumber(core.cf_host_ring_room(producer)))
    assert.equal(-1, put(1))
  end)

  it("wakes once for what was put in, also what a dead producer did not get to", function()
    local poll = ffi.new("uint64_t[1]")
    local function woken() return ffi.C.read(host.event_fd, poll, 8) == 8 end
    core.cf_host_ring_wake(producer)
    assert.is_true(woken())
    core.cf_host_ring_wake(producer)
    assert.is_false(woken())
    put(1)
    put(2)
    core.cf_host_ring_wake(producer)
    assert.is_true(woken())
    put(3)
    core.cf_host_producer_close(producer)
    core.cf_host_producer_open(producer, host, nil)
    core.cf_host_ring_wake(producer)
    assert.is_true(woken())
  end)

  it("cannot be made shorter under its readers", function()
    assert.equal(-1, ffi.C.ftruncate(host.fd, 4096))
  end)

  it("is read after what was in the kernel's ring when it was written", function()
    local made = made_ring.new()
    local feed, position = ffi.new("struct cf_feed"), ffi.new("uint64_t[2]")
    core.cf_feed_init(feed)
    core.cf_ring_open(feed.rings[0], made.fd, made_ring.SIZE, nil)
    core.cf_ring_open_host(feed.rings[1], host, nil)
    assert.equal(C.CF_FEED_KERNEL, core.cf_feed_next(feed, position))
    for i = 1, 2 do made:produce(i) end -- opened
    put(10) -- closed
    assert.equal(C.CF_FEED_KERNEL, core.cf_feed_next(feed, position))
    made:produce(3)
    put(11)
    position[0] = 136 -- the first of two was read
    assert.equal(C.CF_FEED_KERNEL, core.cf_feed_next(feed, position))
    position[0] = 2 * 136
    assert.equal(C.CF_FEED_HOST, core.cf_feed_next(feed, position))
    position[1] = 136
    assert.equal(C.CF_FEED_KERNEL, core.cf_feed_next(feed, position)) -- what came meanwhile, before the second
    position[0] = 3 * 136
    assert.equal(C.CF_FEED_HOST, core.cf_feed_next(feed, position))
    assert.equal(1, tonumber(core.cf_feed_count(feed, position)))
    core.cf_feed_close(feed)
    made:close()
  end)
end)
