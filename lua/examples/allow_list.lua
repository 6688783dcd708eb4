-- SPDX-License-Identifier: MIT
-- An allow list without a line of code: names and web traffic may leave, answers come back, all else is denied.
-- The first rule that matches decides, so the exceptions stand above what they are exceptions to.

local resolver = "10.0.0.53"
local mirrors = net { "192.0.2.0/24", "2001:db8::/32" }

deny  "no-ssh"   { protocol = "tcp", dst_port = 22, reason = "ssh_egress" }
deny  "metadata" { dst_addr = { "169.254.169.254", "fd00:ec2::254" }, reason = "cloud_metadata" }

allow "answers"  { direction = "ingress" }
allow "dns"      { protocol = { "udp", "tcp" }, dst_addr = resolver, dst_port = 53 }
allow "mirrors"  { protocol = "tcp", dst_addr = mirrors, dst_port = { 80, 443 } }
allow "ping"     { protocol = { "icmp", "icmpv6" }, icmp_type = { 8, 128 } }
allow "probes"   { protocol = "udp", dst_addr = "198.51.100.0/24", dst_port = "33434-33534" }

default { decision = "deny", reason = "not_declared" }
