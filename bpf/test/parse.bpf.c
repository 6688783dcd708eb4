/* SPDX-License-Identifier: GPL-2.0-only
 *
 * For specs: the parser alone. Parses one frame and leaves what it found in a map, to be compared with what user space
 * makes of the same bytes. */
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "event.h"
#include "flow.h"

const volatile struct cf_bpf_config cf_config SEC(".rodata.config") = { .link_len = ETH_HLEN };

#include "../parse.h"

struct parsed {
	struct cf_flow_key key;
	struct cf_packet packet;
	__s32 result;
	__u32 pad0;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct parsed);
} PARSED SEC(".maps");

/* The frame comes with an ethertype that the kernel does not look behind (it refuses short IP packets in test runs);
 * the one to be parsed is in the mark. */
SEC("tc")
int parse(struct __sk_buff *skb)
{
	__be16 ethertype = bpf_htons((__u16)skb->mark);
	struct cf_flow_key key = {};
	struct cf_packet packet = {};
	struct parsed *parsed;
	__u32 zero = 0;

	parsed = bpf_map_lookup_elem(&PARSED, &zero);
	if (!parsed || bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &ethertype, sizeof(ethertype), 0))
		return TC_ACT_SHOT;
	parsed->result = cf_parse(skb, &packet, &key);
	parsed->packet = packet;
	parsed->key = key;
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
