-- SPDX-License-Identifier: MIT
-- A long run at a steady rate: real packets of a cell, each a new flow, through four hooks in Lua and 100 rules into
-- /dev/null. What LuaJIT's compiler did, what the processes hold, what was lost, sampled all the way; fails when after
-- the first minute a trace was given up, everything compiled was thrown away, or memory went on growing. Usage, from
-- the repository's root: luajit scripts/soak.d/steady.lua [SECONDS [RATE]]. SIGINT ends it in good order.
package.path = "./scripts/bench.d/?.lua;./?.lua;./spec/support/?.lua;" .. package.path
package.loaded["spec.helper"] = dofile("spec/helper.lua")
jit.off() -- luajit ends a script at SIGINT by a hook, which compiled code does not look at
local cellflow = require("cellflow")
local dkjson = require("dkjson")
local lab = require("spec.support.lab")
local resident = require("resident")
local rivals = require("rivals")
local system = require("system")

local seconds, rate = tonumber(arg[1] or 600), tonumber(arg[2] or 100000)
local SLICE = 15 -- seconds between samples; each has a sender, and destinations, of its own
local WARM = 60
-- What a process may hold more of in the last minute than in the second. LuaJIT's collector begins a round when the
-- heap is twice what it was after the last one, which takes minutes here, where nearly nothing is garbage.
local MARGIN_MB = 4
local RULES = 100

-- What blast sends: source ports from 1024 on, destination ports 9000 to 9007, and addresses that begin for each seed
-- at 4096 times it. So a rule is a network that one slice goes to, with half of the ports; another family every fourth.
local function rules()
  local lines = {}
  for i = 1, RULES do
    local first = i * 4096
    local net = i % 4 == 0 and ("fd78::%x:%x/120"):format(math.floor(first / 65536), first % 65536)
      or ("10.%d.%d.0/24"):format(128 + math.floor(first / 65536), math.floor(first / 256) % 256)
    lines[i] = ('%s "r%d" { protocol = "udp", dst_addr = "%s", dst_port = "9000-9003" }'):format(
      i % 3 == 0 and "deny" or "allow", i, net)
  end
  return table.concat(lines, "\n")
end

local HOOKS = [[
local known = { ["10.128.16.1"] = "mirror", ["10.128.32.2"] = "cache" }
function verdict(ev)
  if ev.protocol == "udp" and ev.dst_port == 9004 then return "deny", "odd_port" end
  if ev.src_port > 30000 then return "deny" end
  return "allow", known[ev.dst_addr]
end
function reason(ev, decision)
  if decision == "deny" then return ev.family == "ipv6" and "ipv6_denied" or "not_declared" end
end
function dedup(ev)
  if ev.dst_port == 9007 then return ev.dst_addr, 10 end
  return false
end
function format(record)
  if record.dst_port == 9006 and record.reason_code == "ipv6_denied" then return nil end
  return record
end
]]

-- The numbers of the latest summary on stderr.
local function read_summary(text)
  local at = 1
  for from in text:gmatch("()summary: ") do at = from end
  text = text:sub(at)
  local function number(pattern) return tonumber(text:match(pattern)) end
  return { lost = number("(%d+) LOST") or 0, packets = number("packets%s+(%d+) seen"),
    consumed = number("decided%s+(%d+) consumed"), records = number("= (%d+) records"),
    compiled = number("(%d+) traces compiled"), aborted = number("compiled, (%d+) aborted"),
    flushed = number("aborted, (%d+) flushes"), restarts = number("script errors, (%d+) restarts"),
    errors = number("(%d+) script errors"), adds_up = not text:find("do not add up", 1, true) }
end

local function count(text, what) return select(2, text:gsub(what, "")) end

local function ask(run)
  local before = count(run:stderr(), "  compiler  ")
  run:signal("USR1")
  cellflow.wait_for("the summary", 30, function() return count(run:stderr(), "  compiler  ") > before end)
  system.sleep(0.05) -- a line for each cell comes after it
  return read_summary(run:stderr())
end

-- blast's own report of one slice.
local function send(here, seed, length)
  local sender = here:start("cell", ("build/bench/blast packet eth0 %d 1 %d %d"):format(length * rate, rate, seed))
  local deadline = system.monotime() + length + 60
  repeat
    system.sleep(0.1)
    local report = dkjson.decode(lab.read_file(sender.path) or "")
    if report then return report, here:stop(sender) end
  until system.monotime() > deadline
  error("the sender does not end: " .. (lab.read_file(sender.path) or ""), 0)
end

local function sample(run, pids, began, slice)
  system.sleep(0.1)
  local now = ask(run)
  now.at, now.rate, now.mb = system.monotime() - began, slice.packets / slice.seconds, {}
  for i, pid in ipairs(pids) do now.mb[i] = resident.mb(pid) end
  print(("%5.0f  %8.0f  %10d  %10d  %6d  %6d  %7d  %7d  %10.2f  %6.2f  %9.2f"):format(now.at, now.rate, now.consumed,
    now.records, now.lost, now.compiled, now.aborted, now.flushed, now.mb[1], now.mb[2], now.mb[3]))
  return now
end

-- The samples of more than `from` and at most `to` seconds: the mean of what process i held.
local function mean(samples, from, to, i)
  local sum, found = 0, 0
  for _, one in ipairs(samples) do
    if one.at > from and one.at <= to then sum, found = sum + one.mb[i], found + 1 end
  end
  return found > 0 and sum / found or nil
end

local function check_memory(samples, problems)
  local last = samples[#samples].at
  if last < 2 * WARM + SLICE then return print("steady: too short a run to compare its memory") end
  for i, name in ipairs({ "supervisor", "worker", "collector" }) do
    local second, now = mean(samples, WARM + 1, 2 * WARM + 2, i), mean(samples, last - WARM, last, i)
    print(("steady: %s holds %.2f MB in the last minute, %.2f in the second: %+.2f"):format(name, now, second,
      now - second))
    if now - second > MARGIN_MB then problems[#problems + 1] = name .. " grew by more than " .. MARGIN_MB .. " MB" end
  end
end

local function verdict(samples, done, sent, code)
  local problems, warm, last = {}, nil, samples[#samples] -- what the end of the run does is no part of its steady state
  local function must(ok, what) if not ok then problems[#problems + 1] = what end end
  for _, one in ipairs(samples) do
    if not warm and one.at >= WARM then warm = one end
  end
  if warm then
    local aborts, flushes = last.aborted - warm.aborted, last.flushed - warm.flushed
    print(("steady: after the first %.0f s: %d traces compiled, %d aborted, %d flushes"):format(warm.at,
      last.compiled - warm.compiled, aborts, flushes))
    must(aborts == 0 and flushes == 0, "the compiler did not come to rest")
  else
    print("steady: too short a run to say what the compiler does once it is warm")
  end
  check_memory(samples, problems)
  print(("steady: %d packets sent, %d seen, %d decided, %d records, %d lost; %d script errors, %d restarts"):format(
    sent, done.packets, done.consumed, done.records, done.lost, done.errors, done.restarts))
  print("steady: the identities " .. (done.adds_up and "hold" or "DO NOT HOLD"))
  must(done.packets >= sent and done.adds_up, "the numbers do not add up")
  must(done.errors == 0 and done.restarts == 0 and code == 0, "the run had errors")
  print(#problems == 0 and "steady: steady" or "steady: NOT STEADY: " .. table.concat(problems, "; "))
  return #problems == 0
end

local function measure(path)
  local here = rivals.lab()
  local run = cellflow.start({ args = { "-c", path, "--netns", "/run/netns/" .. here.cell, "--interface", "eth0" },
    stdout = "/dev/null" }):ready(30)
  local pids, samples, sent, began = { run.pid, run:worker(), run:collector() }, {}, 0, system.monotime()
  print("    s  events/s      events     records    lost  traces  aborted  flushes  supervisor  worker  collector (MB)")
  for i = 1, math.ceil(seconds / SLICE) do
    local slice = send(here, i, math.min(SLICE, seconds - (i - 1) * SLICE))
    sent, samples[i] = sent + slice.packets, sample(run, pids, began, slice)
  end
  local code = run:finish(30)
  return verdict(samples, read_summary(run:stderr()), sent, code)
end

-- Whatever happened: nothing of ours is left.
local function clean(path)
  cellflow.stop_all()
  os.remove(path)
  local pid = require("ffi").C.getpid()
  local made = lab.run(("ls /run/netns | sed -n 's/^\\(spec-%d-[0-9]*\\)-cell$/\\1/p'"):format(pid))
  for name in made:gmatch("%S+") do
    lab.run(("ip netns pids %s-cell | xargs -r kill; scripts/lab down --name %s"):format(name, name))
  end
end

io.stdout:setvbuf("line")
local path = os.tmpname()
local file = assert(io.open(path, "w"))
assert(file:write(rules(), "\n", HOOKS))
file:close()
local ok, result = xpcall(measure, debug.traceback, path)
clean(path)
if not ok then io.stderr:write("steady: ", result, "\n") end
os.exit(ok and result and 0 or 1)
