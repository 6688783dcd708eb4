-- SPDX-License-Identifier: MIT
-- What recording and replaying cost: events of made-up traffic made into frames, into blocks and a file, and read
-- again; then ten million of them replayed, and whether the memory for it grows with their number. What a comparison of
-- two policies costs is part_diff's.
local bit = require("bit")
local ffi = require("ffi")
local command = require("command")
local descriptors = require("descriptors")
local made = require("made_recording")
local slices = require("slices")
local core = require("spec.helper").core

local M = {}
local DIRECTORY = os.getenv("CELLFLOW_BENCH_TMP") or "/dev/shm"
local MANY, QUICK = 10000000, 1000000
local WAYS = {
  ["full batches"] = { level = 1 }, ["full batches, level 3"] = { level = 3 },
  ["batches of 1 to 8"] = { level = 1, batch = 8 },
}
local WAY_NAMES = { "full batches", "full batches, level 3", "batches of 1 to 8" }
local FIVE_RULES = [[
allow "dns"    { protocol = "udp", dst_port = 53 }
allow "https"  { protocol = "tcp", dst_port = 443, dst_addr = { "10.77.200.0/28", "fd77::/32" } }
allow "http"   { protocol = "tcp", dst_port = 80 }
deny  "no-ssh" { protocol = "tcp", dst_port = 22, reason = "ssh_egress" }
default        { decision = "deny", reason = "not_declared" }
]]

-- Seconds that reading takes, with the events copied out of their frames.
local function read(path, events)
  local reader, err, frame = ffi.new("struct cf_reader"), ffi.new("struct cf_error"), ffi.new("struct cf_frame")
  local now, batch = ffi.new("uint64_t[1]"), ffi.new("struct cf_batch")
  local count, before = 0, core.cf_monotonic_seconds()
  assert(core.cf_reader_open(reader, path, err) == 0, ffi.string(err.text))
  while core.cf_reader_next(reader, frame, err) > 0 do
    if frame.type == ffi.C.CF_FRAME_BATCH then
      core.cf_frame_get_batch(frame, now, batch)
      count = count + batch.count
    end
  end
  local took = core.cf_monotonic_seconds() - before
  assert(count == events and reader.is_ended == 1, "not all was read")
  core.cf_reader_close(reader)
  return took
end

-- A recording at `path`: what it cost to make, in ns an event, and its bytes an event.
local function write(path, events, options)
  local fd = descriptors.open(path, bit.bor(descriptors.O_WRONLY, descriptors.O_CREAT, descriptors.O_TRUNC))
  local numbers, framing, adding = made.write(fd, events, options)
  descriptors.close(fd)
  return { frame_ns = framing / events * 1e9, block_ns = adding / events * 1e9,
    bytes = tonumber(numbers.file_bytes) / events }
end

local function ways(path, events, rounds)
  local result = slices.rounds(WAY_NAMES, rounds, function(name)
    local found = write(path, events, WAYS[name])
    found.rate = events / read(path, events) / 1e6
    return found
  end, 60)
  local rows = {}
  for i, name in ipairs(WAY_NAMES) do
    rows[i] = { name, result:of(name, "frame_ns"), result:of(name, "block_ns"), result:of(name, "bytes"),
      result:of(name, "rate") }
  end
  return rows
end

local function run(words, events)
  local result = command.run(("build/cellflow %s >/dev/null"):format(words))
  assert(result.code == 0, words .. " failed")
  local highest = 0
  for _, mb in ipairs(result.mb) do highest = math.max(highest, mb) end
  return { cpu_ns = result.cpu / events * 1e9, rate = events / result.seconds / 1e6, mb = highest,
    mb_quarter = result.mb[math.ceil(#result.mb / 4)] }
end

local function replays(small, large, rules, counts, rounds)
  local commands = { ["replay"] = "replay -q ", ["replay, five rules"] = ("replay -q -c %s "):format(rules),
    ["summary"] = "summary ", ["info"] = "info " }
  local names = { "replay", "replay, five rules", "summary", "info" }
  local result = slices.rounds(names, rounds, function(name) return run(commands[name] .. small, counts[1]) end, 60)
  local rows, grown, bars = {}, 0, {}
  for i, name in ipairs(names) do
    local cpu, all = result:of(name, "cpu_ns"), run(commands[name] .. large, counts[2])
    grown = math.max(grown, all.mb / result:of(name, "mb").median)
    rows[i] = { name, cpu, result:ratio(name, "info", "cpu_ns"), all.rate, result:of(name, "mb"), all.mb_quarter,
      all.mb }
    bars[i] = { label = name, median = cpu.median, low = cpu.low, high = cpu.high, is_ours = true }
  end
  return rows, slices.stat({ grown }), bars
end

local function measure(small, large, rules, options)
  local counts = options.quick and { QUICK / 10, QUICK } or { MANY / 10, MANY }
  local rounds = options.quick and 0 or 4
  local written = ways(small, counts[1], rounds)
  write(small, counts[1], WAYS["full batches"])
  local size = write(large, counts[2], WAYS["full batches"]).bytes
  local replayed, grown, bars = replays(small, large, rules, counts, rounds)
  return { title = "Recording: what it costs to make one, and to replay it",
    about = ("Events as a lab has them: three cells, twenty servers, 50,000 flows a second, 30 of 100 events `closed`, "
      .. "one with a prefix. %d events in the first table and for the second table's CPU time; rate and memory of its "
      .. "last columns are of one pass over %d events, %.1f bytes each (%.0f MiB), records to /dev/null."):format(
      counts[1], counts[2], size, size * counts[2] / 2 ^ 20),
    checks = { { what = ("most memory for %d events, of that for %d"):format(counts[2], counts[1]), value = grown,
      must = 1.1, aim = 1.02, cause = "Something grows with the number of events." } },
    tables = { { head = { "made of", "frame, ns an event", "block and file, ns an event", "bytes an event",
        "read, million events/s" }, rows = written },
      { head = { "verb", "CPU ns an event", "of info", "million events/s", ("MB, %d events"):format(counts[1]),
        ("MB, a quarter into %d"):format(counts[2]), "MB, most" }, rows = replayed } },
    notes = { "The live path pays `frame`: one copy. Blocks are made by a process of its own." },
    plot = { title = "Recordings: CPU ns an event", unit = "ns", bars = bars } }
end

function M.run(options)
  local base = ("%s/cellflow-bench-%d"):format(DIRECTORY, core.cf_monotonic_seconds() * 1e6)
  local paths = { base .. ".small.rec", base .. ".large.rec", base .. ".lua" }
  local file = assert(io.open(paths[3], "w"))
  assert(file:write(FIVE_RULES))
  file:close()
  local ok, part = xpcall(measure, debug.traceback, paths[1], paths[2], paths[3], options)
  for _, path in ipairs(paths) do os.remove(path) end
  return assert(ok and part, part)
end

return M
