-- SPDX-License-Identifier: MIT
-- What a worker cannot do, attempted from inside one; and that a real worker is confined like that and still does
-- everything it is for.
local ffi = require("ffi")
require("spec.helper")
local lab = require("spec.support.lab")
local cellflow = require("cellflow")

local EPERM, EACCES, ENOSYS, SIGSYS = "1", "13", "38", 31

-- Runs one attempt in a process of its own: what it printed, and the signal that ended it, if one did.
local function attempt(how, name)
  local output, code = lab.run(("luajit spec/support/confined.lua %s %s"):format(how, name))
  return output:match("^(%d+)\n$") or output, code > 128 and code - 128 or 0
end

local function landlock_version()
  ffi.cdef("long syscall(long number, ...);")
  return tonumber(ffi.C.syscall(444, ffi.cast("long", 0), ffi.cast("long", 0), ffi.cast("long", 1)))
end

describe("a confined process", function()
  if jit.arch ~= "x64" then return pending("x86-64 (the attempts name its system calls)") end
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  for _, name in ipairs({ "open", "openat", "open_null", "open_own_fd", "creat", "stat", "stat_at", "readlink",
    "getdents", "unlink", "chdir", "truncate", "socket", "netlink", "connect", "bind", "listen", "memfd", "fork",
    "clone", "clone3", "kill", "kill_self", "tgkill", "pidfd_open", "prlimit", "setrlimit", "setrlimit_data",
    "prctl", "fcntl_setfl", "ioctl", "shmget", "inotify" }) do
    it("is refused " .. name, function() assert.same({ EPERM, 0 }, { attempt("worker", name) }) end)
  end
  it("is told that calls of later kernels do not exist", function()
    assert.same({ ENOSYS, 0 }, { attempt("worker", "newer") })
  end)
  for _, name in ipairs({ "execve", "execveat", "ptrace", "process_vm_readv", "mount", "bpf", "setuid", "setns",
    "unshare", "chroot", "init_module", "perf_event_open", "io_uring", "userfaultfd", "keyctl", "x32_getpid" }) do
    it("is killed by " .. name, function() assert.equal(SIGSYS, (select(2, attempt("worker", name)))) end)
  end
  for _, name in ipairs({ "write", "fstat", "machine_code", "tgkill_self" }) do
    it("may " .. name, function() assert.same({ "0", 0 }, { attempt("worker", name) }) end)
  end
end)

describe("landlock alone", function()
  if jit.arch ~= "x64" then return pending("x86-64 (the attempts name its system calls)") end
  local version = landlock_version()
  if version < 1 then return pending("landlock (Linux 5.13, and in the kernel's list of security modules)") end

  for _, name in ipairs({ "open", "openat", "open_null", "open_own_fd", "creat" }) do
    it("refuses " .. name, function() assert.same({ EACCES, 0 }, { attempt("landlock", name) }) end)
  end
  it("refuses TCP", function()
    if version < 4 then return pending("landlock 4 (Linux 6.7)") end
    assert.same({ EACCES, 0 }, { attempt("landlock", "connect") })
    assert.same({ EACCES, 0 }, { attempt("landlock", "bind") })
  end)
  it("refuses signals to others", function()
    if version < 6 then return pending("landlock 6 (Linux 6.12)") end
    assert.same({ EPERM, 0 }, { attempt("landlock", "kill") })
    assert.same({ "0", 0 }, { attempt("landlock", "kill_self") })
  end)
  it("leaves what is open", function() assert.same({ "0", 0 }, { attempt("landlock", "write") }) end)
end)

describe("a worker", function()
  local lacking = lab.lacking()
  if lacking then return pending(lacking) end

  local here, directory
  before_each(function()
    here = lab.up()
    here:serve()
    directory = os.tmpname()
    os.remove(directory)
    lab.must("mkdir " .. directory)
  end)
  after_each(function()
    cellflow.stop_all()
    here:down()
    lab.must("rm -r " .. directory)
  end)

  local function write(name, text)
    local file = assert(io.open(directory .. "/" .. name, "w"))
    file:write(text)
    file:close()
    return directory .. "/" .. name
  end

  local function start(policy, ...)
    return cellflow.start({ args = { "-c", write("p.lua", policy), "--cell", "one", "--netns", here.cell,
      "--interface", "eth0", "--summary-record", ... } }):ready()
  end

  local function proc(pid, name)
    return assert(lab.read_file(("/proc/%d/%s"):format(pid, name)))
  end

  it("has no privilege, a filter, small limits and nothing open but what it needs", function()
    local run = start("")
    local supervisor, worker = run:pids()
    local status, limits = proc(worker, "status"), proc(worker, "limits")
    assert.equal("1", status:match("NoNewPrivs:%s*(%d)"))
    assert.equal("2", status:match("Seccomp:%s*(%d)"))
    for _, set in ipairs({ "Inh", "Prm", "Eff", "Bnd", "Amb" }) do
      assert.equal("0000000000000000", status:match("Cap" .. set .. ":%s*(%x+)"), set)
    end
    assert.equal("65534\t65534\t65534\t65534", status:match("Uid:%s*([^\n]*)"))
    assert.equal("", status:match("Groups:[ \t]*([^\n]-)%s*\n"))
    assert.equal("256", limits:match("Max open files%s+%d+%s+(%d+)"))
    assert.equal("0", limits:match("Max processes%s+%d+%s+(%d+)"))
    assert.equal("0", limits:match("Max core file size%s+%d+%s+(%d+)"))
    local data = limits:match("Max data size%s+%w+%s+(%w+)")
    if cellflow.path:find("sanitize", 1, true) then
      assert.equal("unlimited", data) -- its shadow alone is terabytes
    else
      assert.is_true(tonumber(data) >= 2 ^ 29 and tonumber(data) < 2 ^ 30)
    end
    for link in lab.must(("readlink /proc/%d/fd/*"):format(worker)):gmatch("[^\n]+") do
      assert.is_truthy(link:match("^/dev/null$") or link:match("^socket:") or link:match("^anon_inode:")
        or link:match("^/memfd:cellflow") or link == run.stdout_path or link == run.stderr_path, link)
    end
    assert.equal("0", proc(supervisor, "status"):match("Seccomp:%s*(%d)"))
  end)

  it("says at the start how it is confined", function()
    local run = start("", "--verbose")
    assert.matches("worker: uid 65534, no capabilities, no new privileges, seccomp", run:stderr(), 1, true)
    assert.equal(0, run:finish())
    assert.matches("landlock " .. landlock_version(), run:stderr(), 1, true)
    assert.is_nil(run:stderr():find("confines workers less", 1, true))
  end)

  it("writes to files and sockets, is reloaded and replaced, all confined", function()
    local socket, file = directory .. "/s", directory .. "/f"
    lab.must(([[python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind("%s"); os.chmod("%s", 0o777); s.listen()
if os.fork(): os._exit(0)
os.setsid(); os.close(1); os.close(2)
out = open("%s", "wb", 0); s.settimeout(30)
for i in range(2):
    c = s.accept()[0]
    while True:
        data = c.recv(65536)
        if not data: break
        out.write(data)
']]):format(socket, socket, directory .. "/got"))
    local policy = ('output "json" { path = "-" } output "json" { path = "%s" } output "json" { path = "unix:%s" }\n')
      :format(file, socket)
    local run = start(policy .. "local n = 0 function verdict() n = n + 1 return 'deny', 'first' end")
    here:send("--flows 40")
    write("p.lua", policy .. "function verdict() return 'deny', 'second' end")
    run:signal("HUP")
    run:says("reloaded")
    local worker = run:worker()
    here:send("--flows 40 --seed 2")
    cellflow.kill(worker, "KILL")
    run:worker(worker)
    here:send("--flows 40 --seed 3")
    assert.equal(0, run:finish())
    assert.equal(120, #run:records())
    assert.equal(120, #run:records(file))
    cellflow.wait_for("the socket's reader", 10, function()
      local got = lab.read_file(directory .. "/got")
      return got and select(2, got:gsub('"type":"network_flow_decision"', "")) >= 120
    end)
    assert.is_nil(run:stderr():find("only an attack makes", 1, true))
  end)
end)
