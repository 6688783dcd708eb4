-- SPDX-License-Identifier: MIT
--
-- One output of core/sink.c as specs use it: lines go in as the worker puts them, and the head is kept here.
local ffi = require("ffi")
local descriptors = require("descriptors")
local helper = require("spec.helper")
require("core_headers")("error", "confine", "outcome", "sink")

local core = helper.core
local M = { BUFFER = tonumber(ffi.C.CF_SINK_BUFFER_LEN) }
local Sink = {}
Sink.__index = Sink

--- Takes `fd` over. `other`: a sink whose buffer and progress this one continues, as a successor does.
function M.open(fd, other)
  local self = setmetatable({ head = other and other.head or 0 }, Sink)
  self.progress = other and other.progress or ffi.new("struct cf_output_progress")
  self.sink = ffi.gc(ffi.new("struct cf_sink"), core.cf_sink_close)
  local buffer_fd = -1
  if other then
    buffer_fd = other.sink.buffer_fd
    other.sink.buffer_fd = -1
    other:close()
  end
  local err = ffi.new("struct cf_error")
  assert(core.cf_sink_open(self.sink, fd, buffer_fd, self.progress, err) == 0, ffi.string(err.text))
  return self
end

function Sink:close()
  core.cf_sink_close(self.sink)
end

--- Accept a line (without its newline) where there is room; returns whether there was.
function Sink:put(line)
  local room = ffi.new("size_t[1]")
  local space = core.cf_sink_space(self.sink, self.head, room)
  if tonumber(room[0]) < #line + 1 then return false end
  ffi.copy(space, line .. "\n", #line + 1)
  self.head = self.head + #line + 1
  return true
end

function Sink:flush() return core.cf_sink_flush(self.sink, self.head) end
function Sink:recover() core.cf_sink_recover(self.sink, self.head) end
function Sink:begin(before) core.cf_sink_begin(self.sink, before or -1, self.head) end
function Sink:buffered() return tonumber(core.cf_sink_buffered(self.sink, self.head)) end
function Sink:written() return tonumber(core.cf_sink_written(self.sink)) end
function Sink:tail() return tonumber(self.progress.tail) end

--- As if the worker had been killed in a write of `len` bytes from the tail on, `landed` of them having arrived.
function Sink:die_in_write(len, landed)
  local progress = self.progress
  if self.sink.is_regular ~= 0 then
    progress.flying_base = descriptors.position(self.sink.fd)
  end
  progress.flying_tail, progress.flying = progress.tail, len
  local at = self.sink.buffer + tonumber(progress.tail - progress.origin) % M.BUFFER
  if landed > 0 then assert(tonumber(ffi.C.write(self.sink.fd, at, landed)) == landed) end
end

return M
