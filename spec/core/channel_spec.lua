-- SPDX-License-Identifier: MIT
--
-- Messages and descriptors between the processes. What comes from a worker is hostile: a message that is not exactly
-- what it must be is refused, and no descriptor of it stays open.
local ffi = require("ffi")
local descriptors = require("descriptors")
local helper = require("spec.helper")
require("core_headers")("channel")

local core, C = helper.core, ffi.C

describe("channel", function()
  local here, there, message

  before_each(function()
    local pair = ffi.new("int[2]")
    assert(core.cf_channel_pair(pair) == 0)
    here, there = pair[0], pair[1]
    message = ffi.new("struct cf_message")
    for i = 0, C.CF_CHANNEL_FDS_MAX - 1 do message.fds[i] = -1 end
  end)

  after_each(function()
    core.cf_message_close_fds(message)
    descriptors.close(here)
    if there then descriptors.close(there) end
  end)

  local function receive() return core.cf_channel_receive(here, message, 0) end

  local function packet(type, len, body)
    local header = ffi.new("uint32_t[2]", type, len)
    descriptors.send(there, ffi.string(header, 8) .. (body or ""))
  end

  local function count_open()
    local count = 0
    for fd = 0, 255 do count = count + (descriptors.is_open(fd) and 1 or 0) end
    return count
  end

  it("closes on exec", function()
    local F_GETFD = 1
    assert.equal(1, C.fcntl(here, F_GETFD))
    assert.equal(1, C.fcntl(there, F_GETFD))
  end)

  it("carries a number", function()
    local number = ffi.new("struct cf_message_number", { 7 })
    assert.equal(0, core.cf_channel_send(there, C.CF_MSG_RING, number, ffi.sizeof(number), nil, 0))
    assert.equal(1, receive())
    assert.equal(C.CF_MSG_RING, message.type)
    assert.equal(7, tonumber(message.body.number.value))
    assert.equal(-1, message.fds[0])
    assert.equal(-1, message.fds[1])
  end)

  it("carries the lifetimes of flows", function()
    local flows = ffi.new("struct cf_plan_flows", { { 1, 2, 3, 4 }, 5 })
    assert.equal(0, core.cf_channel_send(there, C.CF_MSG_PLAN_FLOWS, flows, ffi.sizeof(flows), nil, 0))
    assert.equal(1, receive())
    assert.equal(C.CF_MSG_PLAN_FLOWS, message.type)
    local got = message.body.flows
    assert.same({ 1, 4, 5 }, { got.idle_s[0], got.idle_s[3], got.update_s })
  end)

  it("keeps messages apart and in order", function()
    for i = 1, 20 do
      local cell = ffi.new("struct cf_plan_cell", { pid = i })
      assert.equal(0, core.cf_channel_send(there, C.CF_MSG_PLAN_CELL, cell, ffi.sizeof(cell), nil, 0))
    end
    assert.equal(0, core.cf_channel_send(there, C.CF_MSG_PLAN_END, nil, 0, nil, 0))
    for i = 1, 20 do
      assert.equal(1, receive())
      assert.equal(i, message.body.cell.pid)
    end
    assert.equal(1, receive())
    assert.equal(C.CF_MSG_PLAN_END, message.type)
    assert.equal(-descriptors.EAGAIN, receive())
  end)

  it("carries descriptors, which are the receiver's own", function()
    local reader, writer = descriptors.pipe(descriptors.O_NONBLOCK)
    local number, fds = ffi.new("struct cf_message_number"), ffi.new("int[2]", writer, reader)
    assert.equal(0, core.cf_channel_send(there, C.CF_MSG_OUTPUT, number, ffi.sizeof(number), fds, 2))
    descriptors.close(writer)
    assert.equal(1, receive())
    descriptors.write(message.fds[0], "through")
    assert.equal("through", descriptors.drain(reader))
    local first = message.fds[0]
    core.cf_message_close_fds(message)
    assert.is_false(descriptors.is_open(first))
    assert.equal(-1, message.fds[1])
    descriptors.close(reader)
  end)

  it("ends with the other side", function()
    descriptors.close(there)
    there = nil
    assert.equal(0, receive())
    descriptors.ignoring_sigpipe(function()
      assert.equal(-32, core.cf_channel_send(here, C.CF_MSG_START, nil, 0, nil, 0))
    end)
  end)

  for what, make in pairs({
    ["half a header"] = function() descriptors.send(there, "abc") end,
    ["an unknown type with a body"] = function() packet(99, 4, "abcd") end,
    ["a body shorter than announced"] = function() packet(C.CF_MSG_RING, 8, "abcd") end,
    ["a body longer than announced"] = function() packet(C.CF_MSG_RING, 8, "abcdefghi") end,
    ["a body of another type's length"] = function() packet(C.CF_MSG_RING, 4, "abcd") end,
    ["a body where none belongs"] = function() packet(C.CF_MSG_READY, 1, "a") end,
    ["a length of 4 GB"] = function() packet(C.CF_MSG_PLAN_CELL, 0xffffffff, "abcd") end,
    ["a body longer than any"] = function() packet(C.CF_MSG_PLAN_CELL, 60000, ("x"):rep(60000)) end,
  }) do
    it("refuses " .. what .. ", and goes on", function()
      make()
      assert.equal(-descriptors.EBADMSG, receive())
      assert.equal(0, core.cf_channel_send(there, C.CF_MSG_READY, nil, 0, nil, 0))
      assert.equal(1, receive())
    end)
  end

  it("leaves no descriptor of a refused message open", function()
    local reader, writer = descriptors.pipe()
    local before = count_open()
    local fds = ffi.new("int[2]", writer, reader)
    assert.equal(0, core.cf_channel_send(there, 99, "abcd", 4, fds, 2))
    assert.equal(-descriptors.EBADMSG, receive())
    assert.equal(before, count_open())
    descriptors.close(reader, writer)
  end)

  it("refuses more descriptors than a message may have", function()
    ffi.cdef[[
    struct spec_iovec { void *base; size_t len; };
    struct spec_msghdr { void *name; unsigned int namelen; struct spec_iovec *iov; size_t iovlen; void *control;
      size_t controllen; int flags; };
    struct spec_control { size_t len; int level, type; int fds[4]; };
    long sendmsg(int fd, const struct spec_msghdr *msg, int flags);
    ]]
    local reader, writer = descriptors.pipe()
    local before = count_open()
    local header = ffi.new("uint32_t[2]", C.CF_MSG_READY, 0)
    local iov = ffi.new("struct spec_iovec[1]", { { header, 8 } })
    local control = ffi.new("struct spec_control", { 32, 1, 1, { writer, writer, reader, reader } })
    local msg = ffi.new("struct spec_msghdr", { iov = iov, iovlen = 1, control = control, controllen = 32 })
    assert(C.sendmsg(there, msg, 0) == 8)
    assert.equal(-descriptors.EBADMSG, receive())
    assert.equal(before, count_open())
    descriptors.close(reader, writer)
  end)
end)
