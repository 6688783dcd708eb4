-- SPDX-License-Identifier: GPL-2.0-only
--
-- The BPF maps that a running process holds, found from outside: by its /proc/PID/fdinfo and the kernel's map ids.
-- Reads the flow table of a live cellflow; asks cellflow nothing.
local ffi = require("ffi")
local bpf = require("bpf_libbpf")
local helper = require("spec.helper")
require("core_headers")("flow", "packet", "flow_table")

ffi.cdef([[
int bpf_map_get_fd_by_id(uint32_t id);
const char *inet_ntop(int family, const void *address, char *text, uint32_t size);
]])

local M = {}
local PROTOCOLS = { [1] = "icmp", [6] = "tcp", [17] = "udp", [58] = "icmpv6" }

--- Ids of the maps that a process holds.
function M.map_ids(pid)
  local ids, seen = {}, {}
  local pipe = io.popen(("cat /proc/%d/fdinfo/* 2>/dev/null"):format(pid))
  for id in pipe:read("*a"):gmatch("map_id:%s*(%d+)") do
    if not seen[id] then ids[#ids + 1] = tonumber(id) end
    seen[id] = true
  end
  pipe:close()
  return ids
end

--- Whether the kernel still has a map of that id.
function M.map_exists(id)
  local fd = bpf.lib.bpf_map_get_fd_by_id(id)
  if fd >= 0 then ffi.C.close(fd) end
  return fd >= 0
end

local function text(address, family)
  local out = ffi.new("char[46]")
  assert(ffi.C.inet_ntop(family == 4 and 2 or 10, address, out, 46) ~= nil)
  return ffi.string(out)
end

local function is_flow_table(fd)
  local pipe = io.open(("/proc/self/fdinfo/%d"):format(fd))
  local info = pipe:read("*a")
  pipe:close()
  return info:match("key_size:%s*(%d+)") == "4"
    and info:match("value_size:%s*(%d+)") == tostring(ffi.sizeof("struct cf_flow_set"))
end

local function open(pid)
  for _, id in ipairs(M.map_ids(pid)) do
    local fd = bpf.lib.bpf_map_get_fd_by_id(id)
    if fd >= 0 and is_flow_table(fd) then return fd end
    if fd >= 0 then ffi.C.close(fd) end
  end
  error("process " .. pid .. " holds no flow table")
end

-- As flow_list has it, from the end that spoke first, then its two directions as the cell sees them.
local function entry(key, flow)
  local from = flow.origin_end
  local name = ("%s %s %d %s %d"):format(PROTOCOLS[key.protocol] or key.protocol, text(key.addr[from], key.family),
    key.port[from], text(key.addr[1 - from], key.family), key.port[1 - from])
  local function side(i) return { packets = tonumber(flow.packets[i]), bytes = tonumber(flow.bytes[i]) } end
  return name, { origin = flow.origin == 0 and "egress" or "ingress", egress = side(0), ingress = side(1),
    cell = key.cell }
end

-- All entries of the map: sets, and what lies in the place of the last of them are tags.
local function entries(fd)
  local list, previous = {}, nil
  while true do
    local index = ffi.new("uint32_t[1]")
    if not bpf.next_key(fd, previous, index) then return list end
    list[#list + 1] = ffi.new("struct cf_flow_set")
    bpf.lookup(fd, index, list[#list])
    previous = index
  end
end

--- All flows of the process's table: text as in flow_list -> { origin, egress = { packets, bytes }, ingress = ... }.
function M.read(pid)
  local fd, flows = open(pid), {}
  local list = entries(fd)
  ffi.C.close(fd)
  local sets = helper.core.cf_flow_sets_in(#list)
  for i = 0, sets - 1 do
    local block = ffi.cast("struct cf_flow_tags *", list[sets + math.floor(i / ffi.C.CF_FLOW_BLOCK) + 1])
    for way = 0, ffi.C.CF_FLOW_WAYS - 1 do
      if block[i % ffi.C.CF_FLOW_BLOCK].tag[way] >= ffi.C.CF_TAG_FIRST then
        local flow = list[i + 1].flow[way]
        local name, value = entry(flow.key, flow)
        flows[name] = value
      end
    end
  end
  return flows
end

return M
