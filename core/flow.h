/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * What the tc program keeps in its maps: the flow table's key and value and the per-CPU counters.
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
	uint32_t cell;
	uint8_t family;
	uint8_t protocol;
	uint8_t fragment; /* 1: later fragments, which have no ports of their own */
	uint8_t icmp_echo; /* 1: port holds an echo id, not a type */
	uint8_t pad0[4]; /* zero */
};

enum cf_flow_direction { /* index into the arrays of struct cf_flow: direction as the cell sees it */
			 CF_FLOW_EGRESS = 0,
			 CF_FLOW_INGRESS = 1,
};

struct cf_flow {
	uint64_t first_seen_ns; /* CLOCK_BOOTTIME */
	uint64_t last_seen_ns; /* CLOCK_BOOTTIME */
	uint64_t packets[2];
	uint64_t bytes[2]; /* network-layer bytes, as in struct cf_event */
	uint32_t tcp_flags[2]; /* or-ed over all packets */
	uint8_t origin; /* enum cf_flow_direction of the first packet */
	uint8_t origin_end; /* which end of the key sent the first packet */
	uint8_t pad0[6]; /* zero */
};

/* Per-CPU counters, one array for each cell. Every packet and every event is in exactly one of the terms of
 *   packets      = parsed + unparsed_*
 *   parsed       = flow_hit + flow_new + flow_full
 *   flow_new     = event_attempted
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
	CF_STAT_FLOW_NEW,
	CF_STAT_FLOW_FULL, /* flow table refused the flow: its packets are seen, it has no event */
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
};

enum {
	CF_SLOT_BITS =
		12, /* CF_CELLS_MAX slots; above them the epoch: how often the slot was given before, modulo 2^20 */
};

enum cf_bpf_flag {
	CF_BPF_COUNT_ONLY = 1, /* count packets; no flow table, no events */
	CF_BPF_FLIPPED = 2, /* outside of the cell (its veth peer, its tap): the hook's ingress is the cell's egress */
};

/* What differs from cell to cell: read-only data in section .rodata.config, set between open and load. */
struct cf_bpf_config {
	uint64_t wake_interval_ns; /* at most one consumer wake-up in this time; 0: wake for every event */
	uint32_t cell; /* stamped on every event and flow key: slot | epoch << CF_SLOT_BITS */
	uint32_t link_len; /* bytes before the network header: 14 for Ethernet, 0 for a layer-3 device */
	uint32_t flags; /* enum cf_bpf_flag, or-ed */
	uint32_t pad0; /* zero */
};

/* The one entry of map WAKE, shared by all cells of a ring. */
struct cf_wake {
	uint64_t last_ns; /* CLOCK_BOOTTIME of the latest forced wake-up */
};
#endif
