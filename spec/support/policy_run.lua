-- SPDX-License-Identifier: MIT
-- Runs of the executable with a policy, in a lab: policies as files, extra lines apart from records.
local cellflow = require("cellflow")
local lab = require("spec.support.lab")

local M = {}
local directories = {}

--- A new directory; remove_all() removes it. Root's alone when `mode` says so.
function M.directory()
  local path = lab.must("mktemp -d"):gsub("%s+$", "")
  directories[#directories + 1] = path
  return path
end

function M.write(path, text, mode)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  if mode then lab.must(("chmod %s %s"):format(mode, path)) end
  return path
end

function M.remove_all()
  for _, path in ipairs(directories) do lab.must("rm -rf " .. path) end
  directories = {}
end

--- `cellflow run` of `text` (a policy without its cell) on the lab's cell. Returns the run and the policy's path.
function M.start(here, text, args)
  local directory = M.directory()
  local path = M.write(directory .. "/policy.lua", text)
  local run = cellflow.start({ args = { "-c", path, "--cell", "one", "--netns", here.cell, "--interface", "eth0",
    "--summary-record", unpack(args or {}) } })
  return run, path
end

--- Records and extra lines of a run, in order: two lists. Every line must be a JSON object.
function M.lines(run)
  local records, extra = {}, {}
  for _, line in ipairs(cellflow.parse_lines(run:stdout())) do
    if line.type == "network_flow_decision" then
      records[#records + 1] = line
    elseif line.type ~= "cellflow_summary" then
      extra[#extra + 1] = line
    end
  end
  return records, extra
end

--- The counters of a summary: name or name[label] -> value.
function M.counters(summary)
  local found = {}
  for _, counter in ipairs(summary.counters) do
    found[counter.label and ("%s[%s]"):format(counter.name, counter.label) or counter.name] = counter.value
  end
  return found
end

return M
