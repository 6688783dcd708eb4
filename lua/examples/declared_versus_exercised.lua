-- SPDX-License-Identifier: MIT
-- Compares what a cell was declared to need with what it uses: denies what is not declared, and at the end names the
-- declarations that were never used and the destinations that were used without one.

local DECLARED = {
  dns = { protocol = "udp", dst_port = 53 },
  https = { protocol = "tcp", dst_port = 443 },
  generator = { protocol = { "tcp", "udp" }, dst_port = "9000-9007" },
}
for name, match in pairs(DECLARED) do allow(name)(match) end
default { decision = "deny", reason = "not_declared" }

local undeclared = window(24 * hour)

on("decision", function(record)
  if record.reason_code == "not_declared" then
    undeclared:add(("%s %s %s"):format(record.protocol or "-", record.dst_addr, record.dst_port or "-"))
  elseif record.rule then
    counter("exercised", record.rule):add()
  end
end)

on("stop", function()
  local unused = {}
  for name in pairs(DECLARED) do
    if counter("exercised", name):get() == 0 then unused[#unused + 1] = name end
  end
  table.sort(unused)
  emit { type = "declared_versus_exercised", unused = unused, undeclared = undeclared:top(100) }
end)
