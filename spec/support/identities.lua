-- SPDX-License-Identifier: MIT
--
-- The identities of a summary record, worked out again from its numbers: what cellflow says of itself in adds_up is
-- not taken for granted. Throws with the one that does not hold.
local M = {}

local UNPARSED = { "not_ip", "truncated", "bad_header", "ext_too_deep", "vlan_too_deep" }

local function check(what, left, right)
  if left ~= right then error(("%s: %d is not %d"):format(what, left, right), 3) end
end

local function check_kernel(k)
  local unparsed = 0
  for _, name in ipairs(UNPARSED) do unparsed = unparsed + k["unparsed_" .. name] end
  check("packets = parsed + unparsed", k.packets, k.parsed + unparsed)
  check("parsed = hit + new + full", k.parsed, k.flow_hit + k.flow_new + k.flow_full)
  check("new + evicted + reused = attempted + unwanted", k.flow_new + k.flow_evicted + k.flow_reused,
    k.event_attempted + k.event_unwanted)
  check("attempted = submitted + ring_full", k.event_attempted, k.event_submitted + k.ring_full)
end

local function check_collector(c)
  check("collector: submitted = told", c.submitted, c.opened + c.updated + c.closed + c.logged)
  check("nflog: packets = parsed + unparsed", c.nflog_packets, c.nflog_parsed + c.nflog_unparsed)
  check("nflog: parsed = hit + new + full", c.nflog_parsed, c.nflog_flow_hit + c.nflog_flow_new + c.nflog_flow_full)
  return c.untold + c.own_refused + c.nflog_flow_full + c.nflog_lost + c.nflog_unsettled + c.nflog_refused
end

local function check_outputs(summary)
  local lost = 0
  for _, out in ipairs(summary.outputs) do
    check("records + extra = written + dropped + uncertain + unwritten", out.records + out.extra,
      out.written + out.dropped + out.uncertain + out.unwritten)
    lost = lost + out.dropped + out.uncertain + out.unwritten
  end
  return lost
end

--- Check `summary`, of a run that was not reloaded; returns it.
function M.check(summary)
  local k, w, c = summary.kernel, summary.worker, summary.collector
  check_kernel(k)
  check("submitted = consumed + in rings + taken by the collector", k.event_submitted + c.submitted,
    w.consumed + w.in_ring + c.own_taken)
  check("consumed = records + the other endings", w.consumed,
    w.records + w.deduplicated + w.suppressed + w.filtered + w.failed + w.refused + w.skipped)
  local r = summary.recording
  if r then
    check("consumed = recorded + unrecorded + refused + skipped", w.consumed,
      r.events + r.unwritten + r.unrecorded + w.refused + w.skipped)
  end
  check("lost", summary.lost, check_outputs(summary) + k.flow_full + k.ring_full + w.failed + w.refused + w.skipped +
    w.in_ring + check_collector(c))
  check("decisions", w.records, summary.decisions.allow + summary.decisions.deny)
  local reasons, packets, flows = 0, 0, 0
  for _, count in pairs(summary.reasons) do reasons = reasons + count end
  -- A cell without a program of ours has neither.
  for _, cell in ipairs(summary.cells) do packets, flows = packets + (cell.packets or 0), flows + (cell.flows or 0) end
  check("reasons", w.records, reasons)
  check("packets of the cells", k.packets, packets)
  check("flows of the cells", k.flow_new, flows)
  if summary.adds_up ~= true then error("the identities hold, but adds_up says no", 2) end
  return summary
end

return M
