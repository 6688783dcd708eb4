-- SPDX-License-Identifier: MIT
-- A process of its own: takes something away that this host has, for good, and becomes a program.
--   luajit -joff spec/support/poorer_host.lua WHAT PROGRAM [ARG]...
-- WHAT: tcx (BPF_LINK_CREATE is answered as a kernel without tcx does), bpf (bpf(2) ends the process), permission
-- (bpf(2) is not permitted, as in a container that may not), executable (no memory becomes executable; hence -joff).
local ffi = require("ffi")
ffi.cdef([[
struct sock_filter { uint16_t code; uint8_t jt, jf; uint32_t k; };
struct sock_fprog { unsigned short len; struct sock_filter *filter; };
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int execv(const char *path, const char *const *argv);
]])

local BPF = ({ x64 = 321, arm64 = 280 })[jit.arch]
local EPERM, EINVAL, KILL_PROCESS, ALLOW = 0x00050001, 0x00050016, 0x80000000, 0x7fff0000

local function install(steps)
  local filter = ffi.new("struct sock_filter[?]", #steps, steps)
  local program = ffi.new("struct sock_fprog[1]", { { #steps, filter } })
  assert(ffi.C.prctl(38, 1, 0, 0, 0) == 0) -- PR_SET_NO_NEW_PRIVS
  assert(ffi.C.prctl(22, 2, ffi.cast("unsigned long", ffi.cast("void *", program)), 0, 0) == 0) -- PR_SET_SECCOMP
end

local take_away = {
  tcx = function()
    install({
      { 0x20, 0, 0, 0 }, -- the system call's number
      { 0x15, 0, 3, BPF },
      { 0x20, 0, 0, 16 }, -- its first argument, on a little-endian machine
      { 0x15, 0, 1, 28 }, -- BPF_LINK_CREATE
      { 0x06, 0, 0, EINVAL },
      { 0x06, 0, 0, ALLOW },
    })
  end,
  bpf = function()
    install({ { 0x20, 0, 0, 0 }, { 0x15, 0, 1, BPF }, { 0x06, 0, 0, KILL_PROCESS }, { 0x06, 0, 0, ALLOW } })
  end,
  permission = function()
    install({ { 0x20, 0, 0, 0 }, { 0x15, 0, 1, BPF }, { 0x06, 0, 0, EPERM }, { 0x06, 0, 0, ALLOW } })
  end,
  executable = function()
    if ffi.C.prctl(65, 1, 0, 0, 0) ~= 0 then os.exit(77) end -- PR_SET_MDWE, from Linux 6.3
  end,
}

take_away[arg[1]]()
local argv = ffi.new("const char *[?]", #arg)
for i = 2, #arg do argv[i - 2] = arg[i] end
ffi.C.execv(arg[2], argv)
os.exit(78)
