-- SPDX-License-Identifier: MIT
-- Writes each record as a line of RFC 5424 syslog (facility local0), a denied flow as a warning, with the particulars
-- as structured data.

local LOCAL0, WARNING, INFO = 16, 4, 6
local NAMES = { "decision", "reason_code", "rule", "protocol", "src_addr", "src_port", "dst_addr", "dst_port" }

local function quoted(value)
  return '"' .. tostring(value):gsub('["\\%]]', "\\%0") .. '"'
end

function format(record)
  local data = "[flow@32473" -- the number that RFC 5612 keeps for examples: put your own here
  for _, name in ipairs(NAMES) do
    if record[name] ~= nil then data = data .. " " .. name .. "=" .. quoted(record[name]) end
  end
  local level = record.decision == "deny" and WARNING or INFO
  return ("<%d>1 %s %s cellflow - %s %s] flow to %s: %s"):format(LOCAL0 * 8 + level,
    record.observed_at:gsub("%d%d%dZ$", "Z"), record.cell_id, record.kind, data, record.dst_addr, record.decision)
end
