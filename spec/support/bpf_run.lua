-- SPDX-License-Identifier: GPL-2.0-only
-- Loads the tc program and runs packets through it with BPF_PROG_TEST_RUN: the real program, verifier, JIT and maps
-- without an interface. After every packet it checks what must always hold (return value, the counters' identities).
-- Reading and draining are here; what a packet should have caused is the spec's business.
local ffi = require("ffi")
local bit = require("bit")
local helper = require("spec.helper")
local bpf = require("bpf_libbpf")

require("core_headers")("flow", "packet", "flow_table", "error", "ring")

local SEED = 42

local STATS = {
  "packets", "parsed", "not_ip", "truncated", "bad_header", "ext_too_deep", "vlan_too_deep", "flow_hit", "flow_new",
  "flow_full", "flow_evicted", "flow_reused",
  "event_unwanted", "event_attempted", "event_submitted", "ring_full", "wakeups", "later_fragments", "non_linear",
  "egress_packets",
}
assert(#STATS == ffi.C.CF_STAT_COUNT, "enum cf_stat has changed: name its counters here")

local M = { object_path = helper.build .. "/bpf/cellflow.bpf.o", stat_names = STATS }
local Cell = {}
Cell.__index = Cell

-- options: cell, wake_interval_ns, link_len (configuration, the object's own defaults if none is given);
-- events (1 << kind, or-ed), flags (of struct cf_bpf_config), seed (of the flow table's hash);
-- flows, ring_bytes (map sizes: small, since every test loads its own; 0: as in the object);
-- share: another cell whose FLOWS, FLOW_EVENTS, FLOW_BELL and WAKE are used.
function M.load(options)
  options = options or {}
  local object = bpf.open(M.object_path)
  local self = setmetatable({ object = object }, Cell)
  local FIRST = ffi.C.CF_SLOT_FIRST
  self.slots = options.share and options.share.slots or options.ring_bytes == 0 and
    bpf.max_entries(object, "FLOW_EVENTS") - FIRST or helper.core.cf_ring_slots(options.ring_bytes or 65536)
  self.slot_limit = helper.core.cf_ring_slot_limit(self.slots)
  local sets = options.share and options.share.sets or helper.core.cf_flow_sets_for(options.flows or 1024)
  self.sets, self.seed = sets, options.seed or SEED
  local config = ffi.new("struct cf_bpf_config", {
    wake_interval_ns = options.wake_interval_ns or 1000000,
    cell = options.cell or 0,
    link_len = options.link_len or 14,
    set_mask = sets - 1,
    events = options.events or 2,
    flags = options.flags or 0,
    slot_mask = self.slots - 1,
    slot_limit = self.slot_limit,
  })
  helper.core.cf_flow_secret_make(self.seed, config.secret)
  bpf.set_initial(object, ".rodata.config", config, ffi.sizeof(config))
  if options.share then
    for _, name in ipairs({ "FLOWS", "FLOW_EVENTS", "FLOW_BELL", "WAKE" }) do
      bpf.reuse(object, name, bpf.map_fd(options.share.object, name))
    end
  else
    bpf.set_max_entries(object, "FLOWS", helper.core.cf_flow_entries_of(sets))
    bpf.set_max_entries(object, "FLOW_EVENTS", FIRST + self.slots)
  end
  bpf.load(object)
  self.fd = { stats = bpf.map_fd(object, "STATS"), flows = bpf.map_fd(object, "FLOWS"),
    events = bpf.map_fd(object, "FLOW_EVENTS"), bell = bpf.map_fd(object, "FLOW_BELL") }
  self.program = { egress = bpf.program_fd(object, "cellflow_egress"),
    ingress = bpf.program_fd(object, "cellflow_ingress"), count = bpf.program_fd(object, "cellflow_count") }
  self.per_cpu = ffi.new("struct cf_stats[?]", bpf.cpus())
  return self
end

local function table_bytes(sets) return helper.core.cf_flow_entries_of(sets) * ffi.sizeof("struct cf_flow_set") end

function Cell:close()
  if self.mapped then ffi.C.munmap(self.mapped, table_bytes(self.sets)) end
  if self.ring then helper.core.cf_ring_close(self.ring) end
  bpf.close(self.object)
  self.ring, self.mapped, self.object = nil, nil, nil
end

-- Counters by name, summed over the CPUs.
function Cell:stats()
  local zero, sum = ffi.new("uint32_t[1]"), {}
  bpf.lookup(self.fd.stats, zero, self.per_cpu)
  for i, name in ipairs(STATS) do
    local n = 0
    for cpu = 0, bpf.cpus() - 1 do n = n + tonumber(self.per_cpu[cpu].n[i - 1]) end
    sum[name] = n
  end
  return sum
end

local function check_identities(s)
  local unparsed = s.not_ip + s.truncated + s.bad_header + s.ext_too_deep + s.vlan_too_deep
  local text
  if s.packets ~= s.parsed + unparsed then text = "packets = parsed + unparsed" end
  if s.parsed ~= s.flow_hit + s.flow_new + s.flow_full then text = "parsed = hit + new + full" end
  if s.flow_new + s.flow_evicted + s.flow_reused ~= s.event_attempted + s.event_unwanted then
    text = "new + evicted + reused = attempted + unwanted"
  end
  if s.event_attempted ~= s.event_submitted + s.ring_full then text = "attempted = submitted + ring_full" end
  if text then
    local parts = {}
    for _, name in ipairs(STATS) do parts[#parts + 1] = name .. "=" .. s[name] end
    error("does not hold: " .. text .. " in " .. table.concat(parts, " "), 3)
  end
end

-- Runs one packet; context: fields of struct __sk_buff (mark, gso_size, gso_segs). Returns the counters after it,
-- or nil and errno when the kernel refuses to build such a packet.
function Cell:run(program, bytes, context)
  local result, errno = bpf.test_run(program, bytes, context)
  if not result then return nil, errno end
  if bit.tobit(result) ~= -1 then error("the program returned " .. bit.tobit(result) .. ", not TC_ACT_UNSPEC", 3) end
  local stats = self:stats()
  check_identities(stats)
  self.latest = stats
  return stats
end

function Cell:egress(bytes, context)
  return self:run(self.program.egress, bytes, context)
end

function Cell:ingress(bytes, context)
  return self:run(self.program.ingress, bytes, context)
end

-- The sets of FLOWS as they are in memory, mapped: struct cf_flow_set *.
function Cell:table()
  if not self.mapped then
    local address = ffi.C.mmap(nil, table_bytes(self.sets), 3, 1, self.fd.flows, 0)
    assert(address ~= ffi.cast("void *", -1), "mmap of FLOWS")
    self.mapped = ffi.cast("struct cf_flow_set *", address)
  end
  return self.mapped
end

-- The tags of each set: struct cf_flow_tags *.
function Cell:tags()
  return ffi.cast("struct cf_flow_tags *", self:table() + self.sets)
end

-- All flows as { key =, flow =, set =, way = } (copies of flow.h's structs), in no order.
function Cell:flows()
  local list, sets, tags = {}, self:table(), self:tags()
  for i = 0, self.sets - 1 do
    for way = 0, ffi.C.CF_FLOW_WAYS - 1 do
      if tags[i].tag[way] >= ffi.C.CF_TAG_FIRST then
        local flow = ffi.new("struct cf_flow", sets[i].flow[way])
        list[#list + 1] = { key = flow.key, flow = flow, set = i, way = way }
      end
    end
  end
  return list
end

local function open_ring(self)
  local ring, err = ffi.new("struct cf_ring"), ffi.new("struct cf_error")
  local bytes = self.slots * ffi.C.CF_EVENT_RING_LEN
  assert(helper.core.cf_ring_open_slots(ring, self.fd.events, self.fd.bell, bytes, err) == 0, ffi.string(err.text))
  self.ring = ring
end

-- Consumes every event that is in the ring: a list of struct cf_event.
function Cell:events()
  if not self.ring then open_ring(self) end
  local core, position, len = helper.core, ffi.new("uint64_t[1]"), ffi.new("uint32_t[1]")
  local list = {}
  position[0] = core.cf_ring_position(self.ring)
  while true do
    local record = core.cf_ring_next(self.ring, position, len)
    if record == nil then break end
    assert(len[0] == ffi.C.CF_EVENT_RING_LEN, "a slot that was overwritten")
    list[#list + 1] = ffi.new("struct cf_event")
    ffi.copy(list[#list], record, len[0])
  end
  core.cf_ring_release(self.ring, position[0])
  return list
end

-- How many numbers were drawn, those included that no event came of.
function Cell:drawn()
  if not self.ring then open_ring(self) end
  return tonumber(helper.core.cf_ring_producer(self.ring))
end

-- The address at one end, 4 or 16 bytes by family, to compare with packet.address().
function M.address(bytes, family)
  return ffi.string(bytes, family == 4 and 4 or 16)
end

return M
