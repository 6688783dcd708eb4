-- SPDX-License-Identifier: MIT
--
-- Recordings as texts: reading one to its end, and making blocks that no writer makes, with right checksums.
local ffi = require("ffi")
local helper = require("spec.helper")
local descriptors = require("descriptors")
local made = require("made_recording")
require("core_headers")("error", "recording", "frame", "recording_write", "recording_read", "recording_pack")

-- Found through libcellflow.so, which is linked with both.
ffi.cdef([[
size_t ZSTD_compress(void *out, size_t size, const void *in, size_t len, int level);
size_t ZSTD_compressBound(size_t len);
uint64_t XXH64(const void *in, size_t len, uint64_t seed);
]])

local core, C = helper.core, ffi.C
local M = { HEAD_LEN = ffi.sizeof("struct cf_block_head") }
local room, size = made.room()
M.room, M.room_size = room, size

--- The first `len` bytes of the room where frames are made.
function M.frame(len) return ffi.string(room, tonumber(len)) end

--- Frames as texts.
function M.meta_frame()
  local meta, kept = made.meta()
  local text = M.frame(core.cf_frame_put_meta(room, size, C.CF_FRAME_META, meta))
  assert(#kept > 0)
  return text
end

function M.clock_frame(now) return M.frame(core.cf_frame_put_clock(room, size, now or 1, 1)) end

function M.end_frame(batches, events) return M.frame(core.cf_frame_put_end(room, size, 9, batches, events, 0)) end

--- A batch of `count` random events, which `change` may change.
function M.batch_frame(r, count, change)
  local batch = ffi.new("struct cf_batch")
  batch.count = count
  for i = 0, count - 1 do made.any_event(r, batch.events[i]) end
  if change then change(batch) end
  return M.frame(core.cf_frame_put_batch(room, size, 5, batch))
end

--- A frame of a type that nobody knows.
function M.strange_frame(r)
  local body = r:bytes(8 * r:below(20))
  return ffi.string(ffi.new("struct cf_frame_head", 8 + #body, 9 + r:below(60000)), 8) .. body
end

--- A memfd that holds `bytes`, to be read from its begin.
function M.descriptor(bytes)
  local fd = descriptors.memory(0)
  if #bytes > 0 then descriptors.write(fd, bytes) end
  C.lseek(fd, 0, 0)
  return fd
end

--- Read what `bytes` holds: { frames (texts), damage, error, ended, numbers }.
function M.read(bytes)
  local reader, err, frame = ffi.new("struct cf_reader"), ffi.new("struct cf_error"), ffi.new("struct cf_frame")
  assert(core.cf_reader_take(reader, M.descriptor(bytes), "made", err) == 0)
  local found = { frames = {} }
  local rc
  repeat
    rc = core.cf_reader_next(reader, frame, err)
    if rc > 0 then found.frames[#found.frames + 1] = ffi.string(frame.bytes, frame.len) end
  until rc <= 0
  found.damage = tonumber(reader.damage)
  found.error = rc < 0 and ffi.string(err.text) or nil
  found.ended = reader.is_ended == 1 and rc == 0
  found.numbers = ffi.new("struct cf_reader_numbers", reader.numbers)
  assert(core.cf_reader_next(reader, frame, err) == rc, "the end is not the end")
  core.cf_reader_close(reader)
  return found
end

--- Where each block begins, and where the last one ends.
function M.block_offsets(bytes)
  local offsets, at = { 0 }, 0
  while at < #bytes do
    local head = ffi.cast("const struct cf_block_head *", ffi.cast("const char *", bytes) + at)
    at = at + M.HEAD_LEN + head.data_len
    offsets[#offsets + 1] = at
  end
  return offsets
end

--- The type of a frame.
function M.type(frame) return frame:byte(5) + 256 * frame:byte(6) end

-- A frame's numbers, added up into the head that it should have.
local function sum(head, text)
  local frame = ffi.new("struct cf_frame")
  local at = ffi.new("size_t[1]")
  while core.cf_frame_next(text, #text, at, frame) > 0 do
    head.frames = head.frames + 1
    if core.cf_frame_check(frame) == nil then
      local time = core.cf_frame_time(frame)
      head.events = head.events + core.cf_frame_events(frame)
      if time ~= 0 and (head.first_ns == 0 or time < head.first_ns) then head.first_ns = time end
      if time > head.last_ns then head.last_ns = time end
    end
  end
end

--- A block of the frames in `text`. Fields of its head as in `lies`; lies.data: the data in place of `text`, not yet
--- compressed; lies.compressed: compressed.
function M.block(number, text, lies)
  lies = lies or {}
  local head = ffi.new("struct cf_block_head")
  ffi.copy(head.magic, "cellflow", 8)
  head.major, head.number, head.raw_len = C.CF_RECORDING_MAJOR, number, #text
  head.recording = made.RECORDING
  sum(head, text)
  local plain = lies.data or text
  local bound = tonumber(core.ZSTD_compressBound(#plain))
  local out = ffi.new("uint8_t[?]", bound)
  local data = lies.compressed or ffi.string(out, tonumber(core.ZSTD_compress(out, bound, plain, #plain, 1)))
  head.data_len = #data
  for name, value in pairs(lies) do
    if name ~= "data" and name ~= "compressed" then head[name] = value end
  end
  head.data_hash = lies.data_hash or core.XXH64(data, #data, 0)
  head.head_hash = lies.head_hash or core.XXH64(head, ffi.offsetof(head, "head_hash"), 0)
  return ffi.string(head, M.HEAD_LEN) .. data
end

return M
