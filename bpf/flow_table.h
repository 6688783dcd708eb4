/* SPDX-License-Identifier: GPL-2.0-only
 *
 * The flow table: one entry for both directions of a connection, updated in place. Knows nothing of packet bytes
 * or of events; says of each packet whether its flow was known, is new, or was refused.
 */
#ifndef CF_BPF_FLOW_TABLE_H
#define CF_BPF_FLOW_TABLE_H

static __always_inline int cf_address_compare(const __u8 *a, const __u8 *b)
{
#pragma unroll
	for (int i = 0; i < 16; i += 4) {
		__u32 x, y;

		__builtin_memcpy(&x, a + i, 4);
		__builtin_memcpy(&y, b + i, 4);
		if (x != y)
			return bpf_ntohl(x) < bpf_ntohl(y) ? -1 : 1;
	}
	return 0;
}

/* Brings the ends into the table's order. Returns the end at which the packet's source is now. */
static __always_inline __u8 cf_flow_key_sort(struct cf_flow_key *key)
{
	int order = cf_address_compare(key->addr[0], key->addr[1]);
	__u8 addr[16];
	__u16 port;

	if (order < 0 || (!order && key->port[0] <= key->port[1]))
		return 0;
	__builtin_memcpy(addr, key->addr[0], sizeof(addr));
	__builtin_memcpy(key->addr[0], key->addr[1], sizeof(addr));
	__builtin_memcpy(key->addr[1], addr, sizeof(addr));
	port = key->port[0];
	key->port[0] = key->port[1];
	key->port[1] = port;
	return 1;
}

/* In place through the pointer: bpf_map_update_elem on a key that exists makes an LRU map evict other keys. */
static __always_inline void cf_flow_add(struct cf_flow *flow, const struct cf_load *load, __u8 tcp_flags, int direction)
{
	__sync_fetch_and_add(&flow->packets[direction], load->packets);
	__sync_fetch_and_add(&flow->bytes[direction], load->bytes);
	flow->last_seen_ns = load->now;
	if ((flow->tcp_flags[direction] & tcp_flags) != tcp_flags)
		__sync_fetch_and_or(&flow->tcp_flags[direction], tcp_flags);
}

static __always_inline int cf_flow_insert(const struct cf_flow_key *key, const struct cf_load *load, __u8 tcp_flags,
					  int direction, __u8 source_end)
{
	int out = direction == CF_FLOW_EGRESS;
	/* By value, not by index: the verifier takes no computed address on the stack. */
	struct cf_flow flow = {
		.packets = { out ? load->packets : 0, out ? 0 : load->packets },
		.bytes = { out ? load->bytes : 0, out ? 0 : load->bytes },
		.tcp_flags = { out ? tcp_flags : 0, out ? 0 : tcp_flags },
		.first_seen_ns = load->now,
		.last_seen_ns = load->now,
		.origin = direction,
		.origin_end = source_end,
	};

	return bpf_map_update_elem(&FLOWS, key, &flow, BPF_NOEXIST);
}

/* Returns CF_STAT_FLOW_HIT, CF_STAT_FLOW_NEW or CF_STAT_FLOW_FULL. Of several CPUs that see a flow's first packets
 * at once exactly one is told NEW: the one whose insert succeeded. */
static __always_inline int cf_flow_account(const struct cf_flow_key *key, const struct cf_load *load, __u8 tcp_flags,
					   int direction, __u8 source_end)
{
	struct cf_flow *flow = bpf_map_lookup_elem(&FLOWS, key);
	int err;

	if (!flow) {
		err = cf_flow_insert(key, load, tcp_flags, direction, source_end);
		if (!err)
			return CF_STAT_FLOW_NEW;
		if (err == -EEXIST)
			flow = bpf_map_lookup_elem(&FLOWS, key);
		if (!flow)
			return CF_STAT_FLOW_FULL;
	}
	cf_flow_add(flow, load, tcp_flags, direction);
	return CF_STAT_FLOW_HIT;
}
#endif
