/* SPDX-License-Identifier: GPL-2.0-only
 *
 * The order of a flow key's two ends, so that both directions of a connection have the same key.
 */
#ifndef CF_BPF_SORT_H
#define CF_BPF_SORT_H

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
#endif
