/* SPDX-License-Identifier: MIT
 *
 * What the collector has done, in memory that it shares with the supervisor and that outlives it: a successor counts
 * on (collect_note.h). One writer; readers may see numbers of one event half counted, never lost.
 *
 *   nflog packets = parsed + unparsed, parsed = flow hit + flow new + flow full
 *   submitted     = the sum of told[]
 */
#ifndef CF_COLLECTED_H
#define CF_COLLECTED_H
#include <stdint.h>
#include "flow.h"

enum {
	CF_COLLECTED_SLOTS = 4096, /* CF_CELLS_MAX */
	CF_TOLD_KINDS = 5, /* enum cf_kind */
	CF_TOLD_REASONS = 7, /* enum cf_close_reason */
};

struct cf_collected_nflog {
	uint64_t packets; /* that netfilter's rules handed us */
	uint64_t parsed;
	uint64_t unparsed;
	uint64_t flow_hit; /* of a flow that was known */
	uint64_t flow_new;
	uint64_t flow_full; /* no room for its flow: seen, but without an event */
	uint64_t lost; /* by sequence numbers: packets that the socket had no room for */
	uint64_t overruns; /* how often the kernel said so (ENOBUFS) */
	uint64_t unsettled; /* of these, those whose size no later packet has shown: one lost packet or more in each */
	uint64_t refused; /* netlink messages that are not what they should be */
};

struct cf_collected_put { /* see collect_note.h, as the two below */
	uint64_t is_due;
	uint64_t produced;
	uint64_t submitted, told;
	uint64_t kind;
};

struct cf_collected_closed {
	struct cf_flow_key key;
	uint64_t first_seen_ns; /* 0: none */
	uint64_t produced; /* of the host ring, before it was told */
};

/* How far a slot's socket was read, for a collector that comes after, or a cell that takes the other's place. */
struct cf_collected_socket {
	uint64_t cookie; /* of which socket this is true */
	uint32_t next_seq; /* number of the next packet */
	uint32_t unsettled; /* overruns, as above, of this one */
};

struct cf_collected_next {
	struct cf_collected_nflog nflog;
	struct cf_collected_socket socket;
	uint64_t slot;
	uint64_t is_due;
};

struct cf_collected {
	uint64_t submitted; /* events put into the host ring */
	uint64_t told[CF_TOLD_KINDS]; /* of them, by kind */
	uint64_t ended[CF_TOLD_REASONS]; /* flows that the collector took out of a flow table, by reason; told or not */
	uint64_t
		untold; /* events for which time or room ran out at the end of the run, or that died with a collector */
	uint64_t own_taken; /* records read from rings that a cell has for itself */
	uint64_t own_refused; /* of them of a length or content that cannot be */
	struct cf_collected_nflog nflog;
	uint64_t joined; /* flows that both sources saw, told once */
	uint64_t conflicts; /* of them: netfilter says drop, tc saw them leave */
	uint64_t join_early; /* told before the other source's time was over: too many were waiting */
	uint64_t joining; /* events that wait in its memory for the other source */
	struct cf_collected_socket sockets[CF_COLLECTED_SLOTS]; /* by slot */
	uint64_t sweeps; /* whole rounds through the flow table */
	struct cf_collected_put put;
	struct cf_collected_closed closed;
	struct cf_collected_next next;
};
#endif
