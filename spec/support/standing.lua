-- SPDX-License-Identifier: MIT
-- Cells as the supervisor watches them (core/cells.c), in this process and without a policy: add some, read their
-- events and numbers. And frames that leave a namespace by a packet socket that passes the qdisc, and with it tc, by.
local ffi = require("ffi")
local privileged = require("privileged")
require("core_headers")("error", "ring", "peer", "stand", "bypass", "cells")

ffi.cdef([[
struct standing_sockaddr_ll { uint16_t family, protocol; int ifindex; uint16_t type; uint8_t kind, halen, addr[8]; };
int socket(int family, int type, int protocol);
int setsockopt(int fd, int level, int name, const void *value, uint32_t len);
ssize_t sendto(int fd, const void *at, size_t len, int flags, const void *address, uint32_t address_len);
unsigned int if_nametoindex(const char *name);
]])

local AF_PACKET, SOCK_RAW, SOL_PACKET, PACKET_QDISC_BYPASS = 17, 3, 263, 20

local core = privileged.core
local M = {}
local World = {}
World.__index = World

function M.open()
  local err = ffi.new("struct cf_error")
  local self = setmetatable({ cells = ffi.new("struct cf_cells"), position = ffi.new("uint64_t[1]") }, World)
  local options = ffi.new("struct cf_cells_options", { flow_entries = 4096, ring_bytes = 1048576 })
  assert(core.cf_cells_open(self.cells, options, err) == 0, ffi.string(err.text))
  return self
end

--- fields: name, netns, pid, interface, attach, stand, hooks (default: egress), bpf_object. The cell, or nil and why.
function World:add(fields)
  local plan, err = privileged.cell(fields), ffi.new("struct cf_error")
  plan.stand, plan.hooks = fields.stand or 0, fields.hooks or ffi.C.CF_PLAN_EGRESS
  plan.sources = ffi.C.CF_SOURCES_EBPF
  plan.bpf_object = fields.bpf_object or ""
  local cell = core.cf_cells_add(self.cells, plan, nil, err)
  if cell == nil then return nil, ffi.string(err.text) end
  return cell
end

--- The events since the last call, as a list of copies.
function World:events()
  local list, err = {}, ffi.new("struct cf_error")
  if not self.ring then
    self.ring = ffi.new("struct cf_ring")
    local maps = self.cells.maps
    assert(core.cf_ring_open_slots(self.ring, maps.ring_fd, maps.bell_fd, self.cells.ring_size, err) == 0,
      ffi.string(err.text))
  end
  local batch, refused = ffi.new("struct cf_batch"), ffi.new("uint32_t[2]")
  repeat
    local taken = core.cf_ring_take(self.ring, self.position, batch, ffi.C.CF_BATCH_MAX, refused, refused + 1)
    for i = 0, batch.count - 1 do list[#list + 1] = ffi.new("struct cf_event", batch.events[i]) end
  until taken == 0
  assert(refused[0] == 0)
  return list
end

--- Counters of a cell by name of enum cf_stat, without its prefix: packets(cell, "EGRESS_PACKETS").
function World:packets(cell, which)
  core.cf_cells_stats(self.cells, ffi.new("struct cf_stats"))
  return tonumber(cell.stats.n[ffi.C["CF_STAT_" .. which]])
end

--- What a pair counted: at the peer, inside, and how many of the former the latter did not see.
function World:pair(cell)
  local inside = self:packets(cell, "EGRESS_PACKETS")
  return tonumber(cell.bypass.packets), inside, tonumber(core.cf_bypass_count(cell.bypass, cell.stats))
end

function World:check() return core.cf_cells_check(self.cells, core.CF_CELLS_ALL) end

function World:close()
  if self.ring then core.cf_ring_close(self.ring) end
  core.cf_cells_close(self.cells)
end

--- Send a frame `count` times from an interface of a namespace. `bypass`: not through the qdisc.
function M.send(netns, interface, frame, count, bypass)
  privileged.inside(privileged.cell({ netns = netns }), function()
    local fd = ffi.C.socket(AF_PACKET, SOCK_RAW, 0)
    assert(fd >= 0, "packet socket")
    local to = ffi.new("struct standing_sockaddr_ll",
      { family = AF_PACKET, ifindex = ffi.C.if_nametoindex(interface) })
    if bypass then
      assert(ffi.C.setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, ffi.new("int[1]", 1), 4) == 0)
    end
    local sent = 0
    for _ = 1, count do
      if ffi.C.sendto(fd, frame, #frame, 0, to, ffi.sizeof(to)) == #frame then sent = sent + 1 end
    end
    ffi.C.close(fd)
    assert(sent == count, "sent " .. sent)
  end)
end

return M
