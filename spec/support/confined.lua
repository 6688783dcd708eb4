-- SPDX-License-Identifier: MIT
-- A process of its own for spec/system/confinement_spec.lua: gives up what a worker gives up, then makes one system
-- call that it should not get and prints its errno ("0": it got it).
--   luajit spec/support/confined.lua worker|landlock ATTEMPT
local ffi = require("ffi")
package.path = "./spec/support/?.lua;" .. package.path
package.loaded["spec.helper"] = dofile("spec/helper.lua")
local helper = package.loaded["spec.helper"]
ffi.cdef("typedef unsigned int uid_t; typedef unsigned int gid_t; typedef int pid_t;")
require("core_headers")("error", "privilege", "confine", "landlock")
ffi.cdef([[
long syscall(long number, ...);
int getppid(void);
int getpid(void);
int prctl(int option, ...);
int open(const char *path, int flags, ...);
int socket(int domain, int type, int protocol);
]])
local C, core = ffi.C, helper.core
assert(jit.arch == "x64", "system call numbers are those of x86-64")

local long = function(n) return ffi.cast("long", n) end
local function call(number, ...) return C.syscall(number, ...) end
local text = function(s) return ffi.cast("const char *", s) end

local loopback = ffi.new("uint8_t[16]", { 2, 0, 0, 9, 127, 0, 0, 1 }) -- AF_INET, port 9, 127.0.0.1
local buffer = ffi.new("char[256]")
local open_before, socket_before = C.open("/dev/null", 1), C.socket(2, 1, 0)

-- Name -> what to do. Numbers are those of the system calls.
local attempts = {
  open = function() return call(2, text("/etc/passwd"), long(0)) end,
  openat = function() return call(257, long(-100), text("/etc/passwd"), long(0)) end,
  open_null = function() return call(2, text("/dev/null"), long(1)) end,
  open_own_fd = function() return call(2, text("/proc/self/fd/" .. open_before), long(1)) end,
  creat = function() return call(85, text("/tmp/cellflow-escape"), long(384)) end,
  stat = function() return call(4, text("/etc/passwd"), buffer) end,
  stat_at = function() return call(262, long(-100), text("/etc/passwd"), buffer, long(0)) end,
  readlink = function() return call(89, text("/proc/self/exe"), buffer, long(255)) end,
  getdents = function() return call(217, long(0), buffer, long(255)) end,
  unlink = function() return call(87, text("/tmp/cellflow-escape")) end,
  chdir = function() return call(80, text("/")) end,
  truncate = function() return call(76, text("/dev/null"), long(0)) end,
  socket = function() return call(41, long(2), long(1), long(0)) end,
  netlink = function() return call(41, long(16), long(3), long(0)) end,
  connect = function() return call(42, long(socket_before), loopback, long(16)) end,
  bind = function() return call(49, long(socket_before), loopback, long(16)) end,
  listen = function() return call(50, long(socket_before), long(1)) end,
  memfd = function() return call(319, text("x"), long(0)) end,
  fork = function() return call(57) end,
  clone = function() return call(56, long(17), long(0), long(0), long(0), long(0)) end,
  clone3 = function() return call(435, buffer, long(64)) end,
  kill = function() return call(62, long(C.getppid()), long(0)) end,
  kill_self = function() return call(62, long(C.getpid()), long(0)) end,
  tgkill = function() return call(234, long(C.getppid()), long(C.getppid()), long(0)) end,
  pidfd_open = function() return call(434, long(C.getppid()), long(0)) end,
  setrlimit = function() return call(160, long(7), buffer) end,
  setrlimit_data = function() return call(160, long(2), ffi.new("uint64_t[2]", { -1ULL, -1ULL })) end,
  prlimit = function() return call(302, long(0), long(7), long(0), buffer) end,
  prctl = function() return call(157, long(4), long(1)) end,
  fcntl_setfl = function() return call(72, long(1), long(4), long(0)) end,
  ioctl = function() return call(16, long(1), long(0x5412), text("x")) end,
  shmget = function() return call(29, long(0), long(4096), long(950)) end,
  inotify = function() return call(294, long(0)) end,
  newer = function() return call(470, long(0)) end,
  execve = function() return call(59, text("/bin/true"), long(0), long(0)) end,
  execveat = function() return call(322, long(-100), text("/bin/true"), long(0), long(0), long(0)) end,
  ptrace = function() return call(101, long(0), long(0), long(0), long(0)) end,
  process_vm_readv = function() return call(310, long(1), buffer, long(1), buffer, long(1), long(0)) end,
  mount = function() return call(165, text("none"), text("/tmp"), text("tmpfs"), long(0), long(0)) end,
  bpf = function() return call(321, long(0), buffer, long(64)) end,
  setuid = function() return call(105, long(0)) end,
  setns = function() return call(308, long(0), long(0)) end,
  unshare = function() return call(272, long(0x10000000)) end,
  chroot = function() return call(161, text("/")) end,
  init_module = function() return call(175, buffer, long(0), text("")) end,
  perf_event_open = function() return call(298, buffer, long(0), long(-1), long(-1), long(0)) end,
  io_uring = function() return call(425, long(8), buffer) end,
  userfaultfd = function() return call(323, long(0)) end,
  keyctl = function() return call(250, long(0), long(0)) end,
  x32_getpid = function() return call(0x40000000 + 39) end,
  -- and what must go on working
  write = function() return call(1, long(open_before), text("x"), long(1)) end,
  fstat = function() return call(262, long(open_before), text(""), buffer, long(0x1000)) end,
  machine_code = function()
    local page = call(9, long(0), long(4096), long(3), long(0x22), long(-1), long(0))
    return call(10, page, long(4096), long(5))
  end,
  tgkill_self = function() return call(234, long(C.getpid()), long(C.getpid()), long(0)) end,
}

local how, name = arg[1], arg[2]
local attempt = assert(attempts[name], name)
if how == "worker" then
  local err, got = ffi.new("struct cf_error"), ffi.new("struct cf_confinement")
  assert(core.cf_privilege_drop(65534, 65534, C.getppid(), err) == 0, ffi.string(err.text))
  core.cf_confine(256 * 2 ^ 20, 256, got)
  core.cf_confine_memory(256 * 2 ^ 20, got)
else
  assert(C.prctl(38, long(1), long(0), long(0), long(0)) == 0)
  assert(core.cf_landlock_restrict() > 0)
end
local rc = attempt()
print(rc >= 0 and 0 or ffi.errno())
