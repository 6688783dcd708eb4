-- SPDX-License-Identifier: MIT
-- Many cells that come, are watched for a moment, by NFLOG too, and are deleted all at once under a running cellflow:
-- how long each end took to be told, and what was left. Makes and removes its own namespaces.
local ffi = require("ffi")
local lab = require("spec.support.lab")
local system = require("system")
local cellflow = require("cellflow")

ffi.cdef([[
int umount2(const char *path, int flags);
int unlink(const char *path);
]])

local MNT_DETACH = 2
local M = {}

local function batch(options, lines)
  local pipe = assert(io.popen("ip " .. options .. " -batch - >/dev/null 2>&1", "w"))
  pipe:write(table.concat(lines, "\n"), "\n")
  pipe:close()
end

local function make(prefix, count)
  local hub = prefix .. "-hub"
  lab.must("ip netns add " .. hub)
  local spaces, pairs_of, names = {}, {}, {}
  for i = 0, count do -- number 0 stays to the end
    names[i] = ("%s-%d"):format(prefix, i)
    spaces[i + 1] = "netns add " .. names[i]
    pairs_of[i + 1] = ("link add v%d type veth peer name e0 netns %s"):format(i, names[i])
  end
  batch("", spaces) -- not with -n: that would mount them where nobody else sees them
  batch("-n " .. hub, pairs_of)
  return names, hub
end

local function remove(names, hub)
  local lines = { "netns del " .. hub }
  for i = 0, #names do lines[#lines + 1] = "netns del " .. names[i] end
  batch("-force", lines) -- most are gone
end

local function write_policy(names, sources)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  for i = 0, #names do
    file:write(('cell "c%d" { netns = %q, interface = "e0", sources = %s }\n'):format(i, names[i], sources))
  end
  file:close()
  lab.must("chmod 644 " .. path)
  return path
end

-- What a process has open, counted by kind: "bpf-prog", "bpf-map", "bpf_link", "socket", "all".
local function open_files(pid)
  local kinds = { all = 0, ["bpf-prog"] = 0, ["bpf-map"] = 0, bpf_link = 0, socket = 0 }
  for target in lab.must(("find /proc/%d/fd -printf '%%l\\n' 2>/dev/null || true"):format(pid)):gmatch("[^\n]+") do
    local kind = target:match("^anon_inode:%[?([%w_-]+)") or target:match("^(socket):")
    kinds.all = kinds.all + 1
    if kind and kinds[kind] then kinds[kind] = kinds[kind] + 1 end
  end
  return kinds
end

-- The veth ends that are left in the hub: one for each namespace of a cell that the kernel still keeps.
local function links(hub)
  return tonumber(lab.must(("ip -n %s -o link show type veth | wc -l"):format(hub)):match("%d+"))
end

-- Deletes all but number 0, as fast as that goes, and reads stderr meanwhile; returns milliseconds by cell.
local function delete_all(run, names, patience)
  local stderr = assert(io.open(run.stderr_path))
  stderr:seek("end")
  local deleted, took, told = {}, {}, 0
  local function listen()
    for line in stderr:lines() do
      local i = tonumber(line:match('cell "c(%d+)": its [%a ]+ is gone'))
      if i and not took[i] then took[i], told = (system.monotime() - deleted[i]) * 1000, told + 1 end
    end
  end
  for i = 1, #names do
    local path = "/run/netns/" .. names[i]
    deleted[i] = system.monotime()
    assert(ffi.C.umount2(path, MNT_DETACH) == 0 and ffi.C.unlink(path) == 0, path)
    listen()
  end
  local deadline = system.monotime() + patience
  while told < #names and system.monotime() < deadline do
    listen()
    system.sleep(0.001)
  end
  stderr:close()
  return took, told
end

--- options: cells, sources (Lua text, default both), patience (seconds for each step, default 120).
--- Returns { started = seconds until all were watched, told =, took = sorted list of ms, links = left in the hub,
--- before =, after = open files of the supervisor with all cells and when they went, collector_after =, exit =,
--- summary = }.
function M.run(options)
  local names, hub = make(lab.name(), options.cells)
  local patience = options.patience or 120
  local path = write_policy(names, options.sources or '{ "ebpf", "nflog" }')
  local ok, result = pcall(function()
    local begun = system.monotime()
    local run = cellflow.start({ args = { "-c", path, "--summary-record" } }):ready(patience)
    local started = system.monotime() - begun
    local before = open_files(run.pid)
    local took, told = delete_all(run, names, patience)
    local left
    pcall(lab.wait_for, "the namespaces to go", patience, function()
      left = links(hub)
      return left == 1
    end)
    local after, collector = open_files(run.pid), open_files(run:collector())
    local sorted = {}
    for _, ms in pairs(took) do sorted[#sorted + 1] = ms end
    table.sort(sorted)
    local code = run:finish(patience)
    return { started = started, told = told, took = sorted, links = left, before = before, after = after,
      collector_after = collector, exit = code, summary = run:summary() }
  end)
  local stopped, why = pcall(cellflow.stop_all)
  remove(names, hub)
  os.remove(path)
  if not ok then error(result, 0) end
  assert(stopped, why)
  return result
end

--- The value below which `share` of a sorted list lies.
function M.quantile(sorted, share)
  return sorted[math.max(1, math.ceil(#sorted * share))]
end

return M
