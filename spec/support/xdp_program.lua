-- SPDX-License-Identifier: MIT
-- An XDP program of two instructions that lets everything pass, put on an interface of the calling thread's namespace.
local ffi = require("ffi")
ffi.cdef([[
int bpf_prog_load(int type, const char *name, const char *license, const void *insns, size_t count, const void *opts);
int bpf_xdp_attach(int ifindex, int prog_fd, uint32_t flags, const void *opts);
]])
local bpf = ffi.load("libbpf.so.1")

local XDP, SKB_MODE = 6, 2
local PASS = "\xb7\0\0\0\2\0\0\0" .. "\x95\0\0\0\0\0\0\0" -- r0 = XDP_PASS; exit

local M = {}

--- Attach; gone with the interface.
function M.put(ifindex)
  local fd = bpf.bpf_prog_load(XDP, "earliest", "GPL", PASS, 2, nil)
  assert(fd >= 0 and bpf.bpf_xdp_attach(ifindex, fd, SKB_MODE, nil) == 0)
  ffi.C.close(fd)
end

return M
