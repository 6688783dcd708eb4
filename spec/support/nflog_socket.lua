-- SPDX-License-Identifier: MIT
--
-- Real NFLOG sockets for specs: opened in a namespace, read in this process. close_all() is for after_each: a socket
-- that is left open keeps its namespace.
local ffi = require("ffi")
local helper = require("spec.helper")
local nflog = require("nflog_message")
local privileged = require("privileged")
require("sockets") -- declares setsockopt

local core = helper.core
local SOL_SOCKET, RCVBUF = 1, 8

ffi.cdef("long labs(long n);")

local M = {}
local Socket = {}
Socket.__index = Socket
local open = {}

--- Open as the supervisor does. Returns a socket, or nil, text and kind.
function M.open(namespace, group)
  local nsfd = assert(privileged.open(privileged.cell({ netns = "/run/netns/" .. namespace })))
  local err, fd = ffi.new("struct cf_error"), ffi.new("int[1]")
  local ret = core.cf_nflog_open(nsfd, group, fd, err)
  ffi.C.close(nsfd)
  if ret < 0 then return nil, ffi.string(err.text), tonumber(err.kind) end
  local self = setmetatable({ fd = fd[0], reader = ffi.new("struct cf_nflog") }, Socket)
  core.cf_nflog_init(self.reader, self.fd, 7, 0)
  open[self] = true
  return self
end

function M.close_all()
  for socket in pairs(open) do socket:close() end
end

function Socket:close()
  ffi.C.close(self.fd)
  open[self] = nil
end

--- One call; returns what it returned and the packets, kept as structs.
function Socket:read(max_messages)
  local callback, list = nflog.collect()
  local got = core.cf_nflog_read(self.reader, max_messages or 100000, callback, nil)
  callback:free()
  return got, list
end
jit.off(Socket.read) -- compiled code may not call C that calls back

--- Only count: no packet is kept. `each` of C takes two pointers; labs() takes one and changes nothing.
local count_only = ffi.cast("cf_nflog_fn *", ffi.C.labs)
function Socket:count(max_messages)
  return core.cf_nflog_read(self.reader, max_messages, count_only, nil)
end

--- All packets, once the kernel's flush interval is over and nothing more comes.
function Socket:read_all()
  local system = require("system")
  local all = {}
  local quiet = 0
  while quiet < 2 do
    system.sleep(0.05)
    local got, list = self:read()
    assert(got >= 0, "the socket is unusable")
    quiet = got == 0 and quiet + 1 or 0
    for _, packet in ipairs(list) do all[#all + 1] = packet end
  end
  return all
end

function Socket:receive_buffer(bytes)
  local value = ffi.new("int[1]", bytes)
  assert(ffi.C.setsockopt(self.fd, SOL_SOCKET, RCVBUF, value, 4) == 0)
end

function Socket:numbers()
  return nflog.numbers(self.reader)
end

return M
