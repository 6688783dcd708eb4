-- SPDX-License-Identifier: MIT
-- Flow tables of user space for specs: sets in memory of their own, packets as fields instead of bytes, and the struct
-- of a sweep whose events are collected in a list.
local ffi = require("ffi")
local bit = require("bit")
local helper = require("spec.helper")
require("core_headers")("flow", "packet", "flow_table", "sweep")

local C, core = ffi.C, helper.core
local M = { core = core }

--- A struct cf_flow_table of `sets` sets (a power of two); `flows`: FLOWS, mapped, when it is to be that.
function M.table(sets, seed, flows)
  local made = ffi.new("struct cf_flow_table")
  local own = flows or ffi.new("struct cf_flow[?]", core.cf_flow_table_size(sets) / ffi.sizeof("struct cf_flow") + 1)
  if flows then core.cf_flow_table_map(made, flows, sets) else core.cf_flow_table_place(made, own, sets) end
  core.cf_flow_secret_make(seed or 42, made.secret)
  return made, own -- the second keeps the memory alive
end

local function ipv4(bytes, text)
  local i = 0
  for part in text:gmatch("%d+") do
    bytes[i] = tonumber(part)
    i = i + 1
  end
end

--- A sorted key, whose first end has the lower address: p has a, b (IPv4 text), port_a, port_b, protocol, cell.
function M.key(p)
  local key = ffi.new("struct cf_flow_key", { cell = p.cell or 0, family = 4, protocol = p.protocol or 17 })
  ipv4(key.addr[0], p.a or "192.0.2.1")
  ipv4(key.addr[1], p.b or "198.51.100.2")
  key.port[0], key.port[1] = p.port_a or 40000, p.port_b or 53
  return key
end

--- Count one packet of p (as for M.key; also tcp_flags, now, bytes, direction, end_, events, ifindex). Returns the
-- result (enum cf_stat), the entry, and the struct cf_flow_ended.
function M.account(made, p)
  local tcp = p.protocol == 6
  local facts = ffi.new("struct cf_packet", { flags = C.CF_EVENT_PORTS + (tcp and C.CF_EVENT_TCP or 0),
    tcp_flags = tcp and p.tcp_flags or 0 })
  local load = ffi.new("struct cf_load", { packets = 1, bytes = p.bytes or 28, now = p.now })
  local direction = p.direction or 0
  local origin = ffi.new("struct cf_flow_origin", { ifindex = p.ifindex or 0, direction = direction,
    source_end = p.end_ or 0, hook = p.hook or (direction == 0 and C.CF_HOOK_TC_EGRESS or C.CF_HOOK_TC_INGRESS),
    verdict = direction == 0 and C.CF_VERDICT_ACCEPT or C.CF_VERDICT_UNKNOWN, events = p.events or 10 })
  local flow, ended = ffi.new("struct cf_flow *[1]"), ffi.new("struct cf_flow_ended")
  local result = core.cf_flow_table_account(made, M.key(p), facts, load, origin, flow, ended)
  return result, flow[0], ended
end

--- A sweep of a table. told: list of { kind, reason, cell, port, packets } as fn was given them; while `refuse` is a
-- number, so many more are taken and then none.
function M.sweep(made, options)
  local self = { told = {}, refuse = nil }
  local idle = options.idle_ns or 1000000000
  local settings = ffi.new("struct cf_sweep_options", { linger_ns = options.linger_ns or 100000000,
    update_ns = options.update_ns or 0, wants = options.wants, remembers = options.remembers and 1 or 0 })
  for i = 0, 3 do settings.idle_ns[i] = type(idle) == "table" and idle[i + 1] or idle end
  local fn = ffi.cast("cf_sweep_fn *", function(_, flow, kind, reason)
    if self.refuse then
      if self.refuse == 0 then return -1 end
      self.refuse = self.refuse - 1
    end
    table.insert(self.told, { tonumber(kind), tonumber(reason), flow.key.cell, flow.key.port[0],
      tonumber(flow.packets[0] + flow.packets[1]) })
    return 0
  end)
  self.sweep, self.settings, self.fn, self.made = ffi.new("struct cf_sweep"), settings, fn, made
  core.cf_sweep_init(self.sweep, made, settings, fn, nil)
  function self.some(now, sets) return core.cf_sweep_some(self.sweep, now, sets or made.set_count) end
  function self.close(slot, reason, now) return core.cf_sweep_close(self.sweep, slot, reason, now) end
  function self.take()
    local told = self.told
    self.told = {}
    return told
  end
  jit.off(self.some) -- compiled code may not call C that calls back
  jit.off(self.close)
  return self
end

--- Whether the flow has the flag.
function M.has(flow, flag) return bit.band(flow.flags, flag) ~= 0 end

return M
