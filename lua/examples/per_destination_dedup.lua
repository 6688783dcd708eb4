-- SPDX-License-Identifier: MIT
-- Writes at most one record for each destination, port and protocol in five minutes, but every record of a denied flow
-- and every one that ends a flow.

function dedup(ev)
  if ev.verdict == "drop" or ev.kind == "closed" then return false end
  return (ev.protocol or ev.protocol_number) .. " " .. ev.dst_addr .. " " .. (ev.dst_port or "-"), 5 * minute
end
