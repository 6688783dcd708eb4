-- SPDX-License-Identifier: MIT
-- Somebody else's program on the same hook: loads bpf/test/other.bpf.o by libbpf itself, attaches it in the calling
-- thread's namespace and reads its counter.
local ffi = require("ffi")
local helper = require("spec.helper")
ffi.cdef([[
struct bpf_map;
struct bpf_program;
struct bpf_object *bpf_object__open(const char *path);
int bpf_object__load(struct bpf_object *object);
void bpf_object__close(struct bpf_object *object);
struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *object, const char *name);
int bpf_program__fd(const struct bpf_program *program);
int bpf_object__find_map_fd_by_name(struct bpf_object *object, const char *name);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_prog_query(int target, int type, uint32_t flags, uint32_t *attach_flags, uint32_t *ids, uint32_t *count);
int bpf_link_create(int prog_fd, int target_fd, int attach_type, const void *opts);
struct bpf_tc_hook { size_t sz; int ifindex; int attach_point; uint32_t parent; };
struct bpf_tc_opts { size_t sz; int prog_fd; uint32_t flags, prog_id, handle, priority; };
int bpf_tc_hook_create(struct bpf_tc_hook *hook);
int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts);
]])
local bpf = ffi.load("libbpf.so.1")

local M = {}
M.__index = M

function M.load()
  local object = bpf.bpf_object__open("./" .. helper.build .. "/bpf/test/other.bpf.o")
  assert(object ~= nil and bpf.bpf_object__load(object) == 0)
  object = ffi.gc(object, bpf.bpf_object__close)
  return setmetatable({
    object = object,
    fd = bpf.bpf_program__fd(bpf.bpf_object__find_program_by_name(object, "other_program")),
    map = bpf.bpf_object__find_map_fd_by_name(object, "COUNT"),
  }, M)
end

function M:count()
  local key, value = ffi.new("uint32_t[1]"), ffi.new("uint64_t[1]")
  assert(bpf.bpf_map_lookup_elem(self.map, key, value) == 0)
  return tonumber(value[0])
end

-- At the tail of the tcx egress list; returns the link.
function M:tcx(ifindex)
  local link = bpf.bpf_link_create(self.fd, ifindex, 47, nil)
  assert(link >= 0)
  return link
end

-- Ids of all programs that an interface has by tcx, whoever attached them.
function M.on_tcx(ifindex)
  local list, ids, count = {}, ffi.new("uint32_t[64]"), ffi.new("uint32_t[1]")
  for _, side in ipairs({ 46, 47 }) do
    count[0] = 64
    assert(bpf.bpf_prog_query(ifindex, side, 0, nil, ids, count) == 0, "query of tcx")
    for i = 0, count[0] - 1 do list[#list + 1] = ids[i] end
  end
  return list
end

-- side: "egress" (also when nil) or "ingress"
local function hook(ifindex, side)
  return ffi.new("struct bpf_tc_hook", {
    sz = ffi.sizeof("struct bpf_tc_hook"), ifindex = ifindex, attach_point = side == "ingress" and 1 or 2,
  })
end

function M.make_clsact(ifindex)
  assert(bpf.bpf_tc_hook_create(hook(ifindex)) == 0)
end

-- Returns the id of the program.
function M:clsact(ifindex, priority, handle, side)
  local opts = ffi.new("struct bpf_tc_opts", {
    sz = ffi.sizeof("struct bpf_tc_opts"), prog_fd = self.fd, priority = priority, handle = handle or 1,
  })
  assert(bpf.bpf_tc_attach(hook(ifindex, side), opts) == 0)
  return opts.prog_id
end

return M
