-- SPDX-License-Identifier: MIT
-- What the tc program costs a packet, by BPF_PROG_TEST_RUN on one CPU: of a flow that is known and of one that is new,
-- less an empty program that gets the same packet, against bare LRU_HASH maps (bpf/bench/hook.bpf.c). CPU time of this
-- thread, so that others on the machine do not count; only their traces in the caches do.
local ffi = require("ffi")
local helper = require("spec.helper")
local bpf = require("bpf_libbpf")
local packet = require("packet")
local results = require("results")
local slices = require("slices")
require("core_headers")("flow", "packet", "flow_table", "error", "ring")

ffi.cdef([[
struct bench_timespec { long sec, nsec; };
int clock_gettime(int clock, struct bench_timespec *time);
int sched_setaffinity(int pid, size_t size, const uint64_t *mask);
int bpf_map_lookup_and_delete_batch(int fd, void *in, void *out, void *keys, void *values, uint32_t *count,
  const void *opts);
]])

local THREAD_CLOCK = 3
local SETS, WAYS = 16384, 15
local NEW, HITS = 100000, 400000 -- packets to a slice; the rings hold 123,000 events
local OBJECT = helper.build .. "/bpf/bench/hook.bpf.o"

local M = {}
local now = ffi.new("struct bench_timespec")

local function cpu_seconds()
  ffi.C.clock_gettime(THREAD_CLOCK, now)
  return tonumber(now.sec) + tonumber(now.nsec) / 1e9
end

local TCP4 = packet.eth(packet.IPV4, packet.ipv4({ protocol = 6, payload = packet.tcp({ flags = 0x10 }) }))
local TCP6 = packet.eth(packet.VLAN, packet.tag(7, packet.IPV6, packet.ipv6({ protocol = 6,
  payload = packet.tcp({ flags = 0x10 }), chain = { packet.extension(packet.DSTOPTS, 8) } })))

-- name: { program, packet, count, prepare }
local CONTESTANTS = {
  { "empty", "bench_empty", TCP4, HITS },
  { "empty, another address each time", "bench_empty_next", TCP4, HITS },
  { "known", "cellflow_egress", TCP4, HITS },
  { "known, IPv6 in a VLAN with an extension header", "cellflow_egress", TCP6, HITS },
  { "LRU hit", "bench_lru_hit", TCP4, HITS },
  { "LRU hit, coarse clock", "bench_lru_coarse", TCP4, HITS },
  { "known, 65,536 flows in turn", "bench_spread", TCP4, HITS },
  { "LRU hit, 65,536 flows in turn", "bench_lru_spread", TCP4, HITS },
  { "new, filling", "bench_new", TCP4, NEW, "empty" },
  { "LRU insert, filling", "bench_lru_new", TCP4, NEW, "empty" },
  { "LRU insert and event, filling", "bench_lru_event", TCP4, NEW, "empty" },
  { "new, full table", "bench_new", TCP4, NEW, "full" },
  { "LRU insert, full table", "bench_lru_new", TCP4, NEW, "full" },
  { "LRU insert and event, full table", "bench_lru_event", TCP4, NEW, "full" },
}

local function open()
  local object = bpf.open(OBJECT)
  local config = ffi.new("struct cf_bpf_config", { wake_interval_ns = 1000000, link_len = 14, set_mask = SETS - 1,
    events = 2 })
  local slots = bpf.max_entries(object, "FLOW_EVENTS") - ffi.C.CF_SLOT_FIRST
  config.slot_mask, config.slot_limit = slots - 1, helper.core.cf_ring_slot_limit(slots)
  helper.core.cf_flow_secret_make(42, config.secret)
  bpf.set_initial(object, ".rodata.config", config, ffi.sizeof(config))
  bpf.load(object)
  local self = { object = object, ring = ffi.new("struct cf_ring"),
    lru_ring = ffi.new("struct cf_ring"), run = {} }
  self.flows_len = helper.core.cf_flow_entries_of(SETS) * ffi.sizeof("struct cf_flow_set")
  self.flows = ffi.C.mmap(nil, self.flows_len, 3, 1, bpf.map_fd(object, "FLOWS"), 0)
  assert(self.flows ~= ffi.cast("void *", -1), "mmap of FLOWS")
  assert(helper.core.cf_ring_open_slots(self.ring, bpf.map_fd(object, "FLOW_EVENTS"), bpf.map_fd(object, "FLOW_BELL"),
    slots * ffi.C.CF_EVENT_RING_LEN, nil) == 0)
  local lru_events = bpf.map_fd(object, "LRU_EVENTS")
  assert(helper.core.cf_ring_open(self.lru_ring, lru_events, bpf.max_entries(object, "LRU_EVENTS"), nil) == 0)
  self.lru = bpf.map_fd(object, "LRU")
  self.keys, self.values = ffi.new("uint8_t[?]", SETS * WAYS * 40), ffi.new("uint8_t[?]", SETS * WAYS * 32)
  return self
end

local function release_ring(self)
  for _, ring in ipairs({ self.ring, self.lru_ring }) do
    helper.core.cf_ring_release(ring, helper.core.cf_ring_producer(ring))
  end
end

local function test_run(self, program, bytes, count)
  local opts = ffi.new("struct spec_test_run_opts")
  opts.sz, opts.data_in, opts.data_size_in = ffi.sizeof(opts), ffi.cast("const char *", bytes), #bytes
  opts.repetitions = count
  local fd = bpf.program_fd(self.object, program)
  local began = cpu_seconds()
  assert(bpf.lib.bpf_prog_test_run_opts(fd, opts) == 0, "BPF_PROG_TEST_RUN")
  local spent = cpu_seconds() - began
  assert(opts.retval == 0xffffffff, program .. " did not return TC_ACT_UNSPEC")
  return spent / count * 1e9
end

local PREPARE = {}

function PREPARE.empty(self)
  ffi.fill(self.flows, self.flows_len)
  local count, cursor = ffi.new("uint32_t[1]"), ffi.new("uint32_t[16]")
  local first = true
  repeat
    count[0] = SETS * WAYS
    local rc = bpf.lib.bpf_map_lookup_and_delete_batch(self.lru, not first and cursor or nil, cursor, self.keys,
      self.values, count, nil)
    first = false
  until rc ~= 0
end

-- Both tables full, of flows that will not come again.
function PREPARE.full(self)
  for _, program in ipairs({ "bench_new", "bench_lru_new" }) do
    for _ = 1, 4 do
      test_run(self, program, TCP4, NEW)
      release_ring(self)
    end
  end
end

local state -- which of the two the tables are in

local function slice(self, by_name, name)
  local _, program, bytes, count, wanted = unpack(by_name[name])
  if wanted == "empty" or wanted and state ~= wanted then PREPARE[wanted](self) end
  state = wanted or state
  if not wanted then test_run(self, program, bytes, count / 4) end -- warm, and its flows known
  release_ring(self)
  return { ns = test_run(self, program, bytes, count) }
end

local function checks(result)
  local EMPTY, NEXT = "empty", "empty, another address each time"
  local function ratio(a, b, base) return result:ratio(a, b, "ns", base, base) end
  return {
    { what = "known flow / bare LRU hit with counters and clock", value = ratio("known", "LRU hit", EMPTY), must = 1.1,
      aim = 0.5, cause = "The parser of IPv6, VLAN tags and extension headers and the hash of 48 bytes are in our "
      .. "figure and not in the LRU's; see docs/performance.md." },
    { what = "the same, IPv6 in a VLAN with an extension header",
      value = ratio("known, IPv6 in a VLAN with an extension header", "LRU hit", EMPTY), must = 1.1, aim = 0.5,
      cause = "This packet has more headers to walk, each with its bounds check." },
    { what = "new flow with its event, full table / bare LRU insert without one",
      value = ratio("new, full table", "LRU insert, full table", NEXT), must = 1.2, aim = 0.3,
      cause = "Choosing whom to evict reads the last lines of all 15 entries of a set." },
    { what = "new flow with its event, table filling / bare LRU insert without one",
      value = ratio("new, filling", "LRU insert, filling", NEXT), must = 1.2, aim = 0.3,
      cause = "The event, 128 bytes of ring, is in our figure and not in the LRU's." },
  }
end

function M.run(options)
  local self, by_name, names = open(), {}, {}
  ffi.C.sched_setaffinity(0, 8, ffi.new("uint64_t[1]", 1))
  for i, contestant in ipairs(CONTESTANTS) do names[i], by_name[contestant[1]] = contestant[1], contestant end
  local result = slices.rounds(names, options.quick and 3 or 20, function(name) return slice(self, by_name, name) end,
    options.quick and 12 or 90)
  ffi.C.sched_setaffinity(0, 8, ffi.new("uint64_t[1]", -1))
  bpf.close(self.object)
  local rows, bars = {}, {}
  for i, name in ipairs(names) do
    local base = (i > 6) and names[2] or names[1]
    local whole, net = result:of(name, "ns"), result:of(name, "ns", base)
    rows[i] = { name, whole, i > 2 and net or "-" }
    if i > 2 then
      bars[#bars + 1] = { label = name, median = net.median, low = net.low, high = net.high,
        is_ours = not name:find("LRU", 1, true) }
    end
  end
  return { title = "Hook: what the tc program costs a packet", checks = checks(result),
    about = "`BPF_PROG_TEST_RUN`, 400,000 packets to a slice (100,000 of new flows), CPU time of the calling thread. "
      .. "New flows are the attached program on packets whose source address is another one each time, each with its "
      .. "event in the ring; the LRU_HASH rivals parse nothing and are given their key.",
    tables = { { head = { "program", "ns", "ns less the empty program" }, rows = rows } },
    notes = { "Known, 65,536 flows in turn, to an LRU hit of as many: " .. results.text(result:ratio(names[7], names[8],
      "ns", names[2], names[2])) .. ". Neither is in the caches: ours reads a set's tags and an entry's two lines." },
    plot = { title = "Hook: ns a packet, less an empty program", unit = "ns", bars = bars } }
end

return M
