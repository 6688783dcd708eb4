-- SPDX-License-Identifier: MIT
-- What reading NFLOG costs, and what is lost: UDP packets at a rate, each logged by a rule of the cell, one reader.
-- Then each is logged four times, which is more than one sender's packets could be; and that again with a receive
-- buffer that is too small. The nft counter in those rules is the witness: logged = seen + lost, or this fails.
--   make lib && sudo luajit scripts/bench.d/nflog.lua [RATE [SECONDS]]
package.path = "./?.lua;" .. package.path
require("spec.helper")
local ffi = require("ffi")
local lab = require("spec.support.lab")
local nflog_socket = require("nflog_socket")
local sockets = require("sockets")
local system = require("system")

ffi.cdef([[
struct bench_iovec { void *base; size_t len; };
struct bench_msghdr { void *name; uint32_t namelen; struct bench_iovec *iov; size_t iovlen; void *control;
  size_t controllen; int flags; };
struct bench_mmsghdr { struct bench_msghdr header; unsigned int len; };
struct bench_pollfd { int fd; short events, revents; };
struct bench_timespec { long sec, nsec; };
int sendmmsg(int fd, struct bench_mmsghdr *messages, unsigned int count, int flags);
int poll(struct bench_pollfd *fds, unsigned long count, int timeout);
int clock_gettime(int clock, struct bench_timespec *time);
]])

local C = ffi.C
local CPU_CLOCK, BATCH, PORTS, BITE, SMALL_BUFFER = 2, 64, 16, 4096, 16384
local RULE = 'udp dport 9000-9999 counter name sent log prefix "cellflow:deny:bench" group 100 queue-threshold 512\n'
local RULES = [[
table inet cell {
  counter sent {}
  chain output { type filter hook output priority 0;
%s  }
}
table netdev away { # a drop in output would be an error for the sender, and end its batch
  chain egress { type filter hook egress device "eth0" priority 0; udp dport 9000-9999 drop; }
}]]

-- One process sends: on its own, so that the reader's CPU time is the reader's.
local function send(namespace, rate, seconds)
  sockets.inside(namespace, function()
    local fd = C.socket(2, 2, 0)
    local to = ffi.new("uint8_t[?][16]", PORTS)
    local messages, iov = ffi.new("struct bench_mmsghdr[?]", BATCH), ffi.new("struct bench_iovec[1]")
    iov[0].base, iov[0].len = ffi.new("uint8_t[18]"), 18
    local payload = iov[0].base -- keeps it alive
    for i = 0, PORTS - 1 do ffi.copy(to[i], string.char(2, 0, 35, 40 + i, 10, 77, 0, 1), 8) end
    for i = 0, BATCH - 1 do
      local header = messages[i].header
      header.name, header.namelen, header.iov, header.iovlen = to[i % PORTS], 16, iov, 1
    end
    local start, sent, wanted = system.monotime(), 0, rate * seconds
    while sent < wanted and payload ~= nil do
      local now = system.monotime() - start
      if now > seconds * 3 then break end
      if sent < now * rate then
        local count = C.sendmmsg(fd, messages, BATCH, 0)
        assert(count > 0, "sendmmsg")
        sent = sent + count
      else
        system.sleep(0.0002)
      end
    end
    C.close(fd)
  end)
end

local function cpu_seconds()
  local now = ffi.new("struct bench_timespec")
  C.clock_gettime(CPU_CLOCK, now)
  return tonumber(now.sec) + tonumber(now.nsec) / 1e9
end

local function is_running(pid)
  local stat = lab.read_file(("/proc/%d/stat"):format(pid))
  return stat and stat:match("%) (%a)") ~= "Z"
end

local function measure(here, rate, seconds, times, buffer)
  here:nft("flush ruleset\n" .. RULES:format(RULE:rep(times)))
  local socket = assert(nflog_socket.open(here.cell, 100))
  if buffer then socket:receive_buffer(buffer) end
  local pid = tonumber((lab.must(("luajit scripts/bench.d/nflog.lua send %s %d %d >/dev/null 2>&1 & echo $!"):format(
    here.cell, rate, seconds))))
  local ready, wakes = ffi.new("struct bench_pollfd[1]", { { fd = socket.fd, events = 1 } }), 0
  local begun, cpu, latest = system.monotime(), cpu_seconds(), system.monotime()
  local looked = begun
  repeat
    if C.poll(ready, 1, 200) > 0 then
      wakes = wakes + 1
      while socket:count(BITE) >= BITE do end
      latest = system.monotime()
    end
    local now = system.monotime()
    local over = now - looked > 0.5 and not is_running(pid)
    if now - looked > 0.5 then looked = now end
  until over and now - latest > 0.4
  cpu = cpu_seconds() - cpu
  send(here.cell, 1, 1) -- the number of a last packet shows what was lost before it
  system.sleep(0.1)
  socket:count(BITE)
  local numbers, sent = socket:numbers(), here:counters().sent.packets
  local exact = sent == numbers.packets + numbers.lost and numbers.unsettled == 0
  print(("%7d/s wanted, %7d/s logged: %8d = %8d seen + %7d lost %s; %4d overruns, %5d wake-ups, reader %3d ns CPU a "
    .. "packet (%.1f %% of a core)"):format(rate * times, sent / (latest - begun), sent, numbers.packets, numbers.lost,
    exact and "exactly" or "NOT", numbers.overruns, wakes, cpu / numbers.packets * 1e9, cpu / (latest - begun) * 100))
  socket:close()
  return exact
end

-- From the system call that sends to the packet in hand, nothing else under way: mostly the kernel's flush interval.
local function lone(here)
  here:nft("flush ruleset\n" .. RULES:format(RULE))
  local socket = assert(nflog_socket.open(here.cell, 100))
  local ready, times = ffi.new("struct bench_pollfd[1]", { { fd = socket.fd, events = 1 } }), {}
  for i = 1, 40 do
    local sent = sockets.inside(here.cell, function()
      local fd = C.socket(2, 2, 0)
      local before = system.monotime()
      C.sendto(fd, "x", 1, 0, ffi.new("uint8_t[16]", { 2, 0, 35, 40, 10, 77, 0, 1 }), 16)
      C.close(fd)
      return before
    end)
    C.poll(ready, 1, 1000)
    assert(socket:count(BITE) == 1)
    times[i] = system.monotime() - sent
    system.sleep(0.013 + i * 0.0003) -- at no multiple of the kernel's clock tick
  end
  table.sort(times)
  print(("a lone packet: %.1f ms (median), %.1f ms (longest of 40)"):format(times[20] * 1e3, times[40] * 1e3))
  socket:close()
end

if arg[1] == "send" then return send(arg[2], tonumber(arg[3]), tonumber(arg[4])) end
local rate, seconds = tonumber(arg[1] or 200000), tonumber(arg[2] or 5)
if not (rate and seconds) then
  io.stderr:write("usage: luajit scripts/bench.d/nflog.lua [RATE [SECONDS]]\n")
  os.exit(2)
end
io.stdout:setvbuf("line")
local here = lab.up()
local ok, result = pcall(function()
  lone(here)
  local exact = measure(here, rate, seconds, 1)
  exact = measure(here, rate, seconds, 4) and exact
  return measure(here, rate, seconds, 4, SMALL_BUFFER) and exact
end)
nflog_socket.close_all()
here:down()
if not ok then io.stderr:write(tostring(result), "\n") end
os.exit(ok and result and 0 or 1)
