-- SPDX-License-Identifier: MIT
-- Recorded runs at 50,000 flows a second to which everything is done that can be: workers, recorders and collectors
-- killed and stopped, the policy read again, rings that overflow, parts that end. Replayed, is each byte the live one?
-- Usage, from the repository's root (root): luajit scripts/soak.d/replay.lua [SEED [ROUNDS]]
package.path = "./?.lua;./spec/support/?.lua;" .. package.path
package.loaded["spec.helper"] = dofile("spec/helper.lua")
local cellflow = require("cellflow")
local lab = require("spec.support.lab")
local recorded = require("recorded")
local seeded = require("seeded")
local system = require("system")

local seed, rounds = tonumber(arg[1] or os.time()), tonumber(arg[2] or 20)
if not (seed and rounds) then
  io.stderr:write("usage: scripts/soak replay [SEED [ROUNDS]]\n")
  os.exit(2)
end

local POLICY = [[
cell "web" { netns = "%s", hooks = { "egress", "ingress" }, sources = { "ebpf", "nflog" },
  events = { "opened", "closed", "updated", "logged" } }
flows { udp_idle = 2 }
limits { memory_mb = 64 }
allow "low" { protocol = "udp", dst_port = "9000-9003" }
deny "v6" { family = "ipv6", reason = "no_v6" }
local n, busy, k = counter("n"), window(1), 0
function verdict(ev)
  k = k + 1
  if ev.src_port %% 97 == 0 then error("97") end
  return k %% 5 == 0 and "deny" or "allow", "k" .. k %% 7
end
function reason(ev, decision, code) if ev.kind == "closed" then return code .. "_" .. ev.close_reason end end
function dedup(ev)
  if ev.kind == "opened" and ev.src_port %% 8 == 0 then return ev.src_port %% 512, 0.05 end
  return false
end
on("opened", function(ev) n:add(1) busy:add(ev.dst_port) end)
on("start", function() emit { type = "start" } end)
on("stop", function() emit { type = "stop", k = k } end)
on("lost", function(lost) emit { type = "lost", count = lost.count, total = lost.total } end)
every(0.3, function(now) emit { type = "tick", at = now, n = n:get(), k = k, top = busy:top(3) } end)
]]
local RULES = [[
table inet t {
  chain out {
    type filter hook output priority 0; policy accept;
    udp dport 9010-9012 log group 100 queue-threshold 64 prefix "cellflow:deny:low" drop
    meta l4proto { tcp, udp } th dport 9005-9009 ct state new log group 100 queue-threshold 64 \
      prefix "cellflow:allow:mid" accept
  }
}]]
local SENT = [[bash -c 'for i in 1 2 3; do
  build/flowgen --ports 20 --flows 8000 --rate 8000 --firewalled --seed %d$i --to4 %s --to6 %s
  build/flowgen --mix udp4,udp6 --ports 10 --flows 60000 --rate 50000 --seed %d$i --to4 %s --to6 %s
done']]

-- A child of the run stands still for a while, or is killed. It may have gone already.
local function pause(run, name, seconds)
  local child = cellflow.child(run.pid, name)
  if not child then return end
  cellflow.kill(child, "STOP")
  system.sleep(seconds)
  cellflow.kill(child, "CONT")
end

local function kill(name)
  return function(run)
    local child = cellflow.child(run.pid, name)
    if child then cellflow.kill(child, "KILL") end
  end
end

local TROUBLES = {
  { "worker killed", kill("cellflow-worker") }, { "recorder killed", kill("cf-recorder") },
  { "collector killed", kill("cf-collector") },
  { "worker stopped", function(run) pause(run, "cellflow-worker", 0.5) end },
  { "recorder stopped", function(run) pause(run, "cf-recorder", 0.2) end },
  { "reload", function(run) run:signal("HUP") end }, { "numbers", function(run) run:signal("USR1") end },
}

local function is_same(live, parts, policy, path)
  local command = ("%s replay -q -c %s %s >%s 2>&1"):format(cellflow.path, policy, table.concat(parts, " "), path)
  return os.execute(command) == 0 and select(2, lab.run(("cmp -s %s %s"):format(live, path))) == 0
end

-- One run; returns whether it was the same (nil: what the recorder had no time for cannot come again), what was done to
-- it, and its summary.
local function round(number, here, paths)
  local random, done = seeded.new(seed + number), {}
  lab.must(("cat >%s <<'LUA'\n%sLUA"):format(paths.policy, POLICY:format(here.cell)))
  here:serve("--ports 20")
  here:nft(RULES)
  local run = cellflow.start({ args = { "-c", paths.policy, "--ring-size", "2", "--record", paths.recording,
    "--record-time", "2", "--summary-record" }, stdout = paths.live }):ready()
  local sender = here:start("cell", SENT:format(number, lab.peer4, lab.peer6, number, lab.peer4, lab.peer6))
  while cellflow.is_alive(sender.pid) do
    system.sleep(0.1 + random:below(900) / 1000)
    assert(not run:ended(), run:stderr())
    local trouble = random:pick(TROUBLES)
    done[#done + 1] = trouble[1]
    trouble[2](run)
  end
  assert(run:finish(60) == 0, run:stderr())
  local summary = run:summary()
  lab.must(("sed -i '$d' %s"):format(paths.live)) -- the summary is of the run
  if summary.recording.unrecorded > 0 then return nil, done, summary end
  return is_same(paths.live, recorded.parts(paths.recording), paths.policy, paths.replayed), done, summary
end

io.stdout:setvbuf("line")
print(("soak replay: seed %d, %d runs"):format(seed, rounds))
local records, lost, different, compared = 0, 0, 0, 0
for number = 1, rounds do
  local here, directory = lab.up(), lab.must("mktemp -d"):match("%S+")
  local paths = {}
  for _, name in ipairs({ "policy", "recording", "live", "replayed" }) do paths[name] = directory .. "/" .. name end
  local ok, same, done, summary = xpcall(round, debug.traceback, number, here, paths)
  cellflow.stop_all()
  here:down()
  if ok and same == nil then
    lab.must("rm -r " .. directory)
    print(("  run %d: not compared, %d events went unrecorded"):format(number, summary.recording.unrecorded))
  elseif not (ok and same) then
    different = different + 1
    print(("  run %d: NOT THE SAME, see %s: %s"):format(number, directory, ok and table.concat(done, ", ") or same))
  else
    lab.must("rm -r " .. directory)
    records, lost, compared = records + summary.worker.records, lost + summary.lost, compared + 1
    print(("  run %d: the same, %d records, %d lost: %s"):format(number, summary.worker.records, summary.lost,
      table.concat(done, ", ")))
  end
end
print(("soak replay: %d runs compared, %d records, %d lost in them, %s"):format(compared, records, lost,
  different == 0 and "all replays the same" or ("%d runs FAILED"):format(different)))
os.exit(different == 0 and compared > 0 and 0 or 1)
