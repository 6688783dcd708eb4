-- SPDX-License-Identifier: MIT
-- flows { ... }: after how long without a packet a flow is over, and how often one that lasts is told of; checked and
-- written into the plan with what is not given at its default (plan.h). Carried out elsewhere, for all cells alike.
local ffi = require("ffi")
local options = require("cellflow.options")
local place = require("cellflow.place")

local C = ffi.C
local M = {}

local seconds = options.integer(1, C.CF_IDLE_S_MAX)
local FLOWS = { tcp_idle = seconds, udp_idle = seconds, icmp_idle = seconds, other_idle = seconds, update = seconds }

--- Returns { flows = the word, close() }; close completes the plan.
function M.new(plan)
  local given, declared = {}, nil
  local flows = {}

  function flows.flows(what)
    given = options.check("flows", what, FLOWS)
    if declared then place.raise("flows is declared twice; the first is at " .. declared) end
    declared = place.here() or "?"
  end

  function flows.close()
    local idle = plan.flows.idle_s
    idle[C.CF_IDLE_TCP] = given.tcp_idle or C.CF_IDLE_TCP_S
    idle[C.CF_IDLE_UDP] = given.udp_idle or C.CF_IDLE_UDP_S
    idle[C.CF_IDLE_ICMP] = given.icmp_idle or C.CF_IDLE_ICMP_S
    idle[C.CF_IDLE_OTHER] = given.other_idle or C.CF_IDLE_OTHER_S
    plan.flows.update_s = given.update or C.CF_UPDATE_S
  end

  return flows
end

return M
