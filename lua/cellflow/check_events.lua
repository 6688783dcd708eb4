-- SPDX-License-Identifier: MIT
-- The made-up events of `cellflow check`: every kind, family, protocol and verdict, each once as plain as can be and
-- once with all that a packet can carry. What is tried on them is check.lua's.
local bit = require("bit")
local ffi = require("ffi")

local C = ffi.C
local M = {}

local PROTOCOLS = {
  { number = 6, flags = C.CF_EVENT_PORTS + C.CF_EVENT_TCP },
  { number = 17, flags = C.CF_EVENT_PORTS },
  { number = 17, flags = C.CF_EVENT_FRAGMENT },
  { number = 1, flags = C.CF_EVENT_ICMP + C.CF_EVENT_ICMP_ID },
  { number = 58, flags = C.CF_EVENT_ICMP },
  { number = 47, flags = 0 },
}

local function fill(raw, kind, family, protocol, verdict)
  ffi.fill(raw, ffi.sizeof("struct cf_event"))
  raw.kind, raw.family, raw.verdict = kind, family, verdict
  raw.source = kind == C.CF_KIND_LOGGED and C.CF_SOURCE_NFLOG or C.CF_SOURCE_EBPF
  raw.hook = kind == C.CF_KIND_LOGGED and 0 or C.CF_HOOK_TC_EGRESS
  raw.direction = verdict == C.CF_VERDICT_DROP and C.CF_DIRECTION_INGRESS or C.CF_DIRECTION_EGRESS
  raw.protocol, raw.flags = protocol.number, protocol.flags
  raw.first_seen_ns, raw.last_seen_ns = 1000000000ULL, 3500000000ULL
  raw.packets, raw.seq, raw.ifindex = 3, 1, 2
  raw.bytes = kind == C.CF_KIND_UPDATED and 0 or 4242
  if kind == C.CF_KIND_UPDATED or kind == C.CF_KIND_CLOSED then raw.reply_packets, raw.reply_bytes = 2, 2121 end
  raw.src_port, raw.dst_port, raw.icmp_type, raw.tcp_flags = 40000, 443, 8, 0x12
  raw.close_reason = kind == C.CF_KIND_CLOSED and C.CF_CLOSE_FIN or C.CF_CLOSE_NONE
  raw.src_addr[0], raw.src_addr[3], raw.dst_addr[0], raw.dst_addr[3] = 10, 1, 192, 7
  if kind == C.CF_KIND_LOGGED then ffi.copy(raw.prefix, "check") end
end

-- With a tag, a mark and whatever else the plain one lacks. A field that no made-up event had would look as if it were
-- never there.
local function enrich(raw, protocol)
  raw.vlan, raw.mark, raw.bytes, raw.seq, raw.ifindex = 7, 9, 4242, 2, 3
  raw.flags = bit.bor(raw.flags, C.CF_EVENT_VLAN, protocol == 58 and C.CF_EVENT_ICMP_ID or 0, C.CF_EVENT_REOPENED)
  raw.flags = bit.bor(raw.flags, C.CF_EVENT_CONFLICT, protocol == 6 and C.CF_EVENT_MIDSTREAM or 0)
  raw.witnesses = bit.lshift(1, C.CF_SOURCE_EBPF) + bit.lshift(1, C.CF_SOURCE_NFLOG)
  if raw.kind == C.CF_KIND_LOGGED then raw.hook = C.CF_HOOK_NF_OUTPUT end
  ffi.copy(raw.prefix, "cellflow:deny:check")
end

--- Calls fn() for each made-up event, which is in `raw` then.
function M.each(raw, fn)
  for kind = C.CF_KIND_OPENED, C.CF_KIND_LOGGED do
    for _, family in ipairs({ C.CF_FAMILY_IPV4, C.CF_FAMILY_IPV6 }) do
      for _, protocol in ipairs(PROTOCOLS) do
        for verdict = C.CF_VERDICT_UNKNOWN, C.CF_VERDICT_DROP do
          fill(raw, kind, family, protocol, verdict)
          fn()
          enrich(raw, protocol.number)
          fn()
        end
      end
    end
  end
end

return M
