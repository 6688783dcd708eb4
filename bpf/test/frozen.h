/* SPDX-License-Identifier: GPL-2.0-only
 *
 * For specs: what the objects with frozen records have in common: a flow table of their own, from a packet to its key,
 * and the record. IPv4 TCP and UDP on Ethernet, no fragments; what they emit, and when, is theirs. */
#ifndef CF_TEST_FROZEN_H
#define CF_TEST_FROZEN_H
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "frozen_record.h"

enum {
	FROZEN_FLOWS = 16384,
	FROZEN_RING_BYTES = 262144,
	FROZEN_PADDING = 0xa5, /* left in the record, as an object that does not clear it would */
};

struct frozen_key {
	__u32 src_ip, dst_ip; /* host order, as in the record */
	__u16 src_port, dst_port;
	__u32 proto;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FROZEN_FLOWS);
	__type(key, struct frozen_key);
	__type(value, __u64);
} FLOWS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FROZEN_RING_BYTES);
} flow_events SEC(".maps");

/* 1: the packet is of a flow that was not known, whose key is in *key. */
static __always_inline int frozen_new_flow(struct __sk_buff *skb, struct frozen_key *key)
{
	__u64 one = 1, *packets;
	__be16 ports[2];
	struct iphdr ip;

	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0)
		return 0;
	if ((ip.protocol != IPPROTO_TCP && ip.protocol != IPPROTO_UDP) || (ip.frag_off & bpf_htons(0x1fff)))
		return 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + ip.ihl * 4, ports, sizeof(ports)) < 0)
		return 0;
	key->src_ip = bpf_ntohl(ip.saddr);
	key->dst_ip = bpf_ntohl(ip.daddr);
	key->src_port = bpf_ntohs(ports[0]);
	key->dst_port = bpf_ntohs(ports[1]);
	key->proto = ip.protocol;
	packets = bpf_map_lookup_elem(&FLOWS, key);
	if (packets) {
		__sync_fetch_and_add(packets, 1);
		return 0;
	}
	return bpf_map_update_elem(&FLOWS, key, &one, BPF_NOEXIST) == 0;
}

static __always_inline void frozen_fill(struct cf_frozen_record *record, const struct frozen_key *key)
{
	__builtin_memset(record, FROZEN_PADDING, sizeof(*record));
	record->src_ip = key->src_ip;
	record->dst_ip = key->dst_ip;
	record->src_port = key->src_port;
	record->dst_port = key->dst_port;
	record->proto = key->proto;
	record->pkt_count = 1;
	record->first_seen_ns = bpf_ktime_get_ns();
	record->verdict = 1; /* on its way out a packet comes here after netfilter */
}
#endif
