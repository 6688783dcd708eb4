-- SPDX-License-Identifier: MIT
-- What a process holds in memory of its own: what is resident, less the declared maps and rings that all of
-- cellflow's processes share.
local lab = require("spec.support.lab")

local M = {}
local NOT_OURS = { "bpf%-map", "/memfd:", "/dev/zero" }

--- MB of a process; 0 when it is gone.
function M.mb(pid)
  local sum, counts = 0, true
  for line in (lab.read_file(("/proc/%d/smaps"):format(pid)) or ""):gmatch("[^\n]+") do
    if line:find("^%x+%-%x+ ") then
      counts = true
      for _, pattern in ipairs(NOT_OURS) do counts = counts and not line:find(pattern) end
    elseif counts then
      sum = sum + (tonumber(line:match("^Rss:%s*(%d+)")) or 0)
    end
  end
  return sum / 1024
end

return M
