/* SPDX-License-Identifier: GPL-2.0-only
 *
 * For specs: an operator's object by the last names that are looked for, with none of the optional maps. One program
 * that nobody wants would be refused by the verifier: it must not be loaded. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} flow_events SEC(".maps");

SEC("tc")
int flow_classifier(struct __sk_buff *skb)
{
	__u64 *event = bpf_ringbuf_reserve(&flow_events, sizeof(*event), 0);

	if (event) {
		*event = skb->len;
		bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int unwanted(struct __sk_buff *skb)
{
	return *(const __u8 *)(long)skb->data;
}

char LICENSE[] SEC("license") = "GPL";
