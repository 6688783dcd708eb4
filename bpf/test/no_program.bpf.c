/* SPDX-License-Identifier: GPL-2.0-only
 *
 * For specs: an operator's object that has the ring but no program of a name we know. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} FLOW_EVENTS SEC(".maps");

SEC("tc")
int something_else(struct __sk_buff *skb)
{
	__u64 *event = bpf_ringbuf_reserve(&FLOW_EVENTS, sizeof(*event), 0);

	if (event) {
		*event = skb->len;
		bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	}
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
