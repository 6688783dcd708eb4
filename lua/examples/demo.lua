-- SPDX-License-Identifier: MIT
--
-- The policy of scripts/demo: ssh and big uploads are denied, all else is allowed. What leaves the cell is written,
-- an allowed flow as a short line of our own, a denied one as the whole record in JSON.

function verdict(ev)
  if ev.protocol == "tcp" and ev.dst_port == 22 then return "deny", "ssh_egress" end
  if ev.kind == "closed" and (ev.byte_count or 0) > 50 * kB then return "deny", "bulk_upload" end
  return "allow", "declared"
end

function format(record)
  if record.direction ~= "egress" then return nil end -- nil: no line
  if record.decision == "deny" then return record end -- the record: JSON
  local port = record.dst_port and " port " .. record.dst_port or ""
  return ("%s %-6s -> %s%s, %d packets"):format(
    record.decision, record.protocol or "other", record.dst_addr, port, record.packet_count)
end
