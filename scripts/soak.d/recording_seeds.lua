-- SPDX-License-Identifier: MIT
-- scripts/soak.d/recording_seeds.lua DIR: inputs for the fuzz target of recordings, in DIR/recording. Each is there in
-- the three ways that the target knows (spec/fuzz/recording.c).
package.path = "./?.lua;" .. package.path
require("spec.helper")
local ffi = require("ffi")
local file = require("recording_file")
local made = require("made_recording")
local core = require("spec.helper").core

local directory = assert(arg[1], "usage: luajit scripts/soak.d/recording_seeds.lua DIR") .. "/recording"
local written = 0

local function write(...)
  written = written + 1
  local handle = assert(io.open(("%s/seed-%d"):format(directory, written), "wb"))
  assert(handle:write(...))
  handle:close()
end

-- The same blocks with data that are not compressed; `packed`: in columns.
local function uncompressed(bytes, packed)
  local out, offsets, at, number = {}, file.block_offsets(bytes), 1, 1
  local heads = {}
  for i = 1, #offsets - 1 do heads[i] = bytes:sub(offsets[i] + 1, offsets[i] + file.HEAD_LEN) end
  local frames = file.read(bytes).frames
  while number <= #heads do
    local head = ffi.new("struct cf_block_head")
    ffi.copy(head, heads[number], file.HEAD_LEN)
    local text = table.concat(frames, "", at, at + head.frames - 1)
    at, number = at + head.frames, number + 1
    if packed then
      local memory = ffi.new("uint8_t[?]", #text + 16)
      core.cf_pack(text, #text, memory)
      text = ffi.string(memory, #text + 16)
    else
      head.flags = 0
    end
    head.data_len = #text
    out[#out + 1] = ffi.string(head, file.HEAD_LEN) .. text
  end
  return table.concat(out), table.concat(frames)
end

assert(os.execute(("mkdir -p '%s'"):format(directory)) == 0)
for seed = 1, 12 do
  local bytes = made.bytes(seed * 2, { seed = seed, batch = seed % 4 + 1, flush = seed % 3 + 1, cut = seed % 5 == 0 })
  local plain, frames = uncompressed(bytes, false)
  write("\0", bytes)
  write("\1", plain)
  write("\1", (uncompressed(bytes, true)))
  write("\2", frames)
end
