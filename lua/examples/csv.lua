-- SPDX-License-Identifier: MIT
-- Writes comma-separated values, with a line of names at the start, for spreadsheets and duckdb.

local COLUMNS = { "observed_at", "cell_id", "decision", "reason_code", "protocol", "src_addr", "src_port", "dst_addr",
  "dst_port", "packet_count", "byte_count" }

on("start", function() emit(table.concat(COLUMNS, ",")) end)

local function field(value)
  local text = value == nil and "" or tostring(value)
  if text:find('[,"\r\n]') then text = '"' .. text:gsub('"', '""') .. '"' end
  return text
end

function format(record)
  local fields = {}
  for i = 1, #COLUMNS do fields[i] = field(record[COLUMNS[i]]) end
  return table.concat(fields, ",")
end
