-- SPDX-License-Identifier: MIT
-- A run that was recorded, replayed: with the same policy its records come out byte for byte, whatever happened to the
-- run; nothing of what the policy sees is of another time.
local lab = require("spec.support.lab")
local dkjson = require("dkjson")
local cellflow = require("cellflow")
local recorded = require("recorded")
local system = require("system")

local lacking = lab.lacking()
local FLOWS = 20000
local POLICY = [[
metadata { run_id = "in-file", keyset_id = "k-1" }
limits { memory_mb = 64 }
allow "dns" { protocol = "udp", dst_port = 53 }
deny "v6" { family = "ipv6", reason = "no_v6" }
local ports, n, seen = window(0.5), 0, counter("seen")
function verdict(ev)
  n = n + 1
  if ev.src_port % 7 == 0 then error("seven") end
  return n % 3 == 0 and "deny" or "allow", ("at_%d"):format(math.floor(ev.time * 100) % 10)
end
function dedup(ev) return ev.src_port % 64 + (ev.family == "ipv6" and 64 or 0), 0.001 end
on("opened", function(ev) ports:add(ev.dst_port) seen:add(1) end)
on("start", function() emit { type = "start", team = args.team } end)
on("stop", function() emit { type = "stop", n = n } end)
on("lost", function(lost) emit { type = "lost", count = lost.count, total = lost.total } end)
every(0.1, function(now) emit { type = "tick", at = now, n = n, top = ports:top(3), seen = seen:get() } end)
]]

describe("a replay of a recorded run", function()
  if lacking then return pending(lacking) end
  local here, path, policy

  local function write_policy(text)
    local file = assert(io.open(policy, "w"))
    file:write(text)
    file:close()
  end

  before_each(function()
    here, path, policy = lab.up(), os.tmpname(), os.tmpname()
    os.remove(path)
    write_policy(POLICY)
  end)
  after_each(function()
    cellflow.stop_all()
    here:down()
    for _, part in ipairs(recorded.parts(path)) do os.remove(part) end
    os.remove(policy)
  end)

  local function live(...)
    return cellflow.start({ args = { "--netns", here.cell, "--interface", "eth0", "--record", path, ... } }):ready()
  end

  local function send(rate, meanwhile, flows)
    local sender = here:start("cell", ("build/flowgen --mix udp4,udp6 --flows %d --rate %d --to4 %s --to6 %s")
      :format(flows or FLOWS, rate, lab.peer4, lab.peer6))
    if meanwhile then meanwhile() end
    cellflow.wait_for("the sender to end", 60, function() return not cellflow.is_alive(sender.pid) end)
    here:stop(sender)
  end

  local function replay(words)
    local pipe = io.popen(("TZ=Asia/Tokyo %s replay -q %s %s 2>&1"):format(cellflow.path, words,
      table.concat(recorded.parts(path), " ")))
    local out = pipe:read("*a")
    pipe:close()
    return out
  end

  -- The first line that differs says more than two texts of 10 MB.
  local function assert_same(expected, got)
    if expected == got then return end
    local a, b, at = expected:gmatch("[^\n]*\n"), got:gmatch("[^\n]*\n"), 1
    local one, other = a(), b()
    while one and one == other do
      at, one, other = at + 1, a(), b()
    end
    error(("line %d is\n%sand not\n%s"):format(at, tostring(other), tostring(one)), 2)
  end

  it("gives the records of the run with the default mapping", function()
    local run = live("--run-id", "r-1")
    send(50000)
    assert.equal(0, run:finish(30))
    local out = run:stdout()
    assert.is_true(select(2, out:gsub("\n", "")) >= FLOWS)
    assert_same(out, replay(""))
  end)

  it("gives those of a policy with timers, windows, deduplication, errors and arguments", function()
    local run = live("-c", policy, "-a", "team=blue", "--run-id", "r-2")
    send(30000)
    assert.equal(0, run:finish(30))
    local out = run:stdout()
    for _, needle in ipairs({ '"type":"tick"', '"type":"stop"', '"team":"blue"', "script_error", '"run_id":"r-2"',
      '"keyset_id":"k-1"', "no_v6", "at_7" }) do
      assert.truthy(out:find(needle, 1, true), needle)
    end
    assert_same(out, replay("-c " .. policy))
    assert.is_false(replay("-c " .. policy .. " -a team=red") == out)
  end)

  it("gives those of a run that lost events, and the same losses", function()
    local run = live("-c", policy, "--ring-size", "1", "--summary-record")
    send(50000, function()
      local worker = run:worker()
      assert.is_true(cellflow.kill(worker, "STOP"))
      system.sleep(0.4)
      assert.is_true(cellflow.kill(worker, "CONT"))
    end)
    assert.equal(0, run:finish(30))
    local summary = run:summary()
    assert.is_true(summary.lost > 0)
    local out = run:stdout():gsub("[^\n]*\n$", "") -- without the summary
    assert.truthy(out:find('"type":"lost"', 1, true))
    assert_same(out, replay("-c " .. policy))
    local replayed = dkjson.decode((replay("--summary-record -c " .. policy):match("([^\n]*)\n$")))
    assert.same({ summary.lost, true, summary.worker.records }, { replayed.lost, replayed.adds_up,
      replayed.worker.records })
  end)

  it("gives those of a run with both sources, whose flows also end", function()
    here:serve("--ports 20")
    here:nft([[
      table inet t {
        chain out {
          type filter hook output priority 0; policy accept;
          udp dport 9000-9004 log group 100 queue-threshold 64 prefix "cellflow:deny:low" drop
          tcp dport 9000-9004 log group 100 queue-threshold 64 prefix "cellflow:deny:low" reject with tcp reset
          meta l4proto { tcp, udp } th dport 9005-9009 ct state new log group 100 queue-threshold 64 \
            prefix "cellflow:allow:mid" accept
        }
      }]])
    write_policy((POLICY:gsub("function dedup[^\n]*\n", "")))
    local run = live("-c", policy, "--sources", "ebpf,nflog", "--hooks", "both", "--events",
      "opened,updated,closed,logged")
    here:send("--ports 20 --flows 4000 --rate 4000 --packets 3 --firewalled")
    assert.equal(0, run:finish(30))
    local out = run:stdout()
    for _, needle in ipairs({ '"source":"nflog"', '"nft_rule_ref":"mid"', '"witnesses":["ebpf","nflog"]',
      '"kind":"closed"', '"close_reason":"fin"', '"verdict":"drop"' }) do
      assert.truthy(out:find(needle, 1, true), needle)
    end
    assert_same(out, replay("-c " .. policy))
  end)

  it("gives those of a run at 50,000 flows a second that lost events and whose workers were killed", function()
    local run = live("-c", policy, "--ring-size", "1", "--record-time", "1", "--summary-record")
    send(50000, function()
      local worker = run:worker()
      system.sleep(0.5)
      cellflow.kill(cellflow.child(run.pid, "cf-recorder"), "KILL")
      for _ = 1, 2 do
        system.sleep(0.2)
        assert.is_true(cellflow.kill(worker, "STOP"))
        system.sleep(0.5) -- the ring holds a sixth of a second
        assert.is_true(cellflow.kill(worker, "KILL"))
        worker = run:worker(worker)
      end
    end, 100000)
    assert.equal(0, run:finish(30))
    local summary = run:summary()
    assert.is_true(summary.kernel.ring_full > 0)
    assert.is_true(summary.worker.restarts >= 2)
    local out = run:stdout():gsub("[^\n]*\n$", "")
    assert_same(out, replay("-c " .. policy))
    local replayed = dkjson.decode((replay("--summary-record -c " .. policy):match("([^\n]*)\n$")))
    assert.same({ summary.lost, true, summary.worker.records, 1 }, { replayed.lost, replayed.adds_up,
      replayed.worker.records, replayed.recording.recordings })
    assert.is_true(replayed.recording.files >= 2)
  end)

  it("gives those of a run whose workers were killed and whose policy was read again", function()
    local run = live("-c", policy, "--record-time", "1")
    send(10000, function()
      local worker
      for _ = 1, 3 do
        worker = run:worker(worker)
        system.sleep(0.1)
        assert.is_true(cellflow.kill(worker, "KILL"))
      end
      run:worker(worker)
      system.sleep(0.1)
      cellflow.kill(run.pid, "HUP")
      run:says("generation 2", 10)
    end)
    assert.equal(0, run:finish(30))
    local out = run:stdout()
    assert.truthy(out:find('"generation":2', 1, true))
    assert_same(out, replay("-c " .. policy))
  end)
end)
