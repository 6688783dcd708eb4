-- SPDX-License-Identifier: MIT
-- Whether a bulk transfer feels that it is watched: iperf3 over the veth out of a cell, one connection, with cellflow
-- on both hooks and without.
local dkjson = require("dkjson")
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local slices = require("slices")
local system = require("system")

local M = {}
local SECONDS, ROUNDS = 1, 12 -- many short pairs: what drifts between two transfers is more than what we cost

local function transfer(here, seconds)
  local report = here:exec("cell", ("iperf3 -J -c %s -t %d"):format(lab.peer4, seconds))
  local sum = assert(dkjson.decode(report)["end"].sum_received, report)
  return { gbit = sum.bits_per_second / 1e9 }
end

local function watched(here, seconds)
  local run = cellflow.start({ stdout = "/dev/null", args = { "--netns", "/run/netns/" .. here.cell, "--interface",
    "eth0", "--hooks", "egress,ingress" } }):ready(30)
  local result = transfer(here, seconds)
  assert(run:finish(30) == 0, run:stderr())
  run:stop()
  return result
end

local function measure(here, options)
  local server = here:start("peer", "iperf3 -s")
  system.sleep(0.5)
  local result = slices.rounds({ "nobody", "cellflow" }, options.quick and 1 or ROUNDS, function(name)
    return (name == "nobody" and transfer or watched)(here, SECONDS)
  end, options.quick and 10 or 110)
  here:stop(server)
  local rows, bars = {}, {}
  for i, name in ipairs({ "nobody", "cellflow" }) do
    local gbit = result:of(name, "gbit")
    rows[i] = { name, gbit, result:ratio(name, "nobody", "gbit") }
    bars[i] = { label = name, median = gbit.median, low = gbit.low, high = gbit.high, is_ours = i == 2 }
  end
  return { title = "TCP throughput", checks = { { what = "throughput with cellflow on both hooks / with nobody",
      value = result:ratio("cellflow", "nobody", "gbit"), must = 0.97, aim = 0.99, more = true,
      cause = "Sender, receiver and the kernel between them share two CPUs." } },
    about = ("One connection of iperf3 for %d s out of a cell, over a veth pair with segmentation offload; a pair of "
      .. "transfers is one without and one with cellflow attached to both hooks."):format(SECONDS),
    tables = { { head = { "watched by", "Gbit/s", "of nobody" }, rows = rows } },
    plot = { title = "TCP throughput, Gbit/s", unit = "Gbit/s", bars = bars } }
end

function M.run(options)
  local here = lab.up()
  local ok, part = xpcall(measure, debug.traceback, here, options)
  cellflow.stop_all()
  here:down()
  return assert(ok and part, part)
end

return M
