-- SPDX-License-Identifier: MIT
-- Finds flows that come back to one destination at an even beat, as software does that reports home: five intervals in
-- a row of at least ten seconds that differ by less than a tenth.

local BEATS, EVEN, SHORTEST = 5, 0.1, tonumber(args.shortest or 10)
local last, count = {}, 0 -- by destination: time, interval and beats

on("opened", { direction = "egress" }, function(ev)
  local key = ev.dst_addr .. " " .. (ev.dst_port or "-")
  local entry = last[key]
  if not entry then
    if count == 10000 then last, count = {}, 0 end -- bounded, whatever comes
    last[key], count = { time = ev.time, interval = 0, beats = 0 }, count + 1
    return
  end
  local interval = ev.time - entry.time
  if interval < SHORTEST then return end
  local even = math.abs(interval - entry.interval) < EVEN * interval
  entry.beats = even and entry.beats + 1 or 1
  entry.time, entry.interval = ev.time, interval
  if entry.beats == BEATS then
    emit { type = "beacon", to = ev.dst_addr, port = ev.dst_port, seconds = interval, time = ev.time }
  end
end)
