-- SPDX-License-Identifier: MIT
-- Denies, and says so once a minute, when one source has tried more than twenty ports of one destination in a minute.

local LIMIT = 20
local tried, ports, told = window(minute), window(minute), window(minute)

local function is_scan(ev)
  local pair = ev.src_addr .. " " .. ev.dst_addr
  if tried:add(pair .. " " .. ev.dst_port) == 1 then ports:add(pair) end -- each port once
  return ports:count(pair) > LIMIT and pair
end

function verdict(ev)
  local pair = ev.dst_port and is_scan(ev)
  if not pair then return nil end
  if told:add(pair) == 1 then
    emit { type = "port_scan", from = ev.src_addr, to = ev.dst_addr, ports = ports:count(pair), time = ev.time }
  end
  return "deny", "port_scan"
end
