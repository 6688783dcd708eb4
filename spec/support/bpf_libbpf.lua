-- SPDX-License-Identifier: GPL-2.0-only
-- libbpf and the few bpf(2) and mmap(2) calls that the BPF specs need, as Lua functions that raise on failure.
-- Knows no map, program or struct of cellflow.
local ffi = require("ffi")

ffi.cdef([[
struct bpf_object;
struct bpf_map;
struct bpf_program;
struct spec_test_run_opts {
  size_t sz;
  const void *data_in;
  void *data_out;
  uint32_t data_size_in;
  uint32_t data_size_out;
  const void *ctx_in;
  void *ctx_out;
  uint32_t ctx_size_in;
  uint32_t ctx_size_out;
  uint32_t retval;
  int repetitions;
  uint32_t duration;
  uint32_t flags;
  uint32_t cpu;
  uint32_t batch_size;
};
struct spec_sk_buff { /* struct __sk_buff of linux/bpf.h */
  uint32_t len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
  uint32_t ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id;
  uint32_t family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port;
  uint32_t data_meta;
  uint64_t flow_keys, tstamp;
  uint32_t wire_len, gso_segs;
  uint64_t sk;
  uint32_t gso_size;
  uint8_t tstamp_type, pad0[3];
  uint64_t hwtstamp;
};
struct spec_bpf_insn { uint8_t code; uint8_t registers; int16_t off; int32_t imm; };
void *libbpf_set_print(void *fn);
int libbpf_num_possible_cpus(void);
struct bpf_object *bpf_object__open(const char *path);
int bpf_object__load(struct bpf_object *object);
void bpf_object__close(struct bpf_object *object);
struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *object, const char *name);
struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *object, const char *name);
int bpf_map__fd(const struct bpf_map *map);
int bpf_map__set_initial_value(struct bpf_map *map, const void *data, size_t size);
const void *bpf_map__initial_value(struct bpf_map *map, size_t *size);
int bpf_map__set_max_entries(struct bpf_map *map, uint32_t max_entries);
uint32_t bpf_map__max_entries(const struct bpf_map *map);
int bpf_map__type(const struct bpf_map *map);
int bpf_map__reuse_fd(struct bpf_map *map, int fd);
int bpf_program__fd(const struct bpf_program *program);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);
int bpf_map_get_next_key(int fd, const void *key, void *next_key);
int bpf_map_create(int type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t max_entries,
  const void *opts);
int bpf_prog_load(int type, const char *name, const char *license, const void *insns, size_t count, void *opts);
int bpf_prog_test_run_opts(int fd, void *opts);
void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
int munmap(void *address, size_t length);
long sysconf(int name);
int close(int fd);
]])

local lib = ffi.load("libbpf.so.1")
local M = { lib = lib, page_size = tonumber(ffi.C.sysconf(30)) }
lib.libbpf_set_print(nil) -- its warnings go to stderr; failures are raised here with errno instead

local function check(ok, what)
  if not ok then error(("%s: errno %d"):format(what, ffi.errno()), 3) end
  return ok
end

function M.open(path)
  local object = lib.bpf_object__open(path)
  check(object ~= nil, "open " .. path)
  return object
end

function M.load(object)
  check(lib.bpf_object__load(object) == 0, "load (root needed)")
end

function M.close(object)
  lib.bpf_object__close(object)
end

function M.map(object, name)
  local map = lib.bpf_object__find_map_by_name(object, name)
  check(map ~= nil, "no map " .. name)
  return map
end

function M.map_fd(object, name)
  return lib.bpf_map__fd(M.map(object, name))
end

function M.max_entries(object, name)
  return lib.bpf_map__max_entries(M.map(object, name))
end

function M.set_max_entries(object, name, count)
  check(lib.bpf_map__set_max_entries(M.map(object, name), count) == 0, "resize " .. name)
end

function M.reuse(object, name, fd)
  check(lib.bpf_map__reuse_fd(M.map(object, name), fd) == 0, "reuse " .. name)
end

function M.set_initial(object, name, data, size)
  check(lib.bpf_map__set_initial_value(M.map(object, name), data, size) == 0, "initial value of " .. name)
end

function M.program_fd(object, name)
  local program = lib.bpf_object__find_program_by_name(object, name)
  check(program ~= nil, "no program " .. name)
  return lib.bpf_program__fd(program)
end

function M.cpus()
  return lib.libbpf_num_possible_cpus()
end

function M.lookup(fd, key, value)
  check(lib.bpf_map_lookup_elem(fd, key, value) == 0, "lookup")
end

function M.next_key(fd, key, following)
  return lib.bpf_map_get_next_key(fd, key, following) == 0
end

-- Returns the program's return value (uint32), or nil and errno when the kernel refuses the packet or the context.
function M.test_run(fd, bytes, context)
  local opts = ffi.new("struct spec_test_run_opts")
  local skb = context and ffi.new("struct spec_sk_buff", context)
  opts.sz = ffi.sizeof(opts)
  opts.data_in = ffi.cast("const char *", bytes)
  opts.data_size_in = #bytes
  if skb then opts.ctx_in, opts.ctx_size_in = skb, ffi.sizeof(skb) end
  if lib.bpf_prog_test_run_opts(fd, opts) ~= 0 then return nil, ffi.errno() end
  return opts.retval
end

return M
