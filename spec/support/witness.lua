-- SPDX-License-Identifier: MIT
--
-- The independent witness of traffic: nft in the peer counts packets and bytes for each flow and direction. Its bytes
-- are those of the network layer. It counts buffers, so there must be no segmentation offload on the way.
local json = require("dkjson")
local lab = require("spec.support.lab")

local M = {}

local NAMES = { [6] = "tcp", [17] = "udp" } -- without /etc/protocols nft says numbers

local function set(name)
  return ("  set %s { typeof meta l4proto . th sport . th dport; flags dynamic; size 65535; counter; }\n"):format(name)
end

local function rules(side)
  local text = ""
  for _, family in ipairs({ "4", "6" }) do
    text = text .. ("    meta nfproto ipv%s meta l4proto { tcp, udp } update @%s%s "
      .. "{ meta l4proto . th sport . th dport }\n"):format(family, side, family)
  end
  return text
end

--- Begin to count in the peer of `here`, which must be quiet.
function M.start(here)
  here:nft("table inet witness {\n" .. set("input4") .. set("input6") .. set("output4") .. set("output6")
    .. "  chain input { type filter hook input priority 0;\n" .. rules("input") .. "  }\n"
    .. "  chain output { type filter hook output priority 0;\n" .. rules("output") .. "  }\n}", "peer")
end

local function elements(here, side, family)
  local text = here:exec("peer", ("nft -j list set inet witness %s%s"):format(side, family))
  for _, item in ipairs(assert(json.decode(text)).nftables) do
    if item.set then return item.set.elem or {} end
  end
end

local function add(flows, here, family, cell, peer)
  for side, direction in pairs({ input = "egress", output = "ingress" }) do
    for _, item in ipairs(elements(here, side, family)) do
      local key, counter = item.elem.val.concat, item.elem.counter
      local from, to = key[2], key[3]
      if direction == "ingress" then from, to = to, from end
      local flow = ("%s %s %d %s %d"):format(NAMES[tonumber(key[1])] or key[1], cell, from, peer, to)
      flows[flow] = flows[flow] or {}
      flows[flow][direction] = { packets = counter.packets, bytes = counter.bytes }
    end
  end
end

--- What was counted of the cell's TCP and UDP flows: text as in flow_list -> { egress = { packets, bytes },
--- ingress = ... }, directions as the cell sees them.
function M.read(here)
  local flows = {}
  add(flows, here, "4", lab.cell4, lab.peer4)
  add(flows, here, "6", lab.cell6, lab.peer6)
  return flows
end

return M
