// SPDX-License-Identifier: MIT
/*
 * Any bytes into cf_packet_parse, in memory of exactly their length. The first two bytes say how they are to be read;
 * what comes out must hold together whatever they are.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "event.h"
#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		abort();
}

static void result_check(int result, const struct cf_packet *packet, struct cf_flow_key *key, uint32_t wire_len)
{
	struct cf_load load = { 0 };

	require(result >= CF_STAT_PARSED && result <= CF_STAT_UNPARSED_VLAN_TOO_DEEP);
	require(key->cell == 7);
	if (result != CF_STAT_PARSED)
		return;
	require(key->family == CF_FAMILY_IPV4 || key->family == CF_FAMILY_IPV6);
	require(packet->transport >= packet->network + 20 && packet->payload >= packet->transport);
	require(!key->fragment || !(packet->flags & CF_EVENT_PORTS));
	require(packet->flags & (CF_EVENT_PORTS | CF_EVENT_ICMP_ID | CF_EVENT_ICMP) ||
		(!key->port[0] && !key->port[1]));
	cf_packet_measure(packet, wire_len, &load);
	require(load.packets == 1 && load.bytes <= (wire_len ? wire_len : 65535 + 40));
	cf_packet_sort(key);
	require(memcmp(key->addr[0], key->addr[1], 16) <= 0);
	require(cf_packet_sort(key) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t ethertypes[] = { 0x0800, 0x86dd, 0x8100, 0x0806 };
	struct cf_flow_key key = { .cell = 7 }, again = { .cell = 7 };
	struct cf_packet packet, packet_again;
	uint16_t link_len, ethertype;
	uint32_t len, wire_len;
	uint8_t *bytes;
	int result;

	if (size < 2)
		return 0;
	link_len = data[0] & 1 ? 14 : 0;
	ethertype = ethertypes[data[0] >> 1 & 3];
	len = (uint32_t)size - 2;
	wire_len = data[0] & 8 ? len + (data[0] & 16 ? data[1] * 16u : 0) : 0;
	bytes = malloc(len ? len : 1);
	require(bytes != NULL);
	memcpy(bytes, data + 2, len);
	result = cf_packet_parse(len ? bytes : NULL, len, wire_len, link_len, ethertype, &packet, &key);
	require(result == cf_packet_parse(bytes, len, wire_len, link_len, ethertype, &packet_again, &again));
	require(!memcmp(&key, &again, sizeof(key)) && !memcmp(&packet, &packet_again, sizeof(packet)));
	result_check(result, &packet, &key, wire_len);
	free(bytes);
	return 0;
}
