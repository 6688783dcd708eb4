-- SPDX-License-Identifier: MIT
-- cellflow.lua: which network namespace to watch, and what to think of its traffic. It decides and records; it blocks
-- nothing.
--
--   cellflow check cellflow.lua                                     is it right?
--   cellflow test                                                   does it do what spec/cellflow_spec.lua says?
--   cellflow explain -c cellflow.lua dst_addr=192.0.2.7 dst_port=22  why is that decided so?
--   sudo cellflow run -c cellflow.lua -a cell=web                   one JSON record a flow, on stdout
--
-- `cellflow run --watch` puts this file in force again whenever it changes.

---------------------------------------------------------------------------------------------------
-- The cell: a namespace as `ip netns` knows it (or pid = 4711: that of a process). -a cell=NAME names another one.

cell(args.cell or "web") {
  netns = args.cell or "web",
  -- interface = "eth0",              -- default: the only one that is up
  -- hooks = { "egress", "ingress" }, -- default: what leaves the cell
}

---------------------------------------------------------------------------------------------------
-- Rules: the first that matches decides. A value may be a list; networks and ranges are text.

allow "dns"    { protocol = { "udp", "tcp" }, dst_port = 53, dst_addr = { "10.0.0.53", "fd00::53" } }
allow "https"  { protocol = "tcp", dst_port = { 443, "8440-8449" } }
deny  "no-ssh" { protocol = "tcp", dst_port = 22, reason = "ssh_egress" }

---------------------------------------------------------------------------------------------------
-- What rules cannot say is a function. It is asked when no rule matched: "allow" or "deny", a reason code and a name,
-- or nothing, and then `default` below decides.

local inside = net { "10.0.0.0/8", "fd00::/8" }

function verdict(ev)
  if inside:has(ev.dst_addr) then
    return "allow", "inside"
  end
  if ev.kind == "logged" then
    return "deny", "firewall", ev.nft_rule -- your rules' log prefix: "cellflow:deny:NAME"
  end
end

default { decision = "deny", reason = "not_declared" }

---------------------------------------------------------------------------------------------------
-- The same key within that time writes no second record. Here: one a minute for each destination.

function dedup(ev)
  return ("%s %s:%s"):format(ev.protocol or ev.protocol_number, ev.dst_addr, ev.dst_port or "-"), minute
end

---------------------------------------------------------------------------------------------------
-- Told of what was decided, and once in a while: numbers of your own. Counters are in the summary, emitted lines stand
-- between the records.

local denied, denied_lately = counter("denied"), window(10 * minute)

on("decision", function(record)
  if record.decision == "deny" then
    denied:add()
    denied_lately:add(record.dst_addr)
  end
end)

every(minute, function(now)
  local top = denied_lately:top(5)
  if #top > 0 then
    emit { type = "denied_lately", time = now, top = top }
  end
end)
