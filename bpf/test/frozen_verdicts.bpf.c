/* SPDX-License-Identifier: GPL-2.0-only
 *
 * For specs: an operator's object whose frozen records have the verdict byte that a flow's destination port asks for
 * (its two lowest bits; 3 means nothing). It also has what is looked for after its own program and ring: a program by a
 * later name, which emits odd lengths, and a ring by the later name, which stays empty. */
#include "frozen.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FROZEN_RING_BYTES);
} FLOW_EVENTS SEC(".maps");

SEC("tc")
int cellos_flow_egress(struct __sk_buff *skb)
{
	struct cf_frozen_record *record;
	struct frozen_key key = {};

	if (!frozen_new_flow(skb, &key))
		return TC_ACT_UNSPEC;
	record = bpf_ringbuf_reserve(&FLOW_EVENTS, sizeof(*record), 0);
	if (record) {
		frozen_fill(record, &key);
		record->verdict = key.dst_port & 3;
		bpf_ringbuf_submit(record, 0);
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int flow_classifier(struct __sk_buff *skb)
{
	__u64 *odd = bpf_ringbuf_reserve(&flow_events, sizeof(*odd), 0);

	if (odd) {
		*odd = skb->len;
		bpf_ringbuf_submit(odd, 0);
	}
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
