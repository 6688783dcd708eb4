-- SPDX-License-Identifier: MIT
--
-- Recordings of traffic that was made up: the flows of a few cells to a few servers, in the order of time, the same
-- bytes for the same seed. For specs, benches and seeds of the fuzzer.
local ffi = require("ffi")
local bit = require("bit")
local helper = require("spec.helper")
local seeded = require("seeded")
require("core_headers")("error", "recording", "frame", "recording_write", "recording_read")

local core = helper.core
local M = {}
local Traffic = {}
Traffic.__index = Traffic

M.RECORDING = 0x1234567890abcdefULL
M.OFFSET_NS = 1795000000000000000LL -- of the time of day from the boot clock
local START_NS = 5000000000000ULL
local CPUS, FULL_LEN = 4, tonumber(ffi.C.CF_EVENT_FULL_LEN)
local SERVICES = { 443, 443, 443, 80, 53, 22, 5432, 8080 }
local FRAME_ROOM = tonumber(ffi.C.CF_FRAME_MAX)

--- Options: cells (3), rate in flows a second (50,000).
function M.traffic(seed, options)
  options = options or {}
  local self = setmetatable({ random = seeded.new(seed), cells = options.cells or 3, seq = {}, now = START_NS,
    open = {}, pause = math.floor(2e9 / (options.rate or 50000)) }, Traffic)
  return self
end

-- An address of 10.77/16 or fd77::, by two numbers.
local function address(bytes, family, net, host)
  if family == 4 then
    bytes[0], bytes[1], bytes[2], bytes[3] = 10, 77, net, host
  else
    bytes[0], bytes[1], bytes[13], bytes[15] = 0xfd, 0x77, net, host
  end
end

local function open_flow(self, event)
  local r = self.random
  local kind = r:below(100)
  event.family = kind < 20 and 6 or 4
  event.protocol = kind % 10 == 9 and 17 or 6
  event.cell = r:below(self.cells)
  event.cpu = r:below(CPUS)
  event.ifindex, event.hook, event.direction, event.source, event.verdict = event.cell + 2, 1, 1, 1, 1
  address(event.src_addr, event.family, event.cell, 2)
  address(event.dst_addr, event.family, 200, r:below(20) + 1)
  event.src_port = 32768 + r:below(28232)
  event.dst_port = event.protocol == 17 and 53 or r:pick(SERVICES)
  event.kind, event.packets, event.flags = 1, 1, event.protocol == 17 and 1 or 9
  event.tcp_flags = event.protocol == 17 and 0 or 2
  event.bytes = (event.family == 6 and 80 or 60) + (event.protocol == 17 and r:below(40) or 0)
  event.first_seen_ns, event.last_seen_ns = self.now, self.now
end

local function close_flow(self, event)
  local r = self.random
  event.kind, event.close_reason, event.tcp_flags = 3, event.protocol == 17 and 3 or 1, event.protocol == 17 and 0 or 27
  event.packets, event.reply_packets = 4 + r:below(40), 3 + r:below(40)
  event.bytes, event.reply_bytes = 240 + r:below(4000), 180 + r:below(60000)
  event.last_seen_ns = self.now
end

--- Overwrite `event` with the next one.
function Traffic:event(event)
  local r = self.random
  self.now = self.now + r:below(self.pause)
  ffi.fill(event, FULL_LEN)
  local turn = r:below(100)
  if turn < 30 and #self.open > 50 then
    local i = r:below(#self.open) + 1
    ffi.copy(event, self.open[i], FULL_LEN)
    self.open[i] = self.open[#self.open]
    self.open[#self.open] = nil
    close_flow(self, event)
  else
    open_flow(self, event)
    if turn == 99 then
      event.kind, event.source, event.hook, event.verdict = 4, 2, 7, 2
      ffi.copy(event.prefix, "cellflow:deny:web-" .. r:below(3))
    elseif #self.open < 2000 then
      self.open[#self.open + 1] = ffi.string(event, FULL_LEN)
    end
  end
  local counter = event.cell * CPUS + event.cpu
  self.seq[counter] = (self.seq[counter] or 0) + 1
  event.seq = self.seq[counter]
end

--- Fill `batch` with the next `count` events.
function Traffic:batch(batch, count)
  batch.count = count
  for i = 0, count - 1 do self:event(batch.events[i]) end
end

--- An event in which every field is random, as far as it may be.
function M.any_event(r, event)
  local bytes = ffi.cast("uint8_t *", event)
  for i = 0, 127 do bytes[i] = r:below(256) end
  event.kind, event.source, event.hook = r:below(4) + 1, r:below(3) + 1, r:below(10)
  event.direction, event.family, event.verdict = r:below(2) + 1, r:below(2) * 2 + 4, r:below(3)
  event.close_reason, event.flags, event.witnesses = r:below(7), r:below(512), r:below(8) * 2
  event.vlan, event.cell = r:below(4096), r:below(4096)
  ffi.fill(event.prefix, 128)
  if r:below(4) == 0 then ffi.copy(event.prefix, (r:bytes(r:below(127) + 1):gsub("%z", "x"))) end
end

--- Memory for one frame; frames are made in it by core's cf_frame_put_*.
function M.room() return ffi.new("uint64_t[?]", FRAME_ROOM / 8), FRAME_ROOM end

--- What the recording says of itself. Texts live as long as the second value does.
function M.meta(options)
  options = options or {}
  local meta, kept = ffi.new("struct cf_meta"), {}
  local function text(value)
    kept[#kept + 1] = value
    return ffi.cast("const char *", value)
  end
  meta.now_ns, meta.recording, meta.generation, meta.part = START_NS, M.RECORDING, options.generation or 1, 0
  for i, value in pairs(options.texts or { "0.1.0", "lab-1", "6.18.0", "run-7", "sha256:abc", nil, nil, nil,
    "egress.lua" }) do
    meta.texts[i] = text(value)
  end
  for i, value in ipairs(options.args or { "env", "lab" }) do meta.args[i - 1] = text(value) end
  return meta, kept
end

--- How a recording begins: META, CLOCK and the cells, by `add(memory, length)`.
function M.begin(add, cells)
  local room, size = M.room()
  local meta, kept = M.meta()
  add(room, core.cf_frame_put_meta(room, size, ffi.C.CF_FRAME_META, meta))
  add(room, core.cf_frame_put_clock(room, size, START_NS, M.OFFSET_NS))
  for i = 0, cells - 1 do
    local cell = ffi.new("struct cf_plan_cell", { name = "cell-" .. i, interface = "eth0", hooks = 1 })
    add(room, core.cf_frame_put_cell(room, size, i, cell))
  end
  return kept
end

--- A cf_recording that writes to `fd`; free it with core.cf_recording_free.
function M.writer(fd, level)
  local recording, context, err = ffi.new("struct cf_recording"), ffi.new("int[1]", fd), ffi.new("struct cf_error")
  if core.cf_recording_begin(recording, core.cf_recording_write_fd, context, level or 1, err) < 0 then
    error(ffi.string(err.text))
  end
  return recording, context
end

local function checked(result, err)
  if result < 0 then error(ffi.string(err.text), 2) end
end

--- Write `events` events to `fd`. Options: seed (1), cells, rate, level, batch (the largest, 256), flush (a block for
--- each so many batches), cut (true: no END). Returns what was written: struct cf_recording_numbers, and seconds spent
--- making frames and adding them.
function M.write(fd, events, options)
  options = options or {}
  local traffic = M.traffic(options.seed or 1, options)
  local recording, context = M.writer(fd, options.level)
  local err, batch = ffi.new("struct cf_error"), ffi.new("struct cf_batch")
  local room, size = M.room()
  local framing, adding = 0, 0
  local function add(memory, len)
    checked(core.cf_recording_add(recording, memory, len, err), err)
  end
  local kept = M.begin(add, traffic.cells)
  local left, batches, most = events, 0, options.batch or 256
  while left > 0 do
    local count = math.min(left, most == 256 and 256 or traffic.random:below(most) + 1)
    traffic:batch(batch, count)
    local t0 = core.cf_monotonic_seconds()
    local len = core.cf_frame_put_batch(room, size, traffic.now + 1000, batch)
    local t1 = core.cf_monotonic_seconds()
    add(room, len)
    framing, adding = framing + t1 - t0, adding + core.cf_monotonic_seconds() - t1
    left, batches = left - count, batches + 1
    if options.flush and batches % options.flush == 0 then checked(core.cf_recording_flush(recording, err), err) end
  end
  if options.cut then
    checked(core.cf_recording_flush(recording, err), err)
  else
    checked(core.cf_recording_end(recording, traffic.now + 2000, 0, err), err)
  end
  local numbers = ffi.new("struct cf_recording_numbers", recording.numbers)
  core.cf_recording_free(recording)
  assert(#kept > 0 and context[0] == fd)
  return numbers, framing, adding
end

--- The bytes of a small recording, as a text. Options as of write.
function M.bytes(events, options)
  local path = os.tmpname()
  local descriptors = require("descriptors")
  local fd = descriptors.open(path, bit.bor(descriptors.O_WRONLY, descriptors.O_TRUNC))
  M.write(fd, events, options)
  descriptors.close(fd)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("*a")
  file:close()
  os.remove(path)
  return bytes
end

return M
