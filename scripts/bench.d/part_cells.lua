-- SPDX-License-Identifier: MIT
-- Many cells: how long 100 take to attach, what they cost while nothing happens, what the processes hold in memory, and
-- what an event costs the worker as cells grow.
local ffi = require("ffi")
local lab = require("spec.support.lab")
local cellflow = require("cellflow")
local privileged = require("privileged")
local resident = require("resident")
local rivals = require("rivals")
local slices = require("slices")
local system = require("system")

local M = {}
local CELLS = 100
local GROWTH = { 1, 10, 100, 1000 }

local function policy(names)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  for i, name in ipairs(names) do
    assert(file:write(('cell "c%d" { netns = %q, interface = "lo" }\n'):format(i, name)))
  end
  file:close()
  lab.must("chmod 644 " .. path)
  return path
end

local function namespaces(prefix, verb)
  local batch, names = assert(io.popen("ip -batch - >/dev/null 2>&1", "w")), {}
  for i = 1, CELLS do
    names[i] = ("%s-%d"):format(prefix, i)
    batch:write("netns ", verb, " ", names[i], "\n")
  end
  batch:close()
  return names
end

local function attach(path)
  local began = system.monotime()
  local run = cellflow.start({ args = { "-c", path } }):ready(60)
  return run, system.monotime() - began
end

local function once(value) return { median = value, low = value, high = value, count = 1 } end

local function standing(run, seconds, found)
  local _, worker = run:pids()
  system.sleep(2)
  local pids, before, began = { run.pid, worker, run:collector() }, {}, system.monotime()
  for i, pid in ipairs(pids) do before[i] = rivals.cpu_alone(pid) end
  system.sleep(seconds)
  found.rows, found.idle, found.memory = {}, 0, resident.mb(run.pid) + resident.mb(worker)
  for i, name in ipairs({ "supervisor", "worker", "collector" }) do
    local percent = (rivals.cpu_alone(pids[i]) - before[i]) / (system.monotime() - began) * 100
    found.idle = found.idle + percent
    found.rows[i] = { name, resident.mb(pids[i]), percent }
  end
end

-- What the kernel takes to attach a program that is loaded already to each of them, and nothing else.
local function links(names)
  local object = assert(privileged.load(privileged.maps(), { hooks = ffi.C.CF_PLAN_EGRESS }))
  local cells, attachments, began = {}, {}, system.monotime()
  for i, name in ipairs(names) do
    cells[i] = privileged.cell({ name = name, netns = "/run/netns/" .. name, interface = "lo",
      attach = ffi.C.CF_ATTACH_TCX })
    attachments[i] = assert(privileged.attach(cells[i], object))
  end
  local took = system.monotime() - began
  for i = 1, #names do privileged.detach(attachments[i], cells[i]) end
  return took
end

-- { one =, many =, links = }: seconds. Of many cells a quick run has the one start that was needed anyway.
local function starts(many, one, took, options, spaces)
  local names = options.quick and { "one" } or { "one", "many", "links" }
  local result = slices.rounds(names, options.quick and 0 or 2, function(name)
    if name == "links" then return { s = links(spaces) } end
    local run, seconds = attach(name == "one" and one or many)
    run:finish(60)
    run:stop()
    return { s = seconds }
  end, options.quick and 5 or 30)
  return { one = result:of("one", "s"), many = options.quick and once(took) or result:of("many", "s"),
    links = result:of("links", "s"), of_links = result:ratio("many", "links", "s") }
end

local function growth(options)
  local paths, names = {}, {}
  for i, count in ipairs(GROWTH) do
    local cells = {}
    for n = 1, count do cells[n] = "none" end
    names[i], paths[tostring(count)] = tostring(count), policy(cells)
  end
  local result = slices.rounds(names, options.quick and 0 or 6, function(name)
    local pipe = assert(io.popen(("build/bench/drain worker %d %s %s"):format(options.quick and 3 or 10, paths[name],
      name)))
    local ns = pipe:read("*n")
    pipe:close()
    return { ns = assert(ns, "drain measured nothing") }
  end, 60)
  for _, path in pairs(paths) do os.remove(path) end
  return result, names
end

local function measure(prefix, paths, options)
  local names, found = namespaces(prefix, "add"), {}
  paths[1], paths[2] = policy(names), policy({ names[1] })
  local run, took = attach(paths[1])
  standing(run, options.quick and 10 or 30, found)
  run:finish(60)
  run:stop()
  local starting = starts(paths[1], paths[2], took, options, names)
  local growing, counts = growth(options)
  local rows, bars = {}, {}
  for i, count in ipairs(counts) do
    local stat = growing:of(count, "ns")
    rows[i] = { count, stat, growing:ratio(count, "1", "ns") }
    bars[i] = { label = count .. " cells", median = stat.median, low = stat.low, high = stat.high, is_ours = true }
  end
  return { title = "Many cells", checks = {
      { what = "idle CPU with 100 attached cells, all processes", value = once(found.idle), must = 0.2, aim = 0.05,
        unit = " % of a CPU", cause = "The supervisor looks at a few cells four times a second, the collector "
        .. "twice at the flow table, whatever happens or does not." },
      { what = "memory of worker and supervisor without the shared maps", value = once(found.memory),
        must = 25, aim = 15, unit = " MB", cause = "Most of it is the executable's and the libraries' pages, which "
        .. "other processes have as well." },
      { what = "100 cells: from start to ready", value = starting.many, must = 3, unit = " s",
        cause = "The verifier walks the program once more for each cell, whose number is read-only data in it, "
        .. "and the kernel attaches by tcx one after the other." },
      { what = "the same, of what 100 tcx links take by themselves", value = starting.of_links, aim = 1.3 },
      { what = "an event's cost with 1,000 cells, of that with one", value = growing:ratio("1000", "1", "ns"),
        must = 1.5, aim = 1.1, cause = "Each cell has its own escaped texts, sketches and counts: with 1,000 they no "
        .. "longer fit into the caches." },
    },
    about = "100 network namespaces, each watched at its loopback interface; memory is what is resident, less BPF maps "
      .. "and shared memory; events are drained from a filled ring as in the part above, from as many cells in turn.",
    tables = {
      { head = { "start to ready", "s" }, rows = { { "1 cell", starting.one },
        { "100 cells", starting.many }, { "100 tcx links by themselves", starting.links } } },
      { head = { "process, 100 cells", "MB resident, without shared maps", "idle: % of a CPU" }, rows = found.rows },
      { head = { "cells", "CPU ns a record", "of one cell" }, rows = rows },
    },
    plot = { title = "Default policy: CPU ns a record as cells grow", unit = "ns", bars = bars } }
end

function M.run(options)
  local prefix, paths = lab.name(), {}
  local ok, part = xpcall(measure, debug.traceback, prefix, paths, options)
  cellflow.stop_all()
  namespaces(prefix, "del")
  for _, path in ipairs(paths) do os.remove(path) end
  return assert(ok and part, part)
end

return M
