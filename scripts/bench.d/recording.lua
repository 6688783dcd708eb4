-- SPDX-License-Identifier: MIT
-- What recording costs: a million events of made-up traffic made into frames, into blocks and a file, and read again,
-- in full batches and in small ones, at two levels of compression.
--   make lib && luajit scripts/bench.d/recording.lua [EVENTS]
package.path = "./?.lua;" .. package.path
require("spec.helper")
local bit = require("bit")
local ffi = require("ffi")
local descriptors = require("descriptors")
local made = require("made_recording")
local core = require("spec.helper").core

local events = tonumber(arg[1]) or 1000000
local path = os.tmpname()

-- Seconds that reading takes, with the events copied out of their frames.
local function read()
  local reader, err, frame = ffi.new("struct cf_reader"), ffi.new("struct cf_error"), ffi.new("struct cf_frame")
  local now, batch = ffi.new("uint64_t[1]"), ffi.new("struct cf_batch")
  local count, before = 0, core.cf_monotonic_seconds()
  assert(core.cf_reader_open(reader, path, err) == 0, ffi.string(err.text))
  while core.cf_reader_next(reader, frame, err) > 0 do
    if frame.type == ffi.C.CF_FRAME_BATCH then
      core.cf_frame_get_batch(frame, now, batch)
      count = count + batch.count
    end
  end
  local took = core.cf_monotonic_seconds() - before
  assert(count == events and reader.is_ended == 1, "not all was read")
  core.cf_reader_close(reader)
  return took
end

print("| events in a batch | level | frame, ns an event | block and file, ns an event | bytes an event "
  .. "| read, events/s |")
print("|---|---|---|---|---|---|")
for _, options in ipairs({ { level = 1 }, { level = 3 }, { level = 1, batch = 8 } }) do
  local fd = descriptors.open(path, bit.bor(descriptors.O_WRONLY, descriptors.O_TRUNC))
  local numbers, framing, adding = made.write(fd, events, options)
  descriptors.close(fd)
  local took = read()
  print(("| %s | %d | %.1f | %.0f | %.1f | %.1f million |"):format(options.batch and "1 to " .. options.batch or "256",
    options.level, framing / events * 1e9, adding / events * 1e9, tonumber(numbers.file_bytes) / events,
    events / took / 1e6))
end
os.remove(path)
