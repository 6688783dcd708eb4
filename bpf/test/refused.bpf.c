/* SPDX-License-Identifier: GPL-2.0-only
 *
 * For specs: an operator's object that the verifier refuses, for reading packet bytes without a bounds check. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} FLOW_EVENTS SEC(".maps");

SEC("tc")
int cellflow_egress(struct __sk_buff *skb)
{
	const __u8 *data = (const __u8 *)(long)skb->data;
	__u64 *event;

	event = bpf_ringbuf_reserve(&FLOW_EVENTS, sizeof(*event), 0);
	if (event) {
		*event = data[100];
		bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	}
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
