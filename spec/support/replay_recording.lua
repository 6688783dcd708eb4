-- SPDX-License-Identifier: MIT
-- Recordings frame by frame, for what a replay makes of each: times in seconds since the recording began, events by the
-- few fields that matter. Traffic in bulk is made_recording.lua's.
local ffi = require("ffi")
local bit = require("bit")
local helper = require("spec.helper")
local descriptors = require("descriptors")
local made = require("made_recording")

local core, C = helper.core, ffi.C
local M = { DIGEST = "sha256:as-recorded", START_S = 5000 }
local Recording = {}
Recording.__index = Recording

local MOMENTS = { start = 0, stop = 1, lost = 2, timer = 3 }
local LOSSES = { ring_full = 1, flow_full = 2, host_ring_full = 3, nflog_lost = 4, nflog_overrun = 5, refused = 6,
  skipped = 7, unrecorded = 8 }

local function ns(seconds) return ffi.cast("uint64_t", math.floor((M.START_S + seconds) * 1e6 + 0.5)) * 1000ULL end

local function add(self, len)
  assert(len > 0, "a frame that does not fit")
  local err = ffi.new("struct cf_error")
  assert(core.cf_recording_add(self.recording, self.room, len, err) == 0, ffi.string(err.text))
end

local function texts(options)
  local list = { "0.1.0", "lab-1", "6.18.0", options.run_id or "run-7" }
  list[5] = options.digest -- nil: none
  list[6], list[9] = options.keyset_id, "egress.lua"
  return list
end

local function add_meta(self, type, options)
  local meta, kept = made.meta({ generation = options.generation, texts = texts(options), args = options.args or {} })
  meta.recording, meta.part, meta.now_ns = 0, 0, ns(options.at or 0) -- as GENERATION has them
  if type == C.CF_FRAME_META then
    meta.recording, meta.part = options.recording or made.RECORDING, options.part or 0
  end
  add(self, core.cf_frame_put_meta(self.room, self.size, type, meta))
  assert(kept)
end

--- A recording to be written to `path`, with META, CLOCK and the cells "web" and "db". Options: generation, part,
--- recording (its number), run_id, digest (M.DIGEST; false: none), keyset_id, args (name, value, ...), cells (names).
function M.new(path, options)
  options = options or {}
  if options.digest == nil then options.digest = M.DIGEST end
  options.digest = options.digest or nil
  io.open(path, "w"):close()
  local self = setmetatable({ seq = 0 }, Recording)
  self.fd = descriptors.open(path, bit.bor(descriptors.O_WRONLY, descriptors.O_TRUNC))
  self.recording, self.context = made.writer(self.fd)
  self.room, self.size = made.room()
  add_meta(self, C.CF_FRAME_META, options)
  self:clock(0, 0)
  self:cells(options.cells or { "web", "db" })
  return self
end

function Recording:cells(names)
  for i, name in ipairs(names) do
    local cell = ffi.new("struct cf_plan_cell", { name = name, interface = "eth" .. i, hooks = 1 })
    add(self, core.cf_frame_put_cell(self.room, self.size, i - 1, cell))
  end
end

--- The time of day is `ahead` seconds more than made.OFFSET_NS says.
function Recording:clock(at, ahead)
  local offset = made.OFFSET_NS + ffi.cast("int64_t", ahead * 1e9)
  add(self, core.cf_frame_put_clock(self.room, self.size, ns(at), offset))
end

--- Another policy was put in force.
function Recording:generation(options)
  add_meta(self, C.CF_FRAME_GENERATION, options)
  self:cells(options.cells or { "web", "db" })
end

--- Events: { cell (0), dst_port (443), at (the batch's) }, each opened by a TCP SYN.
function Recording:batch(at, events)
  local batch = ffi.new("struct cf_batch")
  batch.count = #events
  for i, from in ipairs(events) do
    local event = batch.events[i - 1]
    self.seq = self.seq + 1
    event.seq, event.cell, event.kind, event.source, event.hook, event.direction = self.seq, from.cell or 0, 1, 1, 1, 1
    event.family, event.protocol, event.verdict, event.flags, event.tcp_flags = 4, 6, 1, 9, 2
    event.src_addr[0], event.dst_addr[0], event.dst_addr[3] = 10, 10, from.host or 1
    event.src_port, event.dst_port, event.packets, event.bytes = 40000, from.dst_port or 443, 1, 60
    event.first_seen_ns = ns(from.at or at)
    event.last_seen_ns = event.first_seen_ns
  end
  add(self, core.cf_frame_put_batch(self.room, self.size, ns(at), batch))
end

function Recording:moment(at, which, lost, total)
  add(self, core.cf_frame_put_moment(self.room, self.size, ns(at), MOMENTS[which], lost or 0, total or 0))
end

--- `losses`: by name.
function Recording:loss(at, losses)
  local list, count = ffi.new("struct cf_loss[8]"), 0
  for what, lost in pairs(losses) do
    list[count] = { lost, LOSSES[what], C.CF_LOSS_OF_NO_CELL }
    count = count + 1
  end
  add(self, core.cf_frame_put_loss(self.room, self.size, ns(at), list, count))
end

--- options: continues (another part follows), cut (no END: its writer was killed).
function Recording:close(at, options)
  local err = ffi.new("struct cf_error")
  options = options or {}
  local rc = options.cut and core.cf_recording_flush(self.recording, err)
    or core.cf_recording_end(self.recording, ns(at), options.continues and 1 or 0, err)
  assert(rc == 0, ffi.string(err.text))
  core.cf_recording_free(self.recording)
  descriptors.close(self.fd)
end

return M
