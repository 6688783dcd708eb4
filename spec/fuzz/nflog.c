// SPDX-License-Identifier: MIT
/*
 * Any bytes as what an NFLOG socket delivers, in memory of exactly their length: counted or handed on, and what is
 * handed on holds together.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "nflog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		abort();
}

static void each(void *context, const struct cf_nflog_packet *packet)
{
	uint32_t *count = context;
	const char *rule;
	uint8_t verdict;
	size_t rule_len;

	++*count;
	require(packet->parse >= CF_STAT_PARSED && packet->parse <= CF_STAT_UNPARSED_VLAN_TOO_DEEP);
	require(packet->hook <= CF_HOOK_NF_EGRESS);
	require(packet->direction == CF_DIRECTION_EGRESS || packet->direction == CF_DIRECTION_INGRESS);
	require(packet->key.cell == 7 && packet->time_ns == 1);
	require(packet->prefix_len < CF_EVENT_PREFIX_LEN && strlen(packet->prefix) == packet->prefix_len);
	for (int i = packet->prefix_len; i < CF_EVENT_PREFIX_LEN; i++)
		require(packet->prefix[i] == 0);
	cf_prefix_parse(packet->prefix, &verdict, &rule, &rule_len);
	require(verdict == packet->verdict);
	require(!rule || rule + rule_len <= packet->prefix + packet->prefix_len);
	require(packet->parse == CF_STAT_PARSED || packet->load.packets == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cf_nflog nflog;
	uint64_t unparsed = 0;
	uint32_t count = 0;
	uint8_t *bytes;

	bytes = malloc(size ? size : 1);
	require(bytes != NULL);
	if (size)
		memcpy(bytes, data, size);
	cf_nflog_init(&nflog, -1, 7, 5);
	require(cf_nflog_decode(&nflog, bytes, size, 1, each, &count) == count);
	for (int i = 0; i < CF_NFLOG_UNPARSED; i++)
		unparsed += nflog.numbers.unparsed[i];
	require(nflog.numbers.packets == count && nflog.numbers.parsed + unparsed == count);
	free(bytes);
	return 0;
}
