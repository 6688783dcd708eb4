-- SPDX-License-Identifier: MIT
--
-- Flows as text, "tcp 10.77.0.2 40000 10.77.0.1 9000", from flowgen's list and from records, and their comparison:
-- each expected flow has exactly one record, and there is no record of anything else.
local M = {}

--- The flows of a file that flowgen --list wrote: text -> packets.
function M.read(path, into)
  local flows = into or {}
  for line in io.lines(path) do
    local flow, packets = line:match("^(%a+ %S+ %d+ %S+ %d+) (%d+)$")
    assert(flow and not flows[flow], line)
    flows[flow] = tonumber(packets)
  end
  return flows
end

--- The flow of a record; ICMP has its id in place of ports.
function M.of(record)
  local protocol, id = record.protocol or record.protocol_number, record.icmp_id or 0
  return ("%s %s %d %s %d"):format(protocol, record.src_addr, record.src_port or id, record.dst_addr,
    record.dst_port or id)
end

-- Multicast reports and neighbour discovery: the kernel's own, at moments of its own choice.
local function is_housekeeping(record)
  return record.protocol == "icmpv6" and record.icmp_type >= 130
end

--- Opened records by flow, the kernel's own housekeeping left out; an error for a flow with two records.
function M.by_flow(records)
  local found = {}
  for _, record in ipairs(records) do
    assert(record.kind == "opened", "kind " .. record.kind)
    if not is_housekeeping(record) then
      local flow = M.of(record)
      if found[flow] then error("two records of " .. flow, 2) end
      found[flow] = record
    end
  end
  return found
end

--- Compare records with the expected flows. Returns the records by flow and how many flows have none.
function M.match(records, expected)
  local found, missing = M.by_flow(records), 0
  for flow in pairs(found) do
    if not expected[flow] then error("a record of what nobody sent: " .. flow, 2) end
  end
  for flow in pairs(expected) do
    if not found[flow] then missing = missing + 1 end
  end
  return found, missing
end

return M
