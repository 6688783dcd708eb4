/* SPDX-License-Identifier: MIT
 * What opens a connection, and its key: see connection_key.h. */
#include <string.h>
#include "connection_key.h"

enum {
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
	PROTOCOL_ICMP = 1,
	ICMP_ECHO = 8,
	ICMPV6_ECHO = 128,
};

/* With only its way out watched, a cell's answers to others are flows out of it as well: those that show it in their
 * first packet are left out. Later fragments belong to the connection of the first, and ICMP but echo to others. */
int cf_connection_opens(const struct cf_event *event)
{
	if (event->kind != CF_KIND_OPENED || event->direction != CF_DIRECTION_EGRESS ||
	    event->flags & CF_EVENT_FRAGMENT)
		return 0;
	if (event->verdict == CF_VERDICT_DROP && !(event->flags & CF_EVENT_CONFLICT)) /* that one had left */
		return 0;
	if (event->flags & CF_EVENT_ICMP)
		return event->icmp_type == (event->protocol == PROTOCOL_ICMP ? ICMP_ECHO : ICMPV6_ECHO);
	if (event->flags & CF_EVENT_TCP)
		return !(event->tcp_flags & TCP_RST) && (event->tcp_flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK);
	return 1;
}

uint64_t cf_connection_key(const struct cf_hash_secret *secret, const struct cf_event *event)
{
	struct {
		uint8_t src_addr[16], dst_addr[16];
		uint32_t cell;
		uint16_t src_port, dst_port;
		uint8_t family, protocol, zero[6];
		uint64_t time_ns; /* not hashed but where it tells events apart */
	} tuple = { .cell = event->cell, .family = event->family, .protocol = event->protocol };
	size_t len = offsetof(typeof(tuple), time_ns);
	uint64_t key;

	memcpy(tuple.src_addr, event->src_addr, sizeof(tuple.src_addr));
	memcpy(tuple.dst_addr, event->dst_addr, sizeof(tuple.dst_addr));
	if (event->flags & CF_EVENT_PORTS) {
		tuple.src_port = event->src_port;
		tuple.dst_port = event->dst_port;
	} else if (event->flags & CF_EVENT_ICMP_ID) {
		tuple.src_port = event->icmp_id;
	}
	if (cf_connection_repeats(event)) {
		tuple.time_ns = event->first_seen_ns;
		len = sizeof(tuple);
	}
	key = cf_hash64(secret, &tuple, len);
	return key ? key : 1;
}
