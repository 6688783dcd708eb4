/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * What the tc program keeps in its maps: the flow table's sets and the per-CPU counters, and what configures it.
 * Read by bpf/ and core/; the Lua specs read it too (same rules as event.h). Policies never see it.
 */
#ifndef CF_FLOW_H
#define CF_FLOW_H
#include <stdint.h>

/* Both directions of a connection share one entry, so the two ends are sorted: end 0 is the lower of
 * (address, port) as big-endian bytes. The value says which end spoke first. */
struct cf_flow_key {
	uint8_t addr[2][16]; /* network order, IPv4 in the first 4 bytes, the rest 0 */
	uint16_t port[2]; /* host order; ICMP echo: id in both; other ICMP: type << 8 | code in both; none: 0 */
	uint32_t cell; /* slot | epoch << CF_SLOT_BITS */
	uint8_t family;
	uint8_t protocol;
	uint8_t fragment; /* 1: later fragments, which have no ports of their own */
	uint8_t icmp_echo; /* 1: port holds an echo id, not a type */
	uint8_t dropped; /* 1: packets that netfilter drops, which are no part of a connection between the same ends */
	uint8_t pad0[3]; /* zero */
};

enum cf_flow_direction { /* index into the arrays of struct cf_flow: direction as the cell sees it */
			 CF_FLOW_EGRESS = 0,
			 CF_FLOW_INGRESS = 1,
};

struct cf_flow {
	struct cf_flow_key key;
	uint64_t first_seen_ns; /* CLOCK_BOOTTIME */
	uint64_t last_seen_ns; /* CLOCK_BOOTTIME; up to one tick of the kernel's timer (at most 10 ms) behind */
	uint64_t packets[2];
	uint64_t bytes[2]; /* network-layer bytes, as in struct cf_event */
	uint32_t tcp_flags[2]; /* or-ed over all packets */
	uint32_t ifindex; /* of the first packet, as all below but told_* */
	uint32_t mark;
	uint32_t told_packets; /* sweeper's: packets of both directions at the latest `updated`, modulo 2^32 */
	uint16_t vlan;
	uint16_t flags; /* enum cf_event_flag */
	uint8_t origin; /* enum cf_flow_direction */
	uint8_t origin_end; /* which end of the key sent it */
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint8_t hook; /* enum cf_hook: the real one, which of a peer's ingress is egress of the cell */
	uint8_t verdict; /* enum cf_verdict */
	uint8_t events; /* which events the cell asked for: 1 << enum cf_kind, or-ed */
	uint8_t told_interval; /* sweeper's: intervals since first_seen_ns, modulo 256, that it has dealt with */
};

/* The table is an array of sets, and a flow can be in one of them only, in any of its ways. A way's tag says what it
 * holds: nothing, a flow (its fingerprint, from CF_TAG_FIRST up), or a flow that is being put in or taken out. The
 * tags of a set are in one cache line, which is all that a miss costs, and apart from the flows, behind all sets: so
 * they stay in the caches where the flows do not, and whoever looks for flows has a thirtieth of the memory to look at.
 * Who may change a tag: the holder of `lock` makes FREE a fingerprint, once the entry is whole, and one that has to go
 * CLAIMED, and that a fingerprint again; the one sweeper, which takes no lock, makes a fingerprint CLOSING and, at
 * least 10 ms later, when nobody can be counting into the entry any more, FREE. A fingerprint is only ever changed by
 * compare-and-swap. */
enum {
	CF_FLOW_WAYS = 15,
	CF_FLOW_SETS = 16384, /* by default: 245,760 flows, 33 MiB */
	CF_FLOW_SETS_MAX = 1 << 22,
	CF_FLOW_BLOCK = 32, /* sets' tags in the place of one set */
	CF_TAG_FREE = 0,
	CF_TAG_CLAIMED = 1,
	CF_TAG_CLOSING = 2,
	CF_TAG_FIRST = 4,
	CF_BLOOM_WORDS = 7,
	CF_FLOW_CLOSING_NS = 10000000,
};

enum cf_set_lock {
	CF_SET_LOCKED = 1, /* somebody is putting a flow in */
	CF_SET_EVICTED = 2, /* some flow had to make room: what the set remembers of that has a meaning */
	CF_SET_NEXT = 8, /* from this bit on: the way after the one whose flow had to */
};

struct cf_flow_tags {
	uint32_t lock; /* enum cf_set_lock, or-ed */
	uint32_t tag[15]; /* by way */
};

struct cf_flow_set {
	uint64_t bloom[7]; /* fingerprints of flows that had to make room, two bits for each */
	uint32_t evictions; /* how many they were */
	uint32_t evicted; /* when the latest was: CLOCK_BOOTTIME, in 2^30 ns */
	struct cf_flow flow[15];
	/* By way: when its flow was last seen, in 2^16 ns, or earlier than that; finished ones half of all time away.
	 * Hits leave it as it is, so that they touch no further line. */
	uint32_t age[15];
	uint32_t pad0; /* zero */
};

/* What had to make room for a flow, or was replaced by one between the same ends. */
struct cf_flow_ended {
	uint32_t kind; /* CF_KIND_CLOSED; 0: nothing ended */
	uint32_t close_reason; /* enum cf_close_reason */
	uint32_t stat; /* CF_STAT_FLOW_EVICTED or CF_STAT_FLOW_REUSED */
	uint32_t pad0; /* zero */
	struct cf_flow flow; /* with its final counts */
};

/* The secret of the hash that chooses set and fingerprint: without it, nobody can aim flows at one set. */
enum {
	CF_FLOW_SECRETS = 13,
};

struct cf_flow_secret {
	uint64_t word[13];
};

/* Per-CPU counters, one array for each cell. Every packet and every event is in exactly one of the terms of
 *   packets      = parsed + unparsed_*
 *   parsed       = flow_hit + flow_new + flow_full
 *   flow_new + flow_evicted + flow_reused = event_attempted + event_unwanted
 *   event_attempted = event_submitted + ring_full
 * An object that only counts (CF_BPF_COUNT_ONLY) has packets and egress_packets, and nothing of the others. */
enum cf_stat {
	CF_STAT_PACKETS = 0, /* buffers the hook saw (a GSO buffer is one) */
	CF_STAT_PARSED,
	CF_STAT_UNPARSED_NOT_IP, /* ARP, LLDP, ...: no network address to decide on */
	CF_STAT_UNPARSED_TRUNCATED, /* ends inside a header that must be there */
	CF_STAT_UNPARSED_BAD_HEADER, /* version or header length that cannot be */
	CF_STAT_UNPARSED_EXT_TOO_DEEP, /* more than 8 IPv6 extension headers */
	CF_STAT_UNPARSED_VLAN_TOO_DEEP, /* more than 2 tags in the payload */
	CF_STAT_FLOW_HIT,
	CF_STAT_FLOW_NEW, /* each is an `opened` */
	CF_STAT_FLOW_FULL, /* flow table refused the flow: its packets are seen, it has no event */
	CF_STAT_FLOW_EVICTED, /* flows, of whichever cell, that made room for a new one; each is a `closed` */
	CF_STAT_FLOW_REUSED, /* connections that ended because their ports began another; each is a `closed` */
	CF_STAT_EVENT_UNWANTED, /* no event, because the flow's cell does not ask for that kind */
	CF_STAT_EVENT_ATTEMPTED,
	CF_STAT_EVENT_SUBMITTED,
	CF_STAT_RING_FULL, /* event lost because the ring had no room */
	CF_STAT_WAKEUPS, /* submits that woke the consumer */
	CF_STAT_LATER_FRAGMENTS, /* parsed without ports */
	CF_STAT_NON_LINEAR, /* parsed by copying: the header was not in the linear part */
	CF_STAT_EGRESS_PACKETS, /* what the cell sent, in segments as they are on the wire */
	CF_STAT_COUNT,
};

struct cf_stats {
	uint64_t n[CF_STAT_COUNT]; /* by enum cf_stat */
	uint64_t seq; /* of the latest event with this cell's number that was attempted here */
	uint64_t tick; /* of the kernel's timer, plus 1, in which the clocks were compared */
	uint64_t boot_ns; /* CLOCK_BOOTTIME then, or of a flow that began since */
	uint64_t boot_offset_ns; /* how far it is ahead of CLOCK_MONOTONIC */
	struct cf_flow_ended ended; /* in the making: the program's stack has no room for it */
};

enum {
	CF_SLOT_BITS =
		12, /* CF_CELLS_MAX slots; above them the epoch: how often the slot was given before, modulo 2^20 */
};

enum cf_bpf_flag {
	CF_BPF_COUNT_ONLY = 1, /* count packets (program cellflow_count); no flow table, no events */
	CF_BPF_FLIPPED = 2, /* outside of the cell (its veth peer, its tap): the hook's ingress is the cell's egress */
};

/* What differs from cell to cell: read-only data in section .rodata.config, set between open and load. */
struct cf_bpf_config {
	uint64_t wake_interval_ns; /* at most one consumer wake-up in this time; 0: wake for every event */
	struct cf_flow_secret secret; /* one for all objects that share a flow table */
	uint32_t cell; /* stamped on every event and flow key: slot | epoch << CF_SLOT_BITS */
	uint32_t link_len; /* bytes before the network header: 14 for Ethernet, 0 for a layer-3 device */
	uint32_t set_mask; /* sets in FLOWS, a power of two, less 1 */
	uint32_t events; /* 1 << enum cf_kind, or-ed: of opened and closed, what is written to the ring */
	uint32_t flags; /* enum cf_bpf_flag, or-ed */
	uint32_t slot_mask; /* slots for events in FLOW_EVENTS, a power of two, less 1 */
	uint32_t slot_limit; /* events that may wait there */
	uint32_t pad0; /* zero */
};

/* The ring of events, FLOW_EVENTS: an array of slots. Who has an event draws a number from one counter, which says the
 * slot as well, and fills that; it is there once the slot has its number. The reader keeps another counter: what is
 * before it may be overwritten. Each counter has a page of its own, however large pages are: the reader can write to
 * its own only. Why not the kernel's ring buffer: it takes a lock, several calls, and two instructions that wait for
 * memory. */
enum {
	CF_SLOTS = 131072, /* by default */
	CF_SLOT_CONSUMER = 0, /* index of the reader's counter in the array: how many events it is done with */
	CF_SLOT_PRODUCER = 512, /* of the other: how many numbers were drawn */
	CF_SLOT_FIRST = 1024, /* of the slots themselves */
};

#define CF_SLOT_EMPTY (1ULL << 63) /* or-ed to the number: no event came of it */

struct cf_slot {
	uint64_t number; /* 1, 2, ...; or a counter */
	uint8_t event[128]; /* struct cf_event but for its prefix */
};

/* The one entry of map WAKE, shared by all cells of a ring. */
struct cf_wake {
	uint64_t last_ns; /* CLOCK_BOOTTIME of the latest forced wake-up */
};
#endif
