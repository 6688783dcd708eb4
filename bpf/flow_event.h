/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The two ends of a flow's way through the table: from a packet to the entry that it begins, and from an entry to an
 * event. Compiled twice, as flow_table.h is; knows neither table nor ring.
 */
#ifndef CF_BPF_FLOW_EVENT_H
#define CF_BPF_FLOW_EVENT_H
#include "flow_table.h"

/* The rest of a fresh flow, whose key is there. */
static __always_inline void cf_flow_begin(struct cf_flow *fresh, const struct cf_packet *packet,
					  const struct cf_load *load, int direction)
{
	fresh->first_seen_ns = load->now;
	fresh->last_seen_ns = load->now;
	/* By choice, not by index: the verifier refuses what the compiler makes of an index into the stack. */
	fresh->packets[0] = direction ? 0 : load->packets;
	fresh->packets[1] = direction ? load->packets : 0;
	fresh->bytes[0] = direction ? 0 : load->bytes;
	fresh->bytes[1] = direction ? load->bytes : 0;
	fresh->tcp_flags[0] = direction ? 0 : packet->tcp_flags;
	fresh->tcp_flags[1] = direction ? packet->tcp_flags : 0;
	fresh->told_packets = (uint32_t)load->packets;
	fresh->told_interval = 0;
	fresh->vlan = packet->vlan;
	fresh->flags = packet->flags;
	if ((packet->flags & CF_EVENT_TCP) && !(packet->tcp_flags & CF_TCP_SYN))
		fresh->flags |= CF_EVENT_MIDSTREAM;
	fresh->origin = direction;
	fresh->icmp_type = packet->icmp_type;
	fresh->icmp_code = packet->icmp_code;
}

/* All of a ring record but seq and cpu. */
static __always_inline void cf_flow_tell(const struct cf_flow *flow, uint32_t kind, uint32_t close_reason,
					 struct cf_event *event)
{
	uint32_t direction = flow->origin & 1, source = flow->origin_end & 1;
	int totals = kind == CF_KIND_CLOSED || kind == CF_KIND_UPDATED, ports = flow->flags & CF_EVENT_PORTS;

	event->first_seen_ns = flow->first_seen_ns;
	event->last_seen_ns = flow->last_seen_ns;
	event->packets = flow->packets[direction];
	event->bytes = flow->bytes[direction];
	event->reply_packets = totals ? flow->packets[direction ^ 1] : 0;
	event->reply_bytes = totals ? flow->bytes[direction ^ 1] : 0;
	__builtin_memcpy(event->src_addr, flow->key.addr[source], sizeof(event->src_addr));
	__builtin_memcpy(event->dst_addr, flow->key.addr[source ^ 1], sizeof(event->dst_addr));
	event->cell = flow->key.cell;
	event->ifindex = flow->ifindex;
	event->mark = flow->mark;
	event->src_port = ports ? flow->key.port[source] : 0;
	event->dst_port = ports ? flow->key.port[source ^ 1] : 0;
	event->icmp_id = flow->flags & CF_EVENT_ICMP_ID ? flow->key.port[0] : 0;
	event->vlan = flow->vlan;
	event->flags = flow->flags;
	event->kind = kind;
	event->source =
		flow->hook == CF_HOOK_TC_EGRESS || flow->hook == CF_HOOK_TC_INGRESS ? CF_SOURCE_EBPF : CF_SOURCE_NFLOG;
	event->hook = flow->hook;
	event->direction = direction == CF_FLOW_EGRESS ? CF_DIRECTION_EGRESS : CF_DIRECTION_INGRESS;
	event->family = flow->key.family;
	event->protocol = flow->key.protocol;
	event->verdict = flow->verdict;
	event->tcp_flags = flow->tcp_flags[direction];
	event->icmp_type = flow->icmp_type;
	event->icmp_code = flow->icmp_code;
	event->close_reason = close_reason;
	event->witnesses = 0;
	__builtin_memset(event->pad0, 0, sizeof(event->pad0));
}
#endif
