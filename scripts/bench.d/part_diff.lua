-- SPDX-License-Identifier: MIT
-- What comparing two policies costs, of what one replay costs: a million flows, two policies of a hundred rules. What
-- `diff` counts is compared with diff_count.lua first; where that is another number, this part fails.
local bit = require("bit")
local dkjson = require("dkjson")
local command = require("command")
local descriptors = require("descriptors")
local diff_count = require("diff_count")
local made = require("made_recording")
local seeded = require("seeded")
local slices = require("slices")
local core = require("spec.helper").core

local M = {}
local DIRECTORY = os.getenv("CELLFLOW_BENCH_TMP") or "/dev/shm"
local RULES, FLOWS, QUICK, OPENED = 100, 1000000, 100000, 0.7 -- of events; the rest close flows
local PORTS = { 443, 80, 53, 22, 5432, 8080 }

-- Rules for single servers and small networks. The second policy is an edit of the first: some decisions, reasons and
-- names are others, some rules match nothing, and one port is told once a second for each server.
local function policies()
  local r, old, new = seeded.new(20261130), {}, {}
  for i = 1, RULES - 1 do
    local net = i % 3 == 0 and ("10.77.200.%d/30"):format(r:below(6) * 4) or ("10.77.200.%d"):format(r:below(20) + 1)
    local decision, rest = r:pick({ "allow", "deny" }), ('{ dst_addr = "%s", dst_port = %d%s }'):format(net,
      r:pick(PORTS), r:below(4) == 0 and (', reason = "because_%d"'):format(r:below(3)) or "")
    local edit, name = r:below(10), ("r%d"):format(i)
    old[#old + 1] = ('%s "%s" %s'):format(decision, name, rest)
    if edit == 0 then decision = decision == "allow" and "deny" or "allow" end
    if edit == 1 then name = name .. "-renamed" end
    if edit == 2 then rest = rest:gsub(" }", ', direction = "ingress" }') end
    new[#new + 1] = ('%s "%s" %s'):format(decision, name, rest)
  end
  old[#old + 1] = 'allow "v6" { family = "ipv6" }\ndefault { decision = "deny", reason = "not_declared" }\n'
  new[#new + 1] = 'deny "v6" { family = "ipv6" }\ndefault { decision = "deny", reason = "not_listed" }\n'
    .. "function dedup(ev) if ev.dst_port == 8080 then return ev.dst_addr, 1 end return false end\n"
  return table.concat(old, "\n"), table.concat(new, "\n")
end

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  file:close()
end

-- { rec =, old =, new = }: paths; the recording has so many flows or a few more.
local function prepare(base, flows)
  local paths = { rec = base .. ".rec", old = base .. ".old.lua", new = base .. ".new.lua" }
  local old, new = policies()
  write_file(paths.old, old)
  write_file(paths.new, new)
  local fd = descriptors.open(paths.rec, bit.bor(descriptors.O_WRONLY, descriptors.O_CREAT, descriptors.O_TRUNC))
  made.write(fd, math.ceil(flows / OPENED * 1.01))
  descriptors.close(fd)
  return paths
end

local function replay(paths, which) return ("build/cellflow replay -q -c %s %s"):format(paths[which], paths.rec) end

local function diff(paths)
  return ("build/cellflow diff -o json --limit 65536 %s %s %s"):format(paths.old, paths.new, paths.rec)
end

local function read(words)
  local pipe = assert(io.popen(words))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

-- Fails unless diff counts what the script counts, of at least so many flows.
local function check(paths, flows)
  local info = assert(dkjson.decode(read("build/cellflow info --json " .. paths.rec)))
  assert(info.by_kind.opened + info.by_kind.logged >= flows, "too few flows")
  local found = assert(dkjson.decode(read(diff(paths))))
  local wrong = diff_count.differences(diff_count.of(replay(paths, "old"), replay(paths, "new")), found)
  assert(#wrong == 0, "diff counts otherwise than a join of two replays:\n" .. table.concat(wrong, "\n"))
  assert(found.changed > 0 and found.events == info.events)
  return info, found
end

local function measure(paths, options)
  local info, found = check(paths, options.quick and QUICK or FLOWS)
  local commands = { ["replay, old"] = replay(paths, "old"), ["replay, new"] = replay(paths, "new"),
    ["diff"] = diff(paths) }
  local names = { "replay, old", "replay, new", "diff" }
  local result = slices.rounds(names, options.quick and 1 or 6, function(name)
    local it = command.run(commands[name] .. " >/dev/null")
    assert(it.code == (name == "diff" and 1 or 0), name .. " failed")
    return { seconds = it.seconds, cpu_ns = it.cpu / info.events * 1e9, mb = math.max(unpack(it.mb)) }
  end, 90)
  local rows, bars = {}, {}
  for i, name in ipairs(names) do
    local seconds = result:of(name, "seconds")
    rows[i] = { name, seconds, result:ratio(name, names[1], "seconds"), result:of(name, "cpu_ns"),
      result:ratio(name, names[1], "cpu_ns") }
    bars[i] = { label = name, median = seconds.median, low = seconds.low, high = seconds.high, is_ours = true }
  end
  local by = found.changed_by
  return { title = "Diff: two policies on the same traffic",
    about = ("%d events of %d flows, two policies of %d rules, records to /dev/null. Right first: %d changes (decision "
      .. "%d, reason %d, rule %d, presence %d) in %d groups, each as an independent script counts them from what two "
      .. "replays wrote."):format(info.events, info.by_kind.opened + info.by_kind.logged, RULES, found.changed,
      by.decision, by.reason, by.rule, by.presence, found.groups),
    checks = { { what = "elapsed, of one replay", value = result:ratio("diff", names[1], "seconds"), must = 3,
      aim = 1.5, cause = "Two policies are decided by two processes; with one CPU for both, that is two replays." } },
    tables = { { head = { "verb", "seconds", "of a replay", "CPU ns an event", "CPU of a replay" }, rows = rows } },
    plot = { title = "Diff: seconds", unit = "s", bars = bars } }
end

function M.run(options)
  local base = ("%s/cellflow-bench-%d"):format(DIRECTORY, core.cf_monotonic_seconds() * 1e6)
  local ok, part = xpcall(function()
    return measure(prepare(base, options.quick and QUICK or FLOWS), options)
  end, debug.traceback)
  for _, ending in ipairs({ ".rec", ".old.lua", ".new.lua" }) do os.remove(base .. ending) end
  return assert(ok and part, part)
end

return M
