-- SPDX-License-Identifier: MIT
-- Writes a record for the first flow to each destination and port within a day, and says which those were and how many
-- flows there were to known ones.

local known, new = counter("flows to known destinations"), counter("new destinations")
local seen = window(24 * hour)

function format(record)
  local to = record.dst_addr .. " " .. (record.protocol or record.protocol_number) .. " " .. (record.dst_port or "-")
  if seen:add(to) > 1 then
    known:add()
    return nil
  end
  new:add()
  record.first_contact = true
  return record
end
