-- SPDX-License-Identifier: MIT
-- Captures through libcellflow.so: every frame of one or more files, checked, and their events as tables.
local ffi = require("ffi")
local core = require("spec.helper").core

ffi.cdef("typedef struct _IO_FILE FILE;")
require("core_headers")("capture")

local M = {}
local C = ffi.C
local PROTOCOLS = { [1] = "icmp", [6] = "tcp", [17] = "udp", [58] = "icmpv6" }

local function address(bytes, family)
  local out = ffi.new("char[46]")
  return ffi.string(out, core.cf_address_text(bytes, family, out))
end

--- An event as a table: what a flow is as text ("tcp 10.0.0.1 1 10.0.0.2 2"), and its numbers.
function M.event(e)
  local flow = ("%s %s %d %s %d"):format(PROTOCOLS[e.protocol] or e.protocol, address(e.src_addr, e.family),
    e.src_port + e.icmp_id, address(e.dst_addr, e.family), e.dst_port + e.icmp_id)
  return { flow = flow, kind = ffi.string(core.cf_name_kind(e.kind)), cell = e.cell, seq = tonumber(e.seq),
    direction = ffi.string(core.cf_name_direction(e.direction)), packets = tonumber(e.packets),
    bytes = tonumber(e.bytes), reply_packets = tonumber(e.reply_packets), reply_bytes = tonumber(e.reply_bytes),
    first = e.first_seen_ns, last = e.last_seen_ns, flags = e.flags, vlan = e.vlan, source = e.source, hook = e.hook,
    verdict = e.verdict, tcp_flags = e.tcp_flags, src = address(e.src_addr, e.family),
    dst = address(e.dst_addr, e.family), family = e.family, protocol = e.protocol,
    close_reason = e.close_reason ~= 0 and ffi.string(core.cf_name_close_reason(e.close_reason)) or nil }
end

local function options_of(o)
  local options, err = ffi.new("struct cf_capture_options"), ffi.new("struct cf_error")
  for _, net in ipairs(o.nets or {}) do
    if core.cf_capture_add_net(options, net, err) < 0 then return nil, ffi.string(err.text) end
  end
  for _, mac in ipairs(o.macs or {}) do
    if core.cf_capture_add_mac(options, mac, err) < 0 then return nil, ffi.string(err.text) end
  end
  if o.cell and core.cf_capture_name_cell(options, o.cell, err) < 0 then return nil, ffi.string(err.text) end
  for _, kind in ipairs(o.events or { "opened", "closed" }) do
    options.events = options.events + 2 ^ C["CF_KIND_" .. kind:upper()]
  end
  for i, seconds in ipairs(o.idle or {}) do options.idle_ns[i - 1] = seconds * 1e9 end
  options.update_ns = (o.update or 0) * 1e9
  options.flow_entries = o.entries or 0
  return options
end

local function open(paths, o)
  local options, why = options_of(o)
  if not options then return nil, why end
  local names, err = ffi.new("const char *[?]", #paths, paths), ffi.new("struct cf_error")
  local capture = core.cf_capture_open(names, #paths, options, err)
  if capture == nil then return nil, ffi.string(err.text), tonumber(err.kind) end
  return ffi.gc(capture, core.cf_capture_close)
end

local function numbers_of(capture)
  local n, out = core.cf_capture_numbers(capture), { unparsed = {}, told = {}, ended = {} }
  for _, name in ipairs({ "packets", "parsed", "foreign", "between", "flow_hit", "flow_new", "flow_full", "cut",
    "backwards", "misdated", "wire_bytes", "network_bytes", "batches", "events" }) do
    out[name] = tonumber(n[name])
  end
  out.first, out.last = n.first_ns, n.last_ns
  local unparsed = 0
  for i = 0, C.CF_CAPTURE_UNPARSED - 1 do
    local count = tonumber(n.unparsed[i])
    if count > 0 then out.unparsed[ffi.string(core.cf_name_unparsed(i))] = count end
    unparsed = unparsed + count
  end
  assert(out.packets == out.parsed + unparsed, "packets = parsed + unparsed")
  assert(out.parsed + out.between == out.foreign + out.flow_hit + out.flow_new + out.flow_full, "parsed = ...")
  return out
end

local function take_batch(out, frame, now)
  local batch, list = ffi.new("struct cf_batch"), {}
  core.cf_frame_get_batch(frame, now, batch)
  for i = 0, batch.count - 1 do
    list[i + 1] = M.event(batch.events[i])
    out.events[#out.events + 1] = list[i + 1]
  end
  out.batches[#out.batches + 1] = { now = now[0], events = list }
end

--- All of the files at `paths`. o: cell, nets, macs, events (names; opened and closed), idle (seconds: tcp, udp, icmp,
--- other), update (seconds), entries. Returns events, batches, frames (types), bytes (of all frames), cells (names),
--- numbers, files, error (text, or nil); or nil, why (and the kind of failure) when they cannot be opened.
function M.read(paths, o)
  local capture, why, kind = open(paths, o or {})
  if not capture then return nil, why, kind end
  local out = { events = {}, batches = {}, frames = {}, cells = {}, files = {} }
  local frame, err, now = ffi.new("struct cf_frame"), ffi.new("struct cf_error"), ffi.new("uint64_t[1]")
  local bytes, last = {}, 0ULL
  while true do
    local rc = core.cf_capture_next(capture, frame, err)
    if rc < 1 then
      if rc < 0 then out.error = ffi.string(err.text) end
      break
    end
    local wrong = core.cf_frame_check(frame)
    assert(wrong == nil, wrong ~= nil and ffi.string(wrong))
    local time = core.cf_frame_time(frame)
    assert(time == 0 or time >= last, "time goes back")
    last = time == 0 and last or time
    out.frames[#out.frames + 1] = tonumber(frame.type)
    bytes[#bytes + 1] = ffi.string(frame.bytes, frame.len)
    if frame.type == C.CF_FRAME_BATCH then take_batch(out, frame, now) end
    if frame.type == C.CF_FRAME_CELL then
      out.cells[#out.cells + 1] = ffi.string(ffi.cast("const struct cf_frame_cell *", frame.bytes).name)
    end
  end
  assert(out.error or core.cf_capture_next(capture, frame, err) == 0)
  out.bytes, out.numbers = table.concat(bytes), numbers_of(capture)
  for i = 0, core.cf_capture_file_count(capture) - 1 do
    local facts = ffi.new("struct cf_capture_file_facts")
    core.cf_capture_file(capture, i, facts)
    out.files[i + 1] = { link = ffi.string(facts.link), packets = tonumber(facts.packets), snaplen = facts.snaplen }
  end
  out.position = tonumber(core.cf_capture_position(capture))
  core.cf_capture_close(ffi.gc(capture, nil))
  return out
end

return M
