-- SPDX-License-Identifier: MIT
-- What a record costs the worker, from a filled ring to a line in /dev/null: with the default mapping, with four hooks
-- in Lua behind a hundred rules, and the floor, which takes, serialises by the same C code and writes, and does nothing
-- else. The work is done by build/bench/drain, one process a slice, warm before it measures.
local slices = require("slices")

local M = {}
local RULES = 100

-- Networks of both families, ports and protocols, as an operator has them; three quarters of the events match none.
local function rules()
  local lines = {}
  for i = 1, RULES do
    lines[i] = i % 4 == 0
      and ('deny "r%d" { protocol = "tcp", dst_addr = "2001:db8:%x::/48", dst_port = %d }'):format(i, i,
        1 + i % 100 * 10)
      or ('allow "r%d" { protocol = "%s", dst_addr = "192.0.%d.0/24", dst_port = "%d-%d" }'):format(i,
        i % 2 == 0 and "udp" or "tcp", i * 2, i * 10, i * 10 + 300)
  end
  return table.concat(lines, "\n")
end

local HOOKS = [[
local known = { ["192.0.2.7"] = "mirror", ["192.0.2.9"] = "cache" }
function verdict(ev)
  if ev.protocol == "tcp" and ev.dst_port == 21 then return "deny", "ssh_egress" end
  if ev.dst_port > 500 then return "deny" end
  return "allow", known[ev.dst_addr]
end
function reason(ev, decision)
  if decision == "deny" then return ev.protocol == "udp" and "udp_denied" or "not_declared" end
end
function dedup(ev)
  if ev.dst_port == 53 then return ev.dst_addr end
  return false
end
function format(record)
  return record
end
]]

local function policy(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  file:close()
  return path
end

local function measure(command)
  local pipe = assert(io.popen(command))
  local ns, count = pipe:read("*n", "*n")
  pipe:close()
  assert(ns and count > 0, command .. " measured nothing")
  return { ns = ns }
end

function M.run(options)
  local hooks = policy(rules() .. "\n" .. HOOKS)
  local rounds = options.quick and 4 or 16
  local commands = {
    ["floor in C"] = ("build/bench/drain floor %d"):format(rounds),
    ["default policy"] = ("build/bench/drain worker %d"):format(rounds),
    ["four hooks and 100 rules"] = ("build/bench/drain worker %d %s"):format(rounds, hooks),
    ["the same, 65,536 destinations"] = ("build/bench/drain worker %d %s 1 65536"):format(rounds, hooks),
  }
  local names = { "floor in C", "default policy", "four hooks and 100 rules", "the same, 65,536 destinations" }
  local ok, result = pcall(slices.rounds, names, options.quick and 2 or 12, function(name)
    return measure(commands[name])
  end, options.quick and 12 or 90)
  os.remove(hooks)
  assert(ok, result)
  local rows, bars = {}, {}
  for i, name in ipairs(names) do
    local stat = result:of(name, "ns")
    rows[i] = { name, stat, result:ratio(name, names[1], "ns") }
    bars[i] = { label = name, median = stat.median, low = stat.low, high = stat.high, is_ours = i > 1 }
  end
  return { title = "Drain: from a filled ring to a line",
    about = "61,680 events to a round, three quarters IPv4, each a flow of its own to one of 2,000 destinations, full "
      .. "records to /dev/null, one write for a batch of 256; CPU time of the process, which does the worker's turn "
      .. "with all that it does for an event: decision, decision id, counters, distinct connections, transaction.",
    checks = {
      { what = "default policy, all fields", value = result:of(names[2], "ns"), must = 200, aim = 80, unit = " ns",
        cause = "The floor alone takes what the first row of the table says: the record has 25 fields, two times and a "
        .. "keyed 128-bit id. What the worker adds is the distinct connections and the transaction of each batch." },
      { what = "the same / floor", value = result:ratio(names[2], names[1], "ns"), must = 3, aim = 1.5,
        cause = "The floor counts nothing: no decision, no connections, no transaction." },
      { what = "four hooks in Lua and 100 rules", value = result:of(names[3], "ns"), must = 400, aim = 150,
        unit = " ns", cause = "Each hook is a protected call, on top of what the default policy costs." },
    },
    notes = { "With 65,536 destinations in turn, the `verdict` that reads `dst_addr` pays for making a Lua string of "
      .. "nearly each: the cache of address texts has 8,192 places. So it is while a cell scans." },
    tables = { { head = { "what", "CPU ns a record", "of the floor" }, rows = rows } },
    plot = { title = "Drain: CPU ns a record", unit = "ns", bars = bars } }
end

return M
