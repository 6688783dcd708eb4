-- SPDX-License-Identifier: MIT
-- How soon work goes on after a function of a policy does not come back: from the flow over which it hangs to that
-- flow's record, less stuck_s. Each hook and handler in turn, a compiled endless loop in each. More than a second
-- fails. Usage, from the repository's root (root):
-- luajit scripts/soak.d/stuck.lua [ROUNDS]
package.path = "./?.lua;./spec/support/?.lua;" .. package.path
package.loaded["spec.helper"] = dofile("spec/helper.lua")
local cellflow = require("cellflow")
local labs = require("spec.support.lab")
local policy_run = require("policy_run")
local system = require("system")

local STUCK_S, BOUND_S = 1, 1
local POLICY = ([[
limits { stuck_s = STUCK }
on("opened", function(ev) if ev.dst_port == 3000 then while true do end end end)
on("decision", function(record) if record.dst_port == 3001 then while true do end end end)
function dedup(ev) if ev.dst_port == 3002 then while true do end end return false end
function verdict(ev) if ev.dst_port == 3003 then while true do end end end
function reason(ev) if ev.dst_port == 3004 then while true do end end end
function format(record) if record.dst_port == 3005 then while true do end end return record end
]]):gsub("STUCK", tostring(STUCK_S))
local PORTS = 6

-- Seconds beyond stuck_s, one for each place.
local function round(lab, took)
  local run = policy_run.start(lab, POLICY):ready()
  for port = 3000, 3000 + PORTS - 1 do
    local records = port - 2999
    local began = system.monotime()
    lab:send(("--mix udp4 --flows 1 --port-base %d --ports 1 --seed %d"):format(port, port))
    cellflow.wait_for("the record", 30, function() return select(2, run:stdout():gsub("\n", "")) == records end)
    took[#took + 1] = system.monotime() - began - STUCK_S
  end
  assert(run:finish() == 0, "the exit code")
  local summary = run:summary()
  assert(summary.lost == 0 and summary.worker.records == PORTS and summary.worker.restarts == PORTS and summary.adds_up,
    run:stderr())
end

local function measure(rounds)
  local lab, took = labs.up(), {}
  lab:serve("--port-base 3000 --ports 8 --seconds 600")
  local ok, wrong = pcall(function()
    for _ = 1, rounds do round(lab, took) end
  end)
  cellflow.stop_all()
  policy_run.remove_all()
  lab:down()
  if not ok then error(wrong, 0) end
  table.sort(took)
  return took
end

local measured = measure(tonumber(arg[1]) or 10)
print(("stuck: %d functions; work went on stuck_s (%d s) and a median of %.2f s, at most %.2f s later"):format(
  #measured, STUCK_S, measured[math.ceil(#measured / 2)], measured[#measured]))
os.exit(measured[#measured] <= BOUND_S and 0 or 1)
