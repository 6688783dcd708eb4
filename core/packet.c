// SPDX-License-Identifier: MIT
/*
 * bpf/parse.h for bytes in memory. Everything that knows a header is there, so that a flow is the same flow whichever
 * source saw it; here is only how to reach the bytes, and that a capture may end before the packet does.
 */
#include <stddef.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include "event.h"
#include "packet.h"

/* The members that parse.h reads have the names of struct __sk_buff. */
struct cf_bytes {
	const uint8_t *at;
	uint32_t captured;
	uint32_t len; /* of the packet */
	uint32_t link_len;
	__be16 protocol;
	__be16 vlan_tci; /* a tag in metadata has been told to nobody who asks here */
	uint8_t vlan_present;
};

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define CF_PARSE_BUFFER struct cf_bytes
#define bpf_ntohs ntohs
#define bpf_htons htons

static __always_inline uint32_t cf_bound(uint32_t offset)
{
	return offset & 0x7fff;
}

/* Never past what was captured; offset is bounded (cf_bound) and len a header's, so the sum cannot wrap. */
static __always_inline int cf_read(const struct cf_bytes *bytes, struct cf_packet *packet, uint32_t offset, void *to,
				   uint32_t len)
{
	(void)packet;
	if (offset + len > bytes->captured)
		return -1;
	memcpy(to, bytes->at + offset, len);
	return 0;
}

static __always_inline uint32_t cf_link_len(const struct cf_bytes *bytes)
{
	return bytes->link_len;
}

#include "../bpf/parse.h"

int cf_packet_parse(const uint8_t *bytes, uint32_t len, uint32_t wire_len, uint16_t link_len, uint16_t ethertype,
		    struct cf_packet *packet, struct cf_flow_key *key)
{
	struct cf_bytes buffer = {
		.at = bytes,
		.captured = len,
		.len = wire_len ? wire_len : UINT32_MAX,
		.link_len = link_len,
		.protocol = htons(ethertype),
	};
	int result;

	memset(packet, 0, sizeof(*packet));
	*key = (struct cf_flow_key){ .cell = key->cell };
	result = cf_parse(&buffer, packet, key);
	/* With the network header read, there is a length to believe: what parse.h would have compared. */
	if (result == CF_STAT_PARSED && !wire_len && packet->transport > len &&
	    packet->transport > packet->network + packet->network_len)
		return CF_STAT_UNPARSED_TRUNCATED;
	return result;
}

uint8_t cf_packet_sort(struct cf_flow_key *key)
{
	int order = memcmp(key->addr[0], key->addr[1], sizeof(key->addr[0]));
	uint8_t addr[16];
	uint16_t port;

	if (order < 0 || (!order && key->port[0] <= key->port[1]))
		return 0;
	memcpy(addr, key->addr[0], sizeof(addr));
	memcpy(key->addr[0], key->addr[1], sizeof(addr));
	memcpy(key->addr[1], addr, sizeof(addr));
	port = key->port[0];
	key->port[0] = key->port[1];
	key->port[1] = port;
	return 1;
}

void cf_packet_measure(const struct cf_packet *packet, uint32_t wire_len, struct cf_load *load)
{
	uint32_t wire = wire_len > packet->network ? wire_len - packet->network : 0;
	int stated = packet->network_len && packet->network_len >= packet->transport - packet->network;

	load->packets = 1;
	/* A length that cannot be is not believed; what the wire has beyond a believed one is the link's padding. */
	if (stated && (!wire || packet->network_len < wire))
		load->bytes = packet->network_len;
	else
		load->bytes = wire;
}
