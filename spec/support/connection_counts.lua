-- SPDX-License-Identifier: MIT
-- A count of connections by core, in M.set, and events for it: what its specs have in common.
local ffi = require("ffi")
local bit = require("bit")
local core = require("spec.helper").core
local recording_core = require("recording_core")
require("core_headers")("hash", "sketch", "connection_set", "connections", "outcome")

local C = ffi.C
local M = { PORTS = C.CF_EVENT_PORTS, AGAIN = { C.CF_EVENT_REOPENED, C.CF_EVENT_MIDSTREAM } }

--- Begin with none.
function M.make(cap)
  M.set = ffi.gc(core.cf_connections_new(cap or 1000), core.cf_connections_free)
  assert(M.set ~= nil)
end

function M.event(fields) return recording_core.fill(ffi.new("struct cf_event"), fields) end

--- An event that differs from others by `number`: its ports, its time.
function M.numbered(number, fields)
  local made = M.event(fields)
  made.src_port, made.dst_port = number % 65536, math.floor(number / 65536)
  made.first_seen_ns = 1000 + number
  return made
end

function M.add(fields) core.cf_connections_add(M.set, M.event(fields)) end

--- The same tuple, which is no other connection.
function M.add_again(fields)
  local made = M.event(fields)
  made.flags = bit.bor(made.flags, M.AGAIN[1])
  core.cf_connections_add(M.set, made)
end

function M.add_numbers(first, last, fields)
  for i = first, last do core.cf_connections_add(M.set, M.numbered(i, fields)) end
end

--- The number, and all that is said of it.
function M.run()
  local out = ffi.new("struct cf_connection_count")
  core.cf_connections_of_run(M.set, out)
  return tonumber(out.count), out
end

function M.of_cell(slot)
  local out = ffi.new("struct cf_connection_count")
  core.cf_connections_of_cell(M.set, slot, out)
  return tonumber(out.count), out
end

return M
