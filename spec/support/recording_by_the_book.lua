-- SPDX-License-Identifier: MIT
--
-- A second reader of recordings, made from docs/recordings.md alone and sharing no code with core/: whatever it reads
-- otherwise is wrong there or here. It believes everything, and checks nothing but that nothing is left over.
local bit = require("bit")
local ffi = require("ffi")
local helper = require("spec.helper")
require("recording_file") -- declares zstd's and xxHash's functions
ffi.cdef("size_t ZSTD_decompress(void *out, size_t size, const void *in, size_t len);")

local lib = helper.core
local M = {}

local WORD = ffi.typeof("union { uint64_t number; uint8_t bytes[8]; }")

local function number(text, at, len)
  local value = WORD()
  ffi.copy(value.bytes, text:sub(at + 1, at + len), len)
  return len < 8 and tonumber(value.number) or value.number
end

local function bytes_of(value)
  return ffi.string(ffi.new("uint64_t[1]", value), 8)
end

local function unzigzag(value)
  local half = bit.rshift(value, 1)
  return bit.band(value, 1ULL) == 1 and bit.bnot(half) or half
end

-- Part 3 of a packed block: the events, each 128 bytes.
local function events_of(columns, count)
  local events, last, seq = {}, 0ULL, {}
  for i = 0, count - 1 do
    local row = {}
    for c = 0, 127 do row[c + 1] = columns:sub(c * count + i + 1, c * count + i + 1) end
    local text = table.concat(row)
    -- The offsets of struct cf_event, whose text is core/event.h.
    local function at(field) return ffi.offsetof("struct cf_event", field) end
    local slot = (number(text, at("cell"), 4) * 16 + number(text, at("cpu"), 2)) % 1024
    last = last + unzigzag(number(text, at("last_seen_ns"), 8))
    local first = last - unzigzag(number(text, at("first_seen_ns"), 8))
    seq[slot] = (seq[slot] or 0ULL) + unzigzag(number(text, at("seq"), 8))
    local event = ffi.new("struct cf_event")
    ffi.copy(event, text, 128)
    event.first_seen_ns, event.last_seen_ns, event.seq = first, last, seq[slot]
    events[i + 1] = ffi.string(event, 128)
  end
  return events
end

local function unpack_block(data)
  local frames_len, count, prefixes = number(data, 0, 4), number(data, 4, 4), number(data, 8, 4)
  assert(number(data, 12, 4) == 0)
  local events = events_of(data:sub(17 + frames_len, 16 + frames_len + count * 128), count)
  local frames, at, event, prefix = {}, 16, 0, 16 + frames_len + count * 128
  while at < 16 + frames_len do
    local len, kind = number(data, at, 4), number(data, at + 4, 2)
    local lead, parts = len, {}
    if kind == 5 then
      local of_batch = number(data, at + 16, 4)
      lead = 24 + math.ceil(of_batch / 64) * 8
      parts[1] = data:sub(at + 1, at + lead)
      for i = 0, of_batch - 1 do
        event = event + 1
        parts[#parts + 1] = events[event]
        if bit.band(bit.rshift(number(data, at + 24 + math.floor(i / 8), 1), i % 8), 1) == 1 then
          parts[#parts + 1] = data:sub(prefix + 1, prefix + 128)
          prefix = prefix + 128
        end
      end
    else
      parts[1] = data:sub(at + 1, at + len)
    end
    frames[#frames + 1] = table.concat(parts)
    assert(#frames[#frames] == len, "a frame's len")
    at = at + lead
  end
  assert(event == count and prefix == #data and prefix == 16 + frames_len + (count + prefixes) * 128)
  return frames
end

--- The frames of a recording, as texts.
function M.frames(file)
  local all, at, blocks = {}, 0, 0
  while at < #file do
    local head = file:sub(at + 1, at + 80)
    assert(head:sub(1, 8) == "cellflow" and number(head, 8, 2) == 1 and number(head, 12, 4) == 1)
    local raw_len, data_len = number(head, 16, 4), number(head, 20, 4)
    local data = file:sub(at + 81, at + 80 + data_len)
    assert(lib.XXH64(data, #data, 0) == number(head, 64, 8) and lib.XXH64(head, 72, 0) == number(head, 72, 8))
    local out = ffi.new("uint8_t[?]", raw_len + 16)
    assert(tonumber(lib.ZSTD_decompress(out, raw_len + 16, data, #data)) == raw_len + 16)
    local frames = unpack_block(ffi.string(out, raw_len + 16))
    assert(#frames == number(head, 24, 4) and #table.concat(frames) == raw_len)
    assert(bytes_of(number(head, 40, 8)) == bytes_of(blocks))
    for _, frame in ipairs(frames) do all[#all + 1] = frame end
    at, blocks = at + 80 + data_len, blocks + 1
  end
  assert(at == #file)
  return all
end

return M
