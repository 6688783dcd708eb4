-- SPDX-License-Identifier: MIT
-- One command run to its end, and what it took: elapsed and CPU seconds, and how much memory it held, looked at while
-- it ran. Compares nothing.
local ffi = require("ffi")
local system = require("system")

ffi.cdef[[
struct bench_rusage { long user_s, user_us, system_s, system_us, rest[14]; };
int getrusage(int who, struct bench_rusage *usage);
]]

local M = {}
local RUSAGE_CHILDREN, LOOK_EVERY = -1, 0.02

-- CPU seconds of all children that were waited for.
local function children_cpu()
  local usage = ffi.new("struct bench_rusage")
  assert(ffi.C.getrusage(RUSAGE_CHILDREN, usage) == 0)
  return tonumber(usage.user_s + usage.system_s) + tonumber(usage.user_us + usage.system_us) / 1e6
end

-- MB that a process holds; nil: it has ended.
local function held(pid)
  local file = io.open(("/proc/%d/status"):format(pid))
  local text = file and file:read("*a") or ""
  if file then file:close() end
  local kb = text:match("\nVmRSS:%s*(%d+)")
  return kb and tonumber(kb) / 1024
end

--- Run `command` by sh. { seconds =, cpu =, code =, mb = { what it held, every 20 ms } }; its CPU time is that of all
--- its processes, its memory that of the first.
function M.run(command)
  local before, began, seen = children_cpu(), system.monotime(), {}
  local text = ("echo $$; exec " .. command):gsub("'", "'\\''")
  local pipe = assert(io.popen(("sh -c '%s'; echo $?"):format(text)))
  local pid = pipe:read("*n")
  local mb = held(pid)
  while mb do
    seen[#seen + 1] = mb
    system.sleep(LOOK_EVERY)
    mb = held(pid)
  end
  local code = pipe:read("*n")
  pipe:close()
  return { seconds = system.monotime() - began, cpu = children_cpu() - before, code = code, mb = seen }
end

return M
