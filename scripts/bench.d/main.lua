-- SPDX-License-Identifier: MIT
-- scripts/bench once everything is built: runs the parts that are asked for, prints what each found and whether it
-- reaches what it must, and has it written. A part is a module that returns run(options) -> part (see results.lua).
package.path = "./scripts/bench.d/?.lua;./?.lua;" .. package.path
require("spec.helper")
local system = require("system")
local results = require("results")
local slices = require("slices")

local PARTS = { "hook", "drain", "packets", "latency", "tcp", "cells", "nflog", "rules", "recording", "diff" }

local function first_line(path, pattern)
  for line in io.lines(path) do
    local found = line:match(pattern)
    if found then return found end
  end
  return "unknown"
end

local function cpus()
  local count = 0
  for line in io.lines("/proc/cpuinfo") do if line:find("^processor") then count = count + 1 end end
  return count
end

local function machine(began, load_before, quick)
  local seen = { date = os.date("!%Y-%m-%d %H:%M UTC"), cpu = first_line("/proc/cpuinfo", "^model name%s*:%s*(.*)"),
    cpus = cpus(), kernel = first_line("/proc/sys/kernel/osrelease", "(.*)"), load_before = load_before,
    load_after = first_line("/proc/loadavg", "^%S+"), discarded = slices.discarded, kept_stolen = slices.kept_stolen,
    seconds = system.monotime() - began, quick = quick }
  slices.discarded, slices.kept_stolen = 0, 0
  return seen
end

local function say(part)
  for _, t in ipairs(part.tables or {}) do
    print("  " .. table.concat(t.head, "; "))
    for _, cells in ipairs(t.rows) do
      local texts = {}
      for i = 1, #t.head do texts[i] = results.text(cells[i]) end
      print("    " .. table.concat(texts, "; "))
    end
  end
  for _, check in ipairs(part.checks or {}) do
    local found = results.verdict(check)
    print(("  %s: %s%s, must reach %s%s: %s"):format(check.what, results.text(check.value), check.unit or "",
      results.text(check.must), check.unit or "", found))
    if found == "**missed**" and check.cause then print("    " .. check.cause) end
  end
end

local function run(name, quick)
  local began, load_before = system.monotime(), first_line("/proc/loadavg", "^%S+")
  print("==> " .. name)
  local ok, part = xpcall(function() return require("part_" .. name).run({ quick = quick }) end, debug.traceback)
  if not ok then
    io.stderr:write(("bench: part %s failed: %s\n"):format(name, part))
    return nil
  end
  part.machine = machine(began, load_before, quick)
  say(part)
  return part
end

io.stdout:setvbuf("line")
local quick, wanted, known, found, failed = false, {}, {}, {}, false
for _, name in ipairs(PARTS) do known[name] = true end
for _, word in ipairs(arg) do
  if word == "--quick" then
    quick = true
  elseif known[word] then
    wanted[#wanted + 1] = word
  else
    io.stderr:write(("bench: there is no part \"%s\"; there are: %s\n"):format(word, table.concat(PARTS, ", ")))
    os.exit(2)
  end
end
for _, name in ipairs(#wanted > 0 and wanted or PARTS) do
  found[name] = run(name, quick)
  failed = failed or not found[name]
  results.write(found, PARTS)
end
os.exit(failed and 1 or 0)
