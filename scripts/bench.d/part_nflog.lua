-- SPDX-License-Identifier: MIT
-- The path by NFLOG, against ulogd2 writing JSON: the same rule of the cell's firewall logs the same packets to whoever
-- reads, and each packet is a flow of its own, so each is a record of both. What our reader alone costs, and that it
-- counts losses to the packet, is scripts/bench.d/nflog.lua's to show.
local rivals = require("rivals")
local slices = require("slices")

local M = {}
local RULE = 'udp dport 9000-9999 log prefix "cellflow:allow:bench" group 100 queue-threshold 100'
local RATE = 50000

local function measure(here, options)
  local names = { "cellflow", "ulogd2 JSON", "cellflow by eBPF" }
  local result = slices.rounds(names, options.quick and 0 or 4, function(name)
    options.seed = (options.seed or 1000) + 1
    return rivals.run(here, name, { how = "raw", rule = RULE, rate = RATE, seed = options.seed,
      flows = options.quick and RATE / 2 or 2 * RATE, args = name == "cellflow" and { "--sources", "nflog" } or nil })
  end, options.quick and 15 or 90)
  local rows, bars = {}, {}
  for i, name in ipairs(names) do
    local cpu = result:of(name, "cpu_us")
    rows[i] = { name, cpu, result:ratio(name, names[1], "cpu_us"), result:of(name, "lost"),
      result:of(name, "sender_us") }
    bars[i] = { label = name, median = cpu.median, low = cpu.low, high = cpu.high, is_ours = i ~= 2 }
  end
  return { title = "NFLOG", checks = { { what = "CPU a record by NFLOG / ulogd2 JSON",
      value = result:ratio("cellflow", "ulogd2 JSON", "cpu_us"), must = 1 / 5, aim = 1 / 15,
      cause = "The kernel's copy of each packet into netlink messages is read by both alike; ours goes through two "
      .. "processes (what reads sockets has no policy in it) and through a flow table." } },
    about = ("%d packets a second, each a flow of its own, logged by a rule, queue threshold 100; "):format(RATE)
      .. "all processes' CPU time. By eBPF is the same traffic, for comparison: the rule still logs, to nobody.",
    tables = { { head = { "reader", "CPU us a record", "of cellflow", "lost (fraction)", "sender's CPU us a packet" },
      rows = rows } },
    plot = { title = "NFLOG: CPU us a record", unit = "us", bars = bars } }
end

function M.run(options)
  local here = rivals.lab()
  local ok, part = xpcall(measure, debug.traceback, here, options)
  here:down()
  return assert(ok and part, part)
end

return M
