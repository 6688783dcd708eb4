/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The one contract: what a flow event is. Read three times, by bpf/ (clang -target bpf), by core/ (cc)
 * and by lua/ (the build strips the lines that begin with '#' and hands the rest to ffi.cdef). So: fixed
 * widths, enums for constants, widest fields first, no pointers, no bit-fields, named padding.
 * Says nothing about how events are made or what is decided about them.
 */
#ifndef CF_EVENT_H
#define CF_EVENT_H
#include <stdint.h>

enum cf_kind {
	CF_KIND_OPENED = 1, /* first packet of a flow that was not known */
	CF_KIND_UPDATED = 2, /* a known flow's counters, at an interval */
	CF_KIND_CLOSED = 3, /* a flow ended; close_reason says how */
	CF_KIND_LOGGED = 4, /* one packet that a netfilter rule logged */
};

enum cf_source {
	CF_SOURCE_EBPF = 1,
	CF_SOURCE_NFLOG = 2,
	CF_SOURCE_REPLAY = 3,
};

enum cf_hook {
	CF_HOOK_TC_EGRESS = 1,
	CF_HOOK_TC_INGRESS = 2,
	CF_HOOK_NF_PREROUTING = 3, /* netfilter's, of a packet that a rule logged */
	CF_HOOK_NF_INPUT = 4,
	CF_HOOK_NF_FORWARD = 5,
	CF_HOOK_NF_OUTPUT = 6,
	CF_HOOK_NF_POSTROUTING = 7,
	CF_HOOK_NF_INGRESS = 8, /* of a device (nft family netdev) */
	CF_HOOK_NF_EGRESS = 9,
};

/* Seen from the cell: egress leaves it. Not the same as the hook: a peer's ingress is the cell's egress. */
enum cf_direction {
	CF_DIRECTION_EGRESS = 1,
	CF_DIRECTION_INGRESS = 2,
};

enum cf_family {
	CF_FAMILY_IPV4 = 4,
	CF_FAMILY_IPV6 = 6,
};

/* What the kernel hook proves about the packet, not what a policy thinks of it. */
enum cf_verdict {
	CF_VERDICT_UNKNOWN = 0,
	CF_VERDICT_ACCEPT = 1, /* it had passed netfilter when the hook saw it */
	CF_VERDICT_DROP = 2,
};

enum cf_close_reason {
	CF_CLOSE_NONE = 0,
	CF_CLOSE_FIN = 1,
	CF_CLOSE_RST = 2,
	CF_CLOSE_IDLE = 3,
	CF_CLOSE_EVICTED = 4,
	CF_CLOSE_CELL_GONE = 5,
	CF_CLOSE_SHUTDOWN = 6,
};

/* Which optional fields are known; a field whose bit is not set is absent, whatever its bytes hold. */
enum cf_event_flag {
	CF_EVENT_PORTS = 1, /* src_port and dst_port */
	CF_EVENT_ICMP = 2, /* icmp_type and icmp_code */
	CF_EVENT_ICMP_ID = 4, /* icmp_id: echo request and reply only */
	CF_EVENT_TCP = 8, /* tcp_flags */
	CF_EVENT_VLAN = 16, /* vlan */
	CF_EVENT_FRAGMENT = 32, /* a later fragment: its transport header is in another packet */
	CF_EVENT_REOPENED = 64, /* opened, but may have been open before: the table has evicted flows like it */
	CF_EVENT_MIDSTREAM = 128, /* opened by a TCP packet without SYN: the connection is older than our sight of it */
	CF_EVENT_CONFLICT = 256, /* netfilter says drop of a flow that tc saw leave */
};

enum {
	CF_EVENT_PREFIX_LEN = 128, /* NF_LOG_PREFIXLEN: 127 bytes and a NUL */
	CF_EVENT_RING_LEN = 128, /* what a ring record carries: all of the event but the prefix */
	CF_EVENT_FULL_LEN = 256, /* with the prefix: the longest records of the host ring */
};

struct cf_event {
	uint64_t first_seen_ns; /* CLOCK_BOOTTIME; flow's first packet */
	uint64_t last_seen_ns; /* CLOCK_BOOTTIME; flow's latest packet up to this event */
	uint64_t packets; /* on the wire: a GSO buffer counts as the segments it becomes */
	uint64_t bytes; /* network-layer bytes (IP header and what follows), GSO headers included */
	uint64_t reply_packets; /* of the direction opposite to the event's; closed and updated only */
	uint64_t reply_bytes;
	uint64_t seq; /* 1, 2, ... per cell and CPU over attempted events: a gap is a lost event */
	uint8_t src_addr[16]; /* network order; IPv4 in the first 4 bytes, the rest 0 */
	uint8_t dst_addr[16];
	uint32_t cell; /* index of the cell in the plan */
	uint32_t ifindex; /* of the hook's interface, in that interface's namespace */
	uint32_t mark; /* skb mark; 0 also when there is none */
	uint16_t src_port; /* host order */
	uint16_t dst_port; /* host order */
	uint16_t icmp_id; /* host order */
	uint16_t vlan; /* VLAN id of the outermost tag, 0..4095 */
	uint16_t flags; /* enum cf_event_flag */
	uint16_t cpu; /* on which the packet was seen */
	uint8_t kind; /* enum cf_kind */
	uint8_t source; /* enum cf_source */
	uint8_t hook; /* enum cf_hook; 0 where no tc hook was involved */
	uint8_t direction; /* enum cf_direction */
	uint8_t family; /* enum cf_family */
	uint8_t protocol; /* IANA number, after IPv6 extension headers */
	uint8_t verdict; /* enum cf_verdict */
	uint8_t tcp_flags; /* of all packets of the event's direction so far, or-ed */
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint8_t close_reason; /* enum cf_close_reason */
	uint8_t witnesses; /* 1 << enum cf_source, or-ed, of all that saw it; 0: `source` alone */
	uint8_t pad0[4]; /* zero */
	char prefix[CF_EVENT_PREFIX_LEN]; /* NFLOG prefix, NUL-terminated; empty from other sources */
};
#endif
