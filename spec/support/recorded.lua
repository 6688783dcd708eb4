-- SPDX-License-Identifier: MIT
--
-- What a recording says, part after part: the events in their order with the ids and times that their records have,
-- worked out from the recording alone, and what else is in it. Also the same of an output, to compare with.
local ffi = require("ffi")
local helper = require("spec.helper")
local output = require("output_core")
require("core_headers")("error", "plan_check", "recording", "frame", "recording_read")

local core, C = helper.core, ffi.C
local M = {}
local TYPES = { "meta", "cell", "generation", "clock", "batch", "moment", "loss", "end" }
local MOMENTS = { [0] = "start", "stop", "lost", "timer" }

local function cast(kind, frame) return ffi.cast("const struct cf_frame_" .. kind .. " *", frame.bytes) end

local on = {}

-- Who decides: its cells follow.
function on.meta(all, frame, kind)
  local meta = ffi.new("struct cf_meta")
  core.cf_frame_get_meta(frame, meta)
  if all.plan then core.cf_plan_free(all.plan) end
  all.plan, all.is_bound = core.cf_plan_new(), false
  if meta.texts[C.CF_META_RUN_ID] ~= nil then
    ffi.copy(all.plan.metadata.run_id, ffi.string(meta.texts[C.CF_META_RUN_ID]))
  end
  local list = kind == "meta" and all.parts or all.generations
  list[#list + 1] = { part = meta.part, generation = meta.generation, recording = meta.recording }
end
on.generation = on.meta

function on.cell(all, frame)
  local cell, from = core.cf_plan_add_cell(all.plan), cast("cell", frame)
  assert(from.index == all.plan.cell_count - 1)
  ffi.copy(cell.name, ffi.string(from.name))
  ffi.copy(cell.interface, ffi.string(from.interface))
  ffi.copy(cell.run_id, ffi.string(from.run_id))
  all.cells[#all.cells + 1] = ffi.string(from.name)
end

function on.clock(all, frame) all.offset = cast("clock", frame).offset_ns end

local text = ffi.new("char[64]")
function on.batch(all, frame)
  if not all.is_bound then
    assert(output.cf_record_bind(all.plan, nil) == 0)
    all.is_bound = true
  end
  assert(all.offset, "no CLOCK before the first batch")
  output.cf_clock_set_offset(all.offset)
  core.cf_frame_get_batch(frame, all.now, all.batch)
  for i = 0, all.batch.count - 1 do
    local event = all.batch.events[i]
    local id = ffi.string(text, core.cf_decision_id_text(event, text))
    all.events[#all.events + 1] = id .. " " .. ffi.string(text, core.cf_time_text(event.last_seen_ns, text))
  end
end

function on.moment(all, frame) all.moments[#all.moments + 1] = MOMENTS[cast("moment", frame).moment] end

function on.loss(all, frame)
  local head = cast("loss", frame)
  local losses = ffi.cast("const struct cf_loss *", frame.bytes + ffi.sizeof("struct cf_frame_loss"))
  for i = 0, head.count - 1 do
    local name = ffi.string(core.cf_name_loss(losses[i].what))
    all.lost[name] = (all.lost[name] or 0) + tonumber(losses[i].lost)
  end
end

on["end"] = function() end

local function read(all, path)
  local reader, frame, err = ffi.new("struct cf_reader"), ffi.new("struct cf_frame"), ffi.new("struct cf_error")
  local rc = core.cf_reader_open(reader, path, err)
  local order = {}
  while rc == 0 do
    local more = core.cf_reader_next(reader, frame, err)
    if more <= 0 then break end
    local kind = TYPES[tonumber(frame.type)]
    order[#order + 1] = kind
    on[kind](all, frame, kind)
  end
  all.files[#all.files + 1] = { ended = reader.is_ended == 1, continues = reader.continues == 1, order = order,
    damage = tonumber(reader.damage), blocks = tonumber(reader.numbers.blocks) }
  core.cf_reader_close(reader)
end

--- Read the parts in `paths`: events ("decision_id observed_at", in order), files, parts, generations, cells, moments,
--- lost (by name).
function M.read(...)
  local all = { events = {}, files = {}, parts = {}, generations = {}, cells = {}, moments = {}, lost = {},
    now = ffi.new("uint64_t[1]"), batch = ffi.new("struct cf_batch") }
  for _, path in ipairs({ ... }) do read(all, path) end
  output.cf_clock_follow()
  output.cf_record_unbind()
  if all.plan then core.cf_plan_free(all.plan) end
  return all
end

--- The parts of a recording that are there: FILE, FILE.1, ...
function M.parts(path)
  local list, i = {}, 0
  repeat
    local name = i == 0 and path or ("%s.%d"):format(path, i)
    local file = io.open(name)
    if file then
      file:close()
      list[#list + 1] = name
    end
    i = i + 1
  until not file
  return list
end

--- The records in an output's text, as the events of read().
function M.of_output(lines)
  local list = {}
  for line in lines:gmatch("[^\n]+") do
    local id, time = line:match('"decision_id":"([^"]+)"'), line:match('"observed_at":"([^"]+)"')
    if id then list[#list + 1] = id .. " " .. time end
  end
  return list
end

--- An error that names the first difference, or nothing. `may_end` true: `got` may have less, at its end.
function M.same(expected, got, may_end)
  for i = 1, math.min(#expected, #got) do
    if expected[i] ~= got[i] then
      error(("event %d of %d and %d: %s is not %s"):format(i, #expected, #got, got[i], expected[i]), 2)
    end
  end
  if #got > #expected or (#got < #expected and not may_end) then
    error(("%d events, not %d"):format(#got, #expected), 2)
  end
end

return M
