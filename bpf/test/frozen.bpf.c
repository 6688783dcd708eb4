/* SPDX-License-Identifier: GPL-2.0-only
 *
 * For specs: an operator's object for an older host, by its names and its record: 40 bytes for each new IPv4 TCP or UDP
 * flow that leaves, and nothing else. */
#include "frozen.h"

SEC("tc")
int tc_egress(struct __sk_buff *skb)
{
	struct cf_frozen_record *record;
	struct frozen_key key = {};

	if (!frozen_new_flow(skb, &key))
		return TC_ACT_UNSPEC;
	record = bpf_ringbuf_reserve(&flow_events, sizeof(*record), 0);
	if (record) {
		frozen_fill(record, &key);
		bpf_ringbuf_submit(record, 0);
	}
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
