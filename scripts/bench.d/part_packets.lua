-- SPDX-License-Identifier: MIT
-- Real packets out of a cell, two CPUs for the sender, the kernel and whoever watches: CPU time a record and losses of
-- cellflow and its rivals at one rate; what being watched costs a sender that goes as fast as it can; and up to which
-- rate nobody loses anything. The runs themselves are rivals.lua's.
local rivals = require("rivals")
local slices = require("slices")

local M = {}

local RATE, FLOWS, FLOWS_QUICK = 80000, 120000, 40000
local LADDER = { 50000, 100000, 200000, 400000 }
local LADDER_SECONDS = 1
local FLAT_OUT_FLOWS = 400000
local HELD_UP = 0.6 -- of the rate that was asked for
local ASKED = { "nobody", "cellflow", "pmacctd JSON", "ulogd2 JSON" }
local OTHERS = { "tcpdump -l -n", "conntrack -E", "bpftrace", "tcpdump -w" }
local seed = 0

local function next_seed()
  seed = seed + 1
  return seed
end

-- Those of whom a ratio is asked get rounds enough for a median, the others one.
local function at_one_rate(here, options)
  local function run(name)
    return rivals.run(here, name, { how = "raw", flows = options.quick and FLOWS_QUICK or FLOWS, rate = RATE,
      seed = next_seed() })
  end
  local asked = slices.rounds(ASKED, options.quick and 0 or 3, run, options.quick and 20 or 120)
  local others = slices.rounds({ "cellflow", unpack(OTHERS) }, options.quick and 0 or 1, run)
  local rows, bars = {}, {}
  local function add(result, name)
    local cpu = result:of(name, "cpu_us")
    rows[#rows + 1] = { name, cpu, result:ratio(name, "cellflow", "cpu_us"), result:of(name, "lost"),
      result:of(name, "sender_us") }
    if cpu then
      bars[#bars + 1] = { label = name, median = cpu.median, low = cpu.low, high = cpu.high,
        is_ours = name == "cellflow" }
    end
  end
  for _, name in ipairs(ASKED) do add(asked, name) end
  for _, name in ipairs(OTHERS) do add(others, name) end
  return asked, { head = { ("%d flows/s, one packet each"):format(RATE), "CPU us a record, all its processes",
    "of cellflow", "lost (fraction)", "sender's CPU us a packet" }, rows = rows }, bars
end

local function flat_out(here, options, each, flows)
  local names = { "nobody", "cellflow", "tcpdump -w" }
  local result = slices.rounds(names, options.quick and 0 or 4, function(name)
    return rivals.run(here, name, { how = "packet", flows = flows, each = each, rate = 0, seed = next_seed() })
  end, options.quick and 15 or 45)
  local rows = {}
  for i, name in ipairs(names) do
    rows[i] = { name, result:of(name, "rate"), result:ratio(name, "nobody", "rate"),
      result:ratio("nobody", name, "sender_us"), result:of(name, "lost") }
  end
  return result, { head = { ("as fast as it goes, packets to a flow: %d"):format(each), "packets/s",
    "of nobody watching", "the same by the sender's CPU time", "lost (fraction)" }, rows = rows }
end

-- The highest rate that was reached with everything seen, the step of the ladder at which something was lost, and
-- whether the sender was held up so much that no further step makes sense.
local function lossless(here, name)
  local best = 0
  for _, rate in ipairs(LADDER) do
    local run = rivals.run(here, name, { how = "raw", flows = rate * LADDER_SECONDS, rate = rate, seed = next_seed() })
    if run.lost > 0 then return best, rate end
    best = math.max(best, run.rate)
    if run.rate < HELD_UP * rate then return best, nil, rate < LADDER[#LADDER] end
  end
  return best
end

-- Who loses nothing on the ladder is limited by what the sender can do beside it: that takes rounds, not one run.
local function flat_out_lossless(here, names)
  return slices.rounds(names, 2, function(name)
    local run = rivals.run(here, name, { how = "raw", flows = FLAT_OUT_FLOWS, rate = 0, seed = next_seed() })
    return { rate = run.rate, lost = run.lost, lossless = run.lost == 0 and run.rate or nil }
  end, 90)
end

local function ladder(here)
  local rows, unbeaten, others = {}, {}, { name = nil, median = 0 }
  for i, name in ipairs(rivals.names) do
    local best, lost_at, is_slow = lossless(here, name)
    rows[i] = { name, best, lost_at or is_slow and "nowhere: holds the sender up" or "nowhere" }
    if not lost_at and not is_slow then unbeaten[#unbeaten + 1] = name end
  end
  local flat = flat_out_lossless(here, unbeaten)
  for _, row in ipairs(rows) do
    local rate = flat:of(row[1], "lossless")
    if rate then row[2] = rate elseif row[3] == "nowhere" then row[3] = "no limit" end
    if rate and row[1] ~= "cellflow" and row[1] ~= "tcpdump -w" and rate.median > others.median then
      others = { name = row[1], median = rate.median }
    end
  end
  return { head = { "tried: 50,000, 100,000, 200,000, 400,000 new flows/s, no limit", "highest without loss, flows/s",
    "loses at" }, rows = rows }, others.name and flat:ratio("cellflow", others.name, "lossless")
end

local function checks(fixed, one, many, best)
  local list = {
    { what = "CPU a record / pmacctd JSON", value = fixed:ratio("cellflow", "pmacctd JSON", "cpu_us"), must = 1 / 4,
      aim = 1 / 8, cause = "pmacctd adds up in memory and prints a few fields of a flow; a record of "
      .. "ours is several times as long, and copying it into a file costs as much as making it." },
    { what = "CPU a record / ulogd2 JSON", value = fixed:ratio("cellflow", "ulogd2 JSON", "cpu_us"), must = 1 / 10,
      aim = 1 / 25, cause = "A wake-up, of one a millisecond, brings 80 records at this rate, with "
      .. "caches that the sender has used meanwhile; copying a record into a file costs as much as making it." },
    { what = "sender's highest rate, a new flow a packet: cellflow / tcpdump -w",
      value = one:ratio("cellflow", "tcpdump -w", "rate"), must = 1, more = true,
      cause = "Each packet begins a flow: in the sender's time its entry and its event, 128 bytes each, are written "
      .. "into memory that is in no cache, where tcpdump -w copies a packet and knows no flows." },
    { what = "sender's highest rate, 100 packets to a flow: cellflow / tcpdump -w",
      value = many:ratio("cellflow", "tcpdump -w", "rate"), must = 1, more = true,
      cause = "Wall-clock rates, as above." },
  }
  if best then
    list[#list + 1] = { what = "highest rate of new flows without loss / best rival that decides per flow",
      value = best, must = 1, more = true, cause = "Who loses nowhere is limited by the sender, which "
      .. "shares two CPUs with its watcher and with whatever else runs." }
  end
  return list
end

local function measure(here, options)
  local fixed, fixed_table, bars = at_one_rate(here, options)
  local one, one_table = flat_out(here, options, 1, options.quick and 100000 or 400000)
  local many, many_table = flat_out(here, options, 100, options.quick and 1000 or 4000)
  local tables, best = { fixed_table, one_table, many_table }, nil
  if not options.quick then
    tables[4], best = ladder(here)
  end
  return { title = "Real packets", tables = tables, checks = checks(fixed, one, many, best),
    about = "UDP of 18 bytes from inside a cell over a veth whose other end drops, a quarter IPv6, every packet's flow "
      .. "known in advance (`scripts/bench.d/blast.c`): by way of netfilter at a fixed rate, and through a packet "
      .. "socket as fast as it goes. Every watcher has a buffer of 16 MiB and writes to memory; CPU time is the sum "
      .. "over its threads and processes, so what the kernel does for it in the sender's time is in the sender's.",
    plot = { title = ("Real packets: CPU us a record at %d flows/s"):format(RATE), unit = "us", bars = bars } }
end

function M.run(options)
  local here = rivals.lab()
  local ok, part = xpcall(measure, debug.traceback, here, options)
  here:down()
  return assert(ok and part, part)
end

return M
