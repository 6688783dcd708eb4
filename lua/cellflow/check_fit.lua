-- SPDX-License-Identifier: MIT
-- Changes a made-up event so that it meets the match of a handler, which most events would not: without it the function
-- behind `dst_port = 22` would never be tried. The match itself has the last word.
local bit = require("bit")
local ffi = require("ffi")
local event = require("cellflow.event")

local C = ffi.C
local M = {}

local MEMBERS = { packet_count = "packets", byte_count = "bytes", reply_packet_count = "reply_packets",
  reply_byte_count = "reply_bytes", protocol_number = "protocol" }
local FLAGS = { src_port = C.CF_EVENT_PORTS, dst_port = C.CF_EVENT_PORTS, icmp_type = C.CF_EVENT_ICMP,
  icmp_code = C.CF_EVENT_ICMP, icmp_id = C.CF_EVENT_ICMP_ID, vlan = C.CF_EVENT_VLAN, tcp_flags = C.CF_EVENT_TCP }
local TIMES = { time = true, first_seen = true, last_seen = true, duration = true } -- left as they are
local CELLS = { cell_id = "name", interface = "interface" }

local function put_text(raw, name, text, cells)
  local member = CELLS[name]
  if name == "nft_rule" then text = "cellflow:deny:" .. text:sub(1, C.CF_EVENT_PREFIX_LEN - 16) end
  if not member then
    ffi.fill(raw.prefix, C.CF_EVENT_PREFIX_LEN)
    ffi.copy(raw.prefix, text, #text)
    return
  end
  for slot, cell in pairs(cells) do
    if cell[member] == text then raw.cell = slot end
  end
end

local function put(raw, name, cond, cells)
  local first = cond.list[1]
  if cond.kind == "nets" then
    raw.family = first.family
    ffi.copy(raw[name], first.bytes, 16)
  elseif cond.kind == "texts" then
    put_text(raw, name, first, cells)
  elseif event.truths[name] then
    raw.flags = bit.bor(bit.band(raw.flags, bit.bnot(event.truths[name])), first == 1 and event.truths[name] or 0)
  elseif not TIMES[name] then
    raw[MEMBERS[name] or name] = cond.kind == "ranges" and first[1] or first
  end
  raw.flags = bit.bor(raw.flags, FLAGS[name] or 0)
end

--- `conditions` as of match.lua; `cells` a table by slot of { name =, interface = }.
function M.fit(raw, conditions, cells)
  for name, cond in pairs(conditions) do put(raw[0], name, cond, cells) end
end

return M
