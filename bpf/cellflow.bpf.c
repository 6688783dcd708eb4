// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tc program of a cell: counts every packet into the flow table and makes an event of each flow that
 * begins, or that has to make room. It only looks: the packet is never written, and every path returns TC_ACT_UNSPEC,
 * so that the programs and filters after it decide as if it were not there. Which flows matter is the policy's
 * business, in user space.
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
#include "sort.h"
#include "flow_table.h"
#include "flow_event.h"
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

/* Once in a tick: what it is on the boot clock, and how far that is from the monotonic one, which costs less to read.
 * Their distance only grows (while the host sleeps), and is measured too small if anything, so the greatest is right.
 */
static __always_inline void cf_clock_tick(struct cf_stats *stats)
{
	__u64 tick = bpf_jiffies64() + 1, offset; /* 0: never */

	if (tick == stats->tick)
		return;
	stats->tick = tick;
	stats->boot_ns = bpf_ktime_get_boot_ns();
	offset = stats->boot_ns - bpf_ktime_get_ns();
	if ((__s64)(offset - stats->boot_offset_ns) > 0)
		stats->boot_offset_ns = offset;
}

/* The boot clock as of the tick: to read it would cost more than the rest of a known flow's packet. It is never ahead,
 * and behind by a tick at most (after a suspend too, which the next tick shows). */
static __always_inline __u64 cf_clock_coarse(struct cf_stats *stats)
{
	cf_clock_tick(stats);
	return stats->boot_ns;
}

/* Later packets of this CPU must not be older than the flow. */
static __always_inline __u64 cf_clock(struct cf_stats *stats)
{
	cf_clock_tick(stats);
	return stats->boot_ns = bpf_ktime_get_ns() + stats->boot_offset_ns;
}

/* On its way out a packet comes here after netfilter, on its way in before it. Outside of the cell it says nothing
 * either way: it has passed the cell's netfilter, or will, but what counts there is the host's. */
static __always_inline void cf_flow_seen_at(struct cf_flow *fresh, const struct __sk_buff *skb, int hook)
{
	fresh->ifindex = skb->ifindex;
	fresh->mark = skb->mark;
	fresh->hook = hook == CF_FLOW_EGRESS ? CF_HOOK_TC_EGRESS : CF_HOOK_TC_INGRESS;
	fresh->verdict =
		hook == CF_FLOW_EGRESS && !(cf_config.flags & CF_BPF_FLIPPED) ? CF_VERDICT_ACCEPT : CF_VERDICT_UNKNOWN;
	fresh->events = cf_config.events;
}

/* A packet whose flow is not in the table, or that begins a new connection in an old one's place. A global function, as
 * the parser is: the verifier walks each once, and not once more for everything that it knows where they are called.
 * Their pointers are checked for it. There are no more of them, because a call costs each packet what a look-up does:
 * returns are guarded against speculation, and arguments go through memory. */
__noinline int cf_observe_new(struct cf_flow_tags *tags, struct cf_flow_set *set, __u32 tag, struct cf_flow *fresh,
			      struct cf_stats *stats)
{
	struct cf_flow_ended *ended;
	struct cf_flow *flow = NULL;
	__u64 number = 0;
	int result, direction;

	if (!tags || !set || !fresh || !stats)
		return 0;
	/* Before the entry is written: to draw a number waits for all that was stored. Where ends are told as well,
	 * theirs come first. */
	if (cf_config.events == 1 << CF_KIND_OPENED)
		number = cf_event_draw();
	ended = &stats->ended;
	direction = fresh->origin & 1;
	result = cf_flow_insert(tags, set, tag, fresh, ended, &flow);
	stats->n[result]++;
	if (result == CF_STAT_FLOW_HIT && flow) {
		struct cf_load load = { fresh->packets[direction], fresh->bytes[direction], fresh->first_seen_ns };

		cf_flow_add(flow, &load, fresh->tcp_flags[direction], direction);
	}
	if (result != CF_STAT_FLOW_NEW) {
		cf_event_leave(number);
		return 0;
	}
	if (ended->kind) {
		stats->n[ended->stat == CF_STAT_FLOW_REUSED ? CF_STAT_FLOW_REUSED : CF_STAT_FLOW_EVICTED]++;
		cf_event_emit(stats, &ended->flow, CF_KIND_CLOSED, ended->close_reason, fresh->first_seen_ns);
	}
	if (cf_config.events == 1 << CF_KIND_OPENED)
		cf_event_put(stats, number, fresh, CF_KIND_OPENED, CF_CLOSE_NONE, fresh->first_seen_ns);
	else
		cf_event_emit(stats, fresh, CF_KIND_OPENED, CF_CLOSE_NONE, fresh->first_seen_ns);
	return 0;
}

static __always_inline int cf_observe_flow(struct __sk_buff *skb, struct cf_stats *stats,
					   const struct cf_packet *packet, struct cf_flow_key *key, __u32 hook)
{
	int direction = (cf_config.flags & CF_BPF_FLIPPED ? hook ^ 1 : hook) & 1;
	struct cf_flow_tags *tags;
	struct cf_flow_set *set;
	struct cf_flow fresh;
	struct cf_load load;
	__u32 index, block, tag, way;
	__u64 hash;

	fresh.origin_end = cf_flow_key_sort(key);
	hash = cf_flow_hash(key, &cf_config.secret);
	tag = cf_flow_tag(hash);
	index = cf_flow_set_index(hash, cf_config.set_mask);
	block = cf_config.set_mask + 1 + index / CF_FLOW_BLOCK;
	set = bpf_map_lookup_elem(&FLOWS, &index);
	tags = bpf_map_lookup_elem(&FLOWS, &block);
	if (!set || !tags) {
		stats->n[CF_STAT_FLOW_FULL]++;
		return 0;
	}
	/* Before the look-up: what comes after it the verifier walks once for each way. */
	cf_load_measure(skb, packet, key->protocol, &load);
	if (direction == CF_FLOW_EGRESS)
		stats->n[CF_STAT_EGRESS_PACKETS] += load.packets;
	tags += index % CF_FLOW_BLOCK;
	way = cf_flow_find(tags, set, tag, key);
	if (way < CF_FLOW_WAYS && !cf_flow_is_reuse(&set->flow[way], packet->tcp_flags)) {
		load.now = cf_clock_coarse(stats);
		cf_flow_hit(set, way, &load, packet->tcp_flags, direction);
		stats->n[CF_STAT_FLOW_HIT]++;
		return 0;
	}
	load.now = cf_clock(stats);
	__builtin_memcpy(&fresh.key, key, sizeof(fresh.key));
	cf_flow_begin(&fresh, packet, &load, direction);
	cf_flow_seen_at(&fresh, skb, hook);
	return cf_observe_new(tags, set, tag, &fresh, stats);
}

/* Of a buffer that was not parsed: the kernel's count, which both ends of a veth pair have alike. */
static __always_inline __u64 cf_segments(struct __sk_buff *skb)
{
	return skb->gso_size && skb->gso_segs ? skb->gso_segs : 1;
}

/* The parser keeps what it finds in registers, whose bounds the verifier knows, and gives out a copy. */
__noinline int cf_observe_parse(struct __sk_buff *skb, struct cf_packet *packet, struct cf_flow_key *key)
{
	struct cf_packet found = {};
	int result;

	if (!packet || !key)
		return CF_STAT_UNPARSED_TRUNCATED;
	result = cf_parse(skb, &found, key);
	__builtin_memcpy(packet, &found, sizeof(*packet));
	return result;
}

/* Counters are plain additions: the programs run with bottom halves off, one at a time on a CPU. */
static __always_inline int cf_observe(struct __sk_buff *skb, int hook)
{
	struct cf_flow_key key = { .cell = cf_config.cell };
	struct cf_packet packet;
	struct cf_stats *stats;
	__u32 zero = 0, result;

	stats = bpf_map_lookup_elem(&STATS, &zero);
	if (!stats)
		return TC_ACT_UNSPEC;
	stats->n[CF_STAT_PACKETS]++;
	result = cf_observe_parse(skb, &packet, &key);
	if (result >= CF_STAT_COUNT) /* never: for the verifier */
		return TC_ACT_UNSPEC;
	stats->n[result]++;
	if (result != CF_STAT_PARSED) {
		if ((cf_config.flags & CF_BPF_FLIPPED ? !hook : hook) == CF_FLOW_EGRESS)
			stats->n[CF_STAT_EGRESS_PACKETS] += cf_segments(skb);
		return TC_ACT_UNSPEC;
	}
	/* Without branches, for the verifier's sake: both are 0 or 1. */
	stats->n[CF_STAT_LATER_FRAGMENTS] += key.fragment;
	stats->n[CF_STAT_NON_LINEAR] += packet.copied;
	cf_observe_flow(skb, stats, &packet, &key, hook);
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
