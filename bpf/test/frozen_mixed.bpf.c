/* SPDX-License-Identifier: GPL-2.0-only
 *
 * For specs: an operator's object that is careless. Each new flow has a frozen record, and by its source port an odd
 * one in front: too short, too long, discarded, or an event that claims to be of another cell. */
#include <stddef.h>
#include "event.h"
#include "frozen.h"

enum {
	TOO_SHORT = 36,
	TOO_LONG = 200,
	OTHER_CELL = 4095,
	ODD_KINDS = 6, /* of which one is none */
};

static __always_inline void emit_odd_length(__u32 which)
{
	__u64 *record;

	if (which == 1) {
		record = bpf_ringbuf_reserve(&flow_events, TOO_SHORT, 0);
		if (record)
			bpf_ringbuf_submit(record, 0);
	} else if (which == 2) {
		record = bpf_ringbuf_reserve(&flow_events, TOO_LONG, 0);
		if (record)
			bpf_ringbuf_submit(record, 0);
	} else if (which == 3) {
		record = bpf_ringbuf_reserve(&flow_events, sizeof(struct cf_frozen_record), 0);
		if (record)
			bpf_ringbuf_discard(record, 0);
	}
}

/* which: 4: an event, 5: one of a kind that does not exist. */
static __always_inline void emit_event(const struct frozen_key *key, __u32 which)
{
	struct cf_event *event = bpf_ringbuf_reserve(&flow_events, CF_EVENT_RING_LEN, 0);
	__be32 address;

	if (!event)
		return;
	__builtin_memset(event, 0, CF_EVENT_RING_LEN);
	event->first_seen_ns = event->last_seen_ns = bpf_ktime_get_boot_ns();
	event->packets = 1;
	address = bpf_htonl(key->src_ip);
	__builtin_memcpy(event->src_addr, &address, sizeof(address));
	address = bpf_htonl(key->dst_ip);
	__builtin_memcpy(event->dst_addr, &address, sizeof(address));
	event->cell = OTHER_CELL;
	event->src_port = key->src_port;
	event->dst_port = key->dst_port;
	event->flags = CF_EVENT_PORTS;
	event->kind = which == 4 ? CF_KIND_OPENED : 99;
	event->source = CF_SOURCE_NFLOG;
	event->hook = CF_HOOK_TC_EGRESS;
	event->direction = CF_DIRECTION_EGRESS;
	event->family = CF_FAMILY_IPV4;
	event->protocol = key->proto;
	event->verdict = CF_VERDICT_ACCEPT;
	bpf_ringbuf_submit(event, 0);
}

SEC("tc")
int cellos_flow_egress(struct __sk_buff *skb)
{
	struct cf_frozen_record *record;
	struct frozen_key key = {};
	__u32 which;

	if (!frozen_new_flow(skb, &key))
		return TC_ACT_UNSPEC;
	which = key.src_port % ODD_KINDS;
	if (which >= 4)
		emit_event(&key, which);
	else
		emit_odd_length(which);
	record = bpf_ringbuf_reserve(&flow_events, sizeof(*record), 0);
	if (record) {
		frozen_fill(record, &key);
		bpf_ringbuf_submit(record, 0);
	}
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
