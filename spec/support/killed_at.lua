-- SPDX-License-Identifier: MIT
--
-- A function of core that is killed after a given number of its instructions: in a child that shares the caller's
-- memory where that is MAP_SHARED, followed by ptrace(2) step by step. x86-64 only.
local ffi = require("ffi")

ffi.cdef([[
long ptrace(long request, long pid, void *address, void *data);
int raise(int signal);
]])
-- Other specs in the same process declare these as well, and the same declaration twice is no error.
ffi.cdef([[
int fork(void);
int kill(int pid, int signal);
int waitpid(int pid, int *status, int options);
void _exit(int status);
]])

local TRACEME, PEEKTEXT, PEEKUSER, POKETEXT, POKEUSER, CONT, STEP = 0, 1, 3, 4, 6, 7, 9
local RIP, RSP, SIGKILL, SIGTRAP, SIGSTOP = 128, 152, 9, 5, 19
local M = {}

--- Why this cannot be done here, or nil when it can.
function M.lacking()
  if ffi.arch ~= "x64" then return "needs x86-64 (ptrace by single steps)" end
  local pid = ffi.C.fork()
  if pid == 0 then ffi.C._exit(ffi.C.ptrace(TRACEME, 0, nil, nil) == 0 and 0 or 1) end
  local status = ffi.new("int[1]")
  assert(ffi.C.waitpid(pid, status, 0) == pid)
  if status[0] ~= 0 then return "needs ptrace(2)" end
end

local function pointer(number) return ffi.cast("void *", number) end

local function trace(request, pid, address, data)
  return ffi.C.ptrace(request, pid, pointer(address), pointer(data))
end

-- The signal that stopped the child; nil when it has ended.
local function wait(pid)
  local status = ffi.new("int[1]")
  assert(ffi.C.waitpid(pid, status, 0) == pid)
  return status[0] % 256 == 0x7f and math.floor(status[0] / 256) or nil
end

-- Let the child run until it is about to execute the instruction at `address`.
local function run_to(pid, address)
  local word = trace(PEEKTEXT, pid, address, 0)
  assert(trace(POKETEXT, pid, address, ffi.cast("uint64_t", word - word % 256 + 0xcc)) == 0)
  assert(trace(CONT, pid, 0, 0) == 0 and wait(pid) == SIGTRAP)
  assert(trace(POKETEXT, pid, address, word) == 0)
  assert(trace(POKEUSER, pid, RIP, address) == 0)
end

local function address(fn) return ffi.cast("int64_t", ffi.cast("void *", fn)) end

-- Where the function goes back to whose first instruction is the next: it is on top of the stack.
local function return_address(pid)
  return trace(PEEKTEXT, pid, trace(PEEKUSER, pid, RSP, 0), 0)
end

--- Call `fn(...)` (a C function) in a child and kill it once `steps` instructions were executed, whatever it calls
--- included; at the latest when it has come back. Returns whether it was killed before that. The steps are counted from
--- where `hash`, which is pure and called by it, first comes back; nil: from its first instruction.
function M.after(steps, hash, fn, ...)
  local pid = ffi.C.fork()
  if pid == 0 then
    ffi.C.ptrace(TRACEME, 0, nil, nil)
    ffi.C.raise(SIGSTOP)
    fn(...)
    ffi.C._exit(0)
  end
  assert(wait(pid) == SIGSTOP)
  run_to(pid, address(fn))
  local back, at = return_address(pid), nil
  if hash then
    run_to(pid, address(hash))
    run_to(pid, return_address(pid))
  end
  for _ = 1, steps do
    assert(trace(STEP, pid, 0, 0) == 0 and wait(pid) == SIGTRAP)
    at = trace(PEEKUSER, pid, RIP, 0)
    if at == back then break end
  end
  ffi.C.kill(pid, SIGKILL)
  wait(pid)
  return at ~= back
end

return M
