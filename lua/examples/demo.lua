-- SPDX-License-Identifier: MIT
-- The policy of scripts/demo: a short list of what is allowed, and everything else is denied. An allowed flow is
-- written as a short line of our own, a denied one as the whole record in JSON.

allow "https"  { protocol = "tcp", dst_port = 443 }
allow "dns"    { protocol = "udp", dst_port = 53, dst_addr = { "10.77.0.0/24", "fd77::/64" } }
allow "ping"   { protocol = { "icmp", "icmpv6" } }
deny  "no-ssh" { protocol = "tcp", dst_port = 22, reason = "ssh_egress" }
default        { decision = "deny", reason = "not_declared" }

function format(record)
  if record.decision == "deny" then return record end -- the record: JSON
  local port = record.dst_port and " port " .. record.dst_port or ""
  return ("%-5s %-6s %s -> %s%s (%s)"):format(
    record.decision, record.protocol, record.src_addr, record.dst_addr, port, record.rule)
end
