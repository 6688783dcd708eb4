-- SPDX-License-Identifier: MIT
-- Says once a minute which five destinations were sent the most flows to in the last ten minutes; writes no records.

local talkers = window(10 * minute)
local interval = tonumber(args.interval or minute)

on("opened", { direction = "egress" }, function(ev) talkers:add(ev.dst_addr) end)

every(interval, function(now)
  emit { type = "top_talkers", time = now, top = talkers:top(5) }
end)

function format(record) return nil end
