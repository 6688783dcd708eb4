// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tc program of a cell: counts every packet into the flow table and makes one event of each new flow. It only
 * looks: the packet is never written, and every path returns TC_ACT_UNSPEC, so that the programs and filters
 * after it decide as if it were not there. Which flows matter is the policy's business, in user space.
 */
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
#include "maps.h"
#include "parse.h"
#include "flow_table.h"
#include "emit.h"

/* A GSO buffer is many packets with one copy of the headers. gso_segs is not it: 0 until somebody checked a buffer
 * that came from a packet socket or a guest. Only below TCP and UDP do we know where the payload begins; for the
 * rest (SCTP, whose gso_size is a marker, and tunnels) the kernel's own count is better when there is one.
 * The few senders left that ask for UDP fragmentation (UFO) cannot be told apart here and count 8 bytes too
 * many for each fragment.
 * Without GSO, what follows the length that the network header states is padding of the link (Ethernet has at least
 * 46 bytes), which the receiver cuts off. A stated length that cannot be is not believed. */
static __always_inline void cf_load_measure(struct __sk_buff *skb, const struct cf_packet *packet, __u8 protocol,
					    struct cf_load *load)
{
	__u32 len = skb->len, size = skb->gso_size, segments;

	load->packets = 1;
	load->bytes = len - packet->network;
	if (!size && packet->network_len < load->bytes && packet->network_len >= packet->transport - packet->network)
		load->bytes = packet->network_len;
	if (!size || packet->payload >= len) /* TCP's own header length may point past the end */
		return;
	segments = (len - packet->payload + size - 1) / size;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && skb->gso_segs)
		segments = skb->gso_segs;
	load->packets = segments;
	load->bytes += (__u64)(segments - 1) * (packet->payload - packet->network);
}

/* Of a buffer that was not parsed: the kernel's count, which both ends of a veth pair have alike. */
static __always_inline __u64 cf_segments(struct __sk_buff *skb)
{
	return skb->gso_size && skb->gso_segs ? skb->gso_segs : 1;
}

/* Counters are plain additions: the programs run with bottom halves off, one at a time on a CPU. */
static __always_inline int cf_observe(struct __sk_buff *skb, int hook)
{
	int direction = cf_config.flags & CF_BPF_FLIPPED ? !hook : hook;
	struct cf_flow_key key = { .cell = cf_config.cell };
	struct cf_packet packet = {};
	struct cf_stats *stats;
	struct cf_load load;
	__u32 zero = 0;
	__u8 source_end;
	int result;

	stats = bpf_map_lookup_elem(&STATS, &zero);
	if (!stats)
		return TC_ACT_UNSPEC;
	stats->n[CF_STAT_PACKETS]++;
	result = cf_parse(skb, &packet, &key);
	if (result != CF_STAT_PARSED) {
		if (direction == CF_FLOW_EGRESS)
			stats->n[CF_STAT_EGRESS_PACKETS] += cf_segments(skb);
		stats->n[result]++;
		return TC_ACT_UNSPEC;
	}
	stats->n[CF_STAT_PARSED]++;
	if (key.fragment)
		stats->n[CF_STAT_LATER_FRAGMENTS]++;
	if (packet.copied)
		stats->n[CF_STAT_NON_LINEAR]++;
	source_end = cf_flow_key_sort(&key);
	cf_load_measure(skb, &packet, key.protocol, &load);
	if (direction == CF_FLOW_EGRESS)
		stats->n[CF_STAT_EGRESS_PACKETS] += load.packets;
	load.now = bpf_ktime_get_boot_ns();
	result = cf_flow_account(&key, &load, packet.tcp_flags, direction, source_end);
	stats->n[result]++;
	if (result == CF_STAT_FLOW_NEW)
		cf_event_emit(skb, stats, &packet, &key, &load, hook, direction, source_end);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int cellflow_egress(struct __sk_buff *skb)
{
	return cf_observe(skb, CF_FLOW_EGRESS);
}

SEC("tc")
int cellflow_ingress(struct __sk_buff *skb)
{
	return cf_observe(skb, CF_FLOW_INGRESS);
}

/* Only how many packets the cell sends, for either hook. A program of its own: as a branch of the others it would more
 * than double what the verifier has to follow in each of them. */
SEC("tc")
int cellflow_count(struct __sk_buff *skb)
{
	struct cf_flow_key key = {};
	struct cf_packet packet = {};
	struct cf_load load = { .packets = 1 };
	struct cf_stats *stats;
	__u32 zero = 0;

	stats = bpf_map_lookup_elem(&STATS, &zero);
	if (!stats)
		return TC_ACT_UNSPEC;
	stats->n[CF_STAT_PACKETS]++;
	if (skb->gso_size) {
		if (cf_parse(skb, &packet, &key) == CF_STAT_PARSED)
			cf_load_measure(skb, &packet, key.protocol, &load);
		else
			load.packets = cf_segments(skb);
	}
	stats->n[CF_STAT_EGRESS_PACKETS] += load.packets;
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
