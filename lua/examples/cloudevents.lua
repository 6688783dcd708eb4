-- SPDX-License-Identifier: MIT
-- Writes each record as a CloudEvents 1.0 event in JSON, for brokers and functions that take those.

function format(record)
  return json.encode {
    specversion = "1.0",
    id = record.decision_id,
    source = "/cellflow/" .. record.cell_id,
    type = "org.cellflow." .. record.type .. "." .. record.decision,
    subject = record.dst_addr,
    time = record.observed_at,
    datacontenttype = "application/json",
    data = record:copy(),
  }
end
