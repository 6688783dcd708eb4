-- SPDX-License-Identifier: MIT
-- The policy of scripts/demo: ssh is denied, and so is everything that is not on a short list. An allowed flow is
-- written as a short line of our own, a denied one as the whole record in JSON.

local allowed = { tcp443 = "https", udp53 = "dns", icmp = "ping", icmpv6 = "ping" }

function verdict(ev)
  if ev.protocol == "tcp" and ev.dst_port == 22 then return "deny", "ssh_egress" end
  local rule = allowed[(ev.protocol or "other") .. (ev.dst_port or "")]
  if rule then return "allow", "declared", rule end
  return "deny", "not_declared"
end

function format(record)
  if record.decision == "deny" then return record end -- the record: JSON
  local port = record.dst_port and " port " .. record.dst_port or ""
  return ("%-5s %-6s %s -> %s%s (%s)"):format(
    record.decision, record.protocol, record.src_addr, record.dst_addr, port, record.rule)
end
