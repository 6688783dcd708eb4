-- SPDX-License-Identifier: MIT
-- A process of its own for spec/system/attach_spec.lua, in which the kernel answers BPF_LINK_CREATE as one without
-- tcx does (a seccomp filter): attaches to e0 of namespace arg[1] in mode arg[2], prints what came of it, detaches.
local ffi = require("ffi")
package.path = "./spec/support/?.lua;" .. package.path
package.loaded["spec.helper"] = dofile("spec/helper.lua")
local privileged = require("privileged")
ffi.cdef([[
struct sock_filter { uint16_t code; uint8_t jt, jf; uint32_t k; };
struct sock_fprog { unsigned short len; struct sock_filter *filter; };
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
]])

local BPF = ({ x64 = 321, arm64 = 280 })[jit.arch]
local object = assert(privileged.load(privileged.maps()))
local filter = ffi.new("struct sock_filter[6]", {
  { 0x20, 0, 0, 0 }, -- the system call's number
  { 0x15, 0, 3, BPF },
  { 0x20, 0, 0, 16 }, -- its first argument, on a little-endian machine
  { 0x15, 0, 1, 28 }, -- BPF_LINK_CREATE
  { 0x06, 0, 0, 0x00050016 }, -- fail with EINVAL
  { 0x06, 0, 0, 0x7fff0000 }, -- allow
})
local program = ffi.new("struct sock_fprog[1]", { { 6, filter } })
assert(ffi.C.prctl(38, 1, 0, 0, 0) == 0) -- PR_SET_NO_NEW_PRIVS
assert(ffi.C.prctl(22, 2, ffi.cast("unsigned long", ffi.cast("void *", program)), 0, 0) == 0) -- PR_SET_SECCOMP

local cell = privileged.cell({ name = "x", netns = arg[1], interface = "e0", attach = tonumber(arg[2]) })
local attachment, text, kind = privileged.attach(cell, object)
if attachment then
  print("mode", attachment.mode)
  assert(privileged.detach(attachment, cell))
else
  print(kind, text)
end
