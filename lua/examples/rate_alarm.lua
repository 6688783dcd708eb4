-- SPDX-License-Identifier: MIT
-- Says when a cell opens more flows in ten seconds than `-a limit=N` allows (default 1000), once until it calms down,
-- and when cellflow itself lost events.

local LIMIT = tonumber(args.limit or 1000)
local flows, alarmed = window(10), {}

on("opened", function(ev)
  local rate, cell = flows:add(ev.cell_id or "-"), ev.cell_id or "-"
  if rate > LIMIT and not alarmed[cell] then
    alarmed[cell] = true
    emit { type = "rate_alarm", cell = cell, flows = rate, seconds = 10, time = ev.time }
  elseif rate < LIMIT / 2 then
    alarmed[cell] = nil
  end
end)

on("lost", function(lost)
  emit { type = "lost", count = lost.count, total = lost.total }
end)
