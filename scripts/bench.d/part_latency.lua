-- SPDX-License-Identifier: MIT
-- Wake-ups: how long a line takes from its packet when traffic is sparse, and what events cost the cell's sender,
-- against the plainest consumer (build/bench/notify), whose ring wakes its reader by default. What
-- events cost a sender is what it spends more than under the same program when it makes none.
local ffi = require("ffi")
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local rivals = require("rivals")
require("sockets") -- declares open(2)
local slices = require("slices")

ffi.cdef("int mkfifo(const char *path, unsigned int mode);")

local M = {}
local O_RDWR = 2
local SPARSE = 150 -- packets in a slice
local OBJECT = "build/bpf/bench/notify.bpf.o"
local seed = 0

local function start_notify(here, out)
  local process = here:start("cell", ("sh -c 'exec build/bench/notify %s eth0 >%s'"):format(OBJECT, out))
  lab.wait_for("notify", 10, function() return lab.read_file(process.path):find("ready", 1, true) end)
  return function() here:stop(process) end
end

local function start_cellflow(here, out, ...)
  local run = cellflow.start({ args = { "--netns", "/run/netns/" .. here.cell, "--interface", "eth0", ... },
    stdout = out }):ready(30)
  return function()
    run:finish(30)
    run:stop()
  end
end

local STARTS = {
  ["default-notify consumer in C"] = start_notify,
  cellflow = start_cellflow,
  ["no events"] = function(here, out) return start_cellflow(here, out, "--events", "closed") end,
}

local function latency(here, fifo, name)
  local stop = STARTS[name](here, fifo)
  seed = seed + 1
  local ok, text = pcall(here.exec, here, "cell", ("build/bench/latency %s %d %d"):format(fifo, SPARSE, seed))
  stop()
  assert(ok, text)
  local p50, p99, lost = text:match("^(%S+) (%S+) (%d+)")
  return { p50 = tonumber(p50), p99 = tonumber(p99), lost = tonumber(lost) }
end

local function cost(here, out, options, name)
  local stop = STARTS[name](here, out)
  seed = seed + 1
  local ok, sent = pcall(rivals.send, here, { how = options.how, flows = options.flows, rate = options.rate,
    seed = seed })
  stop()
  lab.run("rm -f " .. out)
  assert(ok, sent)
  return { us = sent.cpu_seconds / sent.packets * 1e6 }
end

local function measure(here, fifo, out, options)
  local rounds = options.quick and 0 or 3
  local both = { "default-notify consumer in C", "cellflow" }
  local sparse = slices.rounds(both, options.quick and 0 or 6, function(name) return latency(here, fifo, name) end,
    options.quick and 10 or 60)
  local three = { "no events", both[1], both[2] }
  local paced = slices.rounds(three, rounds, function(name)
    return cost(here, out, { how = "raw", flows = 20000, rate = 20000 }, name)
  end, 60)
  local flat = slices.rounds(three, rounds, function(name)
    return cost(here, out, { how = "packet", flows = 200000, rate = 0 }, name)
  end, 60)
  local times, costs, bars = {}, {}, {}
  for i, name in ipairs(both) do
    times[i] = { name, sparse:of(name, "p50"), sparse:of(name, "p99"), sparse:of(name, "lost") }
    for _, part in ipairs({ "p50", "p99" }) do
      local stat = sparse:of(name, part)
      bars[#bars + 1] = { label = name .. ", " .. part, median = stat.median, low = stat.low, high = stat.high,
        is_ours = name == "cellflow" }
    end
  end
  for i, name in ipairs(three) do
    costs[i] = { name, paced:of(name, "us"), i > 1 and paced:of(name, "us", three[1]) or "-", flat:of(name, "us"),
      i > 1 and flat:of(name, "us", three[1]) or "-" }
  end
  local function share(result) return result:ratio("cellflow", both[1], "us", three[1], three[1]) end
  return { title = "Wake-ups: latency, and what the sender pays", checks = {
      { what = "packet to complete line, sparse, p99: cellflow / default-notify consumer in C",
        value = sparse:ratio("cellflow", both[1], "p99"), must = 2, aim = 1.2,
        cause = "The worker's batch is a transaction with a policy in it, and its pages are cold after a sleep." },
      { what = "events' cost to the sender at 20,000 flows/s, of default notify's", value = share(paced), must = 0.2,
        aim = 0.08, cause = "At this rate a wake-up a millisecond is one for every 20 events, against nearly each." },
      { what = "events' cost to the sender flat out, of default notify's", value = share(flat), must = 0.2, aim = 0.08,
        cause = "A consumer that is always behind is hardly ever asleep: default notify is cheapest here, and what is "
        .. "left on both sides is the record itself." },
    },
    about = "One packet of a new flow each 5 to 9 ms, until its line is complete in a FIFO; and the CPU time of a "
      .. "sender of one-packet flows. Both consumers have the same tc program but for the flag of its submit.",
    tables = { { head = { "sparse", "p50, us", "p99, us", "lines that did not come" }, rows = times },
      { head = { "sender", "20,000/s: CPU us a packet", "of which events", "flat out: CPU us a packet",
        "of which events" }, rows = costs } },
    plot = { title = "Packet to complete line, sparse traffic", unit = "us", bars = bars } }
end

function M.run(options)
  local here, fifo = rivals.lab(), os.tmpname()
  os.remove(fifo)
  assert(ffi.C.mkfifo(fifo, 384) == 0, "mkfifo")
  local keep = ffi.C.open(fifo, O_RDWR) -- so that it has a reader whenever a consumer starts
  local ok, part = xpcall(measure, debug.traceback, here, fifo, "/dev/shm/cellflow-bench-" .. here.name, options)
  ffi.C.close(keep)
  os.remove(fifo)
  cellflow.stop_all()
  here:down()
  return assert(ok and part, part)
end

return M
