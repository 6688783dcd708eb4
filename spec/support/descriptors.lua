-- SPDX-License-Identifier: MIT
--
-- Descriptors for specs of C code that reads and writes them: pipes, socket pairs, memfds, files, and what is in them.
-- All are closed on exec: a pipe that a child holds as well never ends. Failures are errors with the call and errno.
local ffi = require("ffi")

ffi.cdef[[
int pipe2(int *fds, int flags);
int socketpair(int domain, int type, int protocol, int *fds);
int open(const char *path, int flags, ...);
int close(int fd);
int fcntl(int fd, int command, ...);
int ftruncate(int fd, long length);
int ioctl(int fd, unsigned long request, ...);
int memfd_create(const char *name, unsigned int flags);
long read(int fd, void *buffer, size_t size);
long write(int fd, const void *buffer, size_t size);
long lseek(int fd, long offset, int whence);
long send(int fd, const void *buffer, size_t size, int flags);
int dup2(int old, int new);
void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
int munmap(void *address, size_t length);
int socket(int domain, int type, int protocol);
int bind(int fd, const void *address, unsigned int length);
int listen(int fd, int backlog);
int accept4(int fd, void *address, void *length, int flags);
void (*signal(int number, void (*handler)(int)))(int);
]]

local C = ffi.C
local M = {
  O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0x40, O_TRUNC = 0x200, O_APPEND = 0x400, O_NONBLOCK = 0x800,
  EAGAIN = 11, EBADMSG = 74,
}
local F_DUPFD_CLOEXEC = 1030
local F_GETFL, F_SETPIPE_SZ, SEEK_CUR = 3, 1031, 1
local AF_UNIX, SOCK_STREAM, SOCK_SEQPACKET = 1, 1, 5
local PROT_RW, MAP_SHARED = 3, 1
local CLOEXEC, MFD_CLOEXEC, MFD_ALLOW_SEALING = 0x80000, 1, 2
local F_ADD_SEALS, F_SEAL_GROW = 1033, 4
local O_NOCTTY, TIOCSPTLCK, TIOCGPTPEER = 0x100, 0x40045431, 0x5441

local function check(result, what)
  if result < 0 then error(("%s: errno %d"):format(what, ffi.errno()), 3) end
  return tonumber(result)
end

--- Read end, write end. flags: 0 or O_NONBLOCK.
function M.pipe(flags, size)
  local fds = ffi.new("int[2]")
  check(C.pipe2(fds, (flags or 0) + CLOEXEC), "pipe2")
  if size then check(C.fcntl(fds[1], F_SETPIPE_SZ, ffi.cast("int", size)), "F_SETPIPE_SZ") end
  return fds[0], fds[1]
end

--- Two connected SOCK_SEQPACKET sockets.
function M.pair()
  local fds = ffi.new("int[2]")
  check(C.socketpair(AF_UNIX, SOCK_SEQPACKET + CLOEXEC, 0, fds), "socketpair")
  return fds[0], fds[1]
end

function M.open(path, flags)
  return check(C.open(path, flags + CLOEXEC, ffi.cast("int", 0x180)), path)
end

function M.close(...)
  for _, fd in ipairs({ ... }) do C.close(fd) end
end

function M.is_open(fd)
  return C.fcntl(fd, F_GETFL) >= 0
end

function M.write(fd, text)
  return check(C.write(fd, text, #text), "write")
end

--- Write until no more goes in. The descriptor must not block.
function M.fill(fd)
  local text = (" "):rep(4096)
  repeat until C.write(fd, text, #text) < 0
end

function M.position(fd)
  return check(C.lseek(fd, 0, SEEK_CUR), "lseek")
end

--- Another descriptor of the same, and `fd` made one of `other`.
function M.duplicate(fd)
  return check(C.fcntl(fd, F_DUPFD_CLOEXEC, ffi.cast("int", 3)), "F_DUPFD_CLOEXEC")
end

function M.replace(fd, other)
  check(C.dup2(other, fd), "dup2")
end

--- Call fn while nothing is seen of what it logs.
function M.without_stderr(fn)
  local own, null = M.duplicate(2), M.open("/dev/null", M.O_WRONLY)
  M.replace(2, null)
  local ok, why = pcall(fn)
  M.replace(2, own)
  M.close(own, null)
  if not ok then error(why, 0) end
end

--- One packet on a socket.
function M.send(fd, text)
  return check(C.send(fd, text, #text, 0), "send")
end

--- What is in a pipe or socket now; "" when nothing is. The descriptor must not block.
function M.drain(fd)
  local buffer, parts = ffi.new("char[65536]"), {}
  repeat
    local got = tonumber(C.read(fd, buffer, 65536))
    if got > 0 then parts[#parts + 1] = ffi.string(buffer, got) end
  until got <= 0
  return table.concat(parts)
end

--- A stream socket that listens at `path`.
function M.listen(path)
  local fd = check(C.socket(AF_UNIX, SOCK_STREAM + M.O_NONBLOCK + CLOEXEC, 0), "socket")
  local address = ffi.new("struct { uint16_t family; char path[108]; }", AF_UNIX, path)
  check(C.bind(fd, address, ffi.sizeof(address)), "bind")
  check(C.listen(fd, 4), "listen")
  return fd
end

--- A connection to it that does not block, or nil when nobody has come.
function M.accept(fd)
  local connection = C.accept4(fd, nil, nil, M.O_NONBLOCK + CLOEXEC)
  return connection >= 0 and connection or nil
end

--- A memfd of `size` bytes.
function M.memory(size)
  local fd = check(C.memfd_create("spec", MFD_CLOEXEC), "memfd_create")
  check(C.ftruncate(fd, size), "ftruncate")
  return fd
end

--- A regular file that every write to fails, with EPERM.
function M.memory_that_cannot_grow()
  local fd = check(C.memfd_create("spec", MFD_CLOEXEC + MFD_ALLOW_SEALING), "memfd_create")
  check(C.fcntl(fd, F_ADD_SEALS, ffi.cast("int", F_SEAL_GROW)), "F_ADD_SEALS")
  return fd
end

--- Master and terminal of a pair, neither of which becomes our controlling terminal. They do not block.
function M.terminal()
  local flags = M.O_RDWR + O_NOCTTY + M.O_NONBLOCK
  local master = M.open("/dev/ptmx", flags)
  check(C.ioctl(master, TIOCSPTLCK, ffi.new("int[1]", 0)), "TIOCSPTLCK")
  return master, check(C.ioctl(master, TIOCGPTPEER, ffi.cast("int", flags + CLOEXEC)), "TIOCGPTPEER")
end

--- Shared memory of a descriptor, as bytes; unmapped by the collector.
function M.map(fd, size)
  local at = C.mmap(nil, size, PROT_RW, MAP_SHARED, fd, 0)
  assert(ffi.cast("intptr_t", at) ~= -1, "mmap")
  return ffi.gc(ffi.cast("uint8_t *", at), function(map) C.munmap(map, size) end)
end

--- Call fn while SIGPIPE is ignored, as the executable ignores it: a pipe without reader would end busted.
function M.ignoring_sigpipe(fn)
  local SIGPIPE, SIG_IGN = 13, 1
  local before = C.signal(SIGPIPE, ffi.cast("void (*)(int)", SIG_IGN))
  local ok, why = pcall(fn)
  C.signal(SIGPIPE, before)
  if not ok then error(why, 0) end
end

return M
