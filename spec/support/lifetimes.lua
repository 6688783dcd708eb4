-- SPDX-License-Identifier: MIT
--
-- Flows from their beginning to their end, put together from records: what is told of one flow has the same tuple and
-- the same first_seen. Throws with the first contradiction: told twice, closed before it was opened, totals that go
-- back. Whether an end is missing is the caller's to say.
local flow_list = require("flow_list")

local M = {}

local function key_of(record)
  return flow_list.of(record) .. " " .. record.first_seen
end

local function totals(record)
  return record.packet_count + (record.reply_packet_count or 0), record.byte_count + (record.reply_byte_count or 0)
end

local function check_grows(key, before, record)
  local packets, bytes = totals(before)
  local now_packets, now_bytes = totals(record)
  if now_packets < packets or now_bytes < bytes then error(("%s: %s has less than what was told before: %d packets %d "
    .. "bytes after %d and %d"):format(key, record.kind, now_packets, now_bytes, packets, bytes), 4) end
end

local function add(life, key, record)
  if life.closed then error(key .. ": " .. record.kind .. " after it was closed", 3) end
  if record.kind == "opened" then
    if life.last then error(key .. ": opened after " .. life.last.kind, 3) end
    life.opened = record
  elseif not life.last and not life.may_begin_late then
    error(key .. ": " .. record.kind .. " without opened", 3)
  end
  if life.last then check_grows(key, life.last, record) end
  if record.kind == "updated" then table.insert(life.updated, record) end
  if record.kind == "closed" then life.closed = record end
  life.last = record
end

--- The lives of the flows in `expected` (text -> anything; nil: of all): text -> list of { opened, updated = list,
--- closed }, in the order in which they were told, and the number of lives. `options.lossy`: an opened may be missing.
function M.of(records, expected, options)
  local by_key, by_flow, count = {}, {}, 0
  for _, record in ipairs(records) do
    local flow = flow_list.of(record)
    if not expected or expected[flow] then
      local key = key_of(record)
      if not by_key[key] then
        by_key[key] = { updated = {}, may_begin_late = options and options.lossy }
        by_flow[flow] = by_flow[flow] or {}
        table.insert(by_flow[flow], by_key[key])
        count = count + 1
      end
      add(by_key[key], key, record)
    end
  end
  return by_flow, count
end

--- How many of these lives ended for each reason: reason -> count; "open" for those without an end.
function M.reasons(lives)
  local count = {}
  for _, list in pairs(lives) do
    for _, life in ipairs(list) do
      local reason = life.closed and life.closed.close_reason or "open"
      count[reason] = (count[reason] or 0) + 1
    end
  end
  return count
end

--- Totals of the closed ones of a flow: { egress = { packets, bytes }, ingress = ... }, as the cell sees them.
function M.totals(list)
  local sum = { egress = { packets = 0, bytes = 0 }, ingress = { packets = 0, bytes = 0 } }
  for _, life in ipairs(list) do
    local record = life.closed
    local one = sum[record.direction]
    local other = sum[record.direction == "egress" and "ingress" or "egress"]
    one.packets, one.bytes = one.packets + record.packet_count, one.bytes + record.byte_count
    other.packets = other.packets + (record.reply_packet_count or 0)
    other.bytes = other.bytes + (record.reply_byte_count or 0)
  end
  return sum
end

return M
