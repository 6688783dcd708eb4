/* SPDX-License-Identifier: MIT
 *
 * What the collector has done, in memory that it shares with the supervisor and that outlives it: a successor counts
 * on. One writer; readers may see numbers of one event half counted, never lost. Same rules as event.h.
 *
 *   nflog packets = parsed + unparsed, parsed = flow hit + flow new + flow full
 *   submitted     = the sum of told[]
 */
#ifndef CF_COLLECTED_H
#define CF_COLLECTED_H
#include <stdint.h>

enum {
	CF_TOLD_KINDS = 5, /* enum cf_kind */
	CF_TOLD_REASONS = 7, /* enum cf_close_reason */
};

struct cf_collected {
	uint64_t submitted; /* events put into the host ring */
	uint64_t told[CF_TOLD_KINDS]; /* of them, by kind */
	uint64_t ended[CF_TOLD_REASONS]; /* flows that the collector took out of a flow table, by reason; told or not */
	uint64_t untold; /* closed or updated events for which time or room ran out at the end of the run */
	uint64_t own_taken; /* records read from rings that a cell has for itself */
	uint64_t own_refused; /* of them of a length or content that cannot be */
	uint64_t nflog_packets; /* that netfilter's rules handed us */
	uint64_t nflog_parsed;
	uint64_t nflog_unparsed;
	uint64_t nflog_flow_hit; /* of a flow that was known */
	uint64_t nflog_flow_new;
	uint64_t nflog_flow_full; /* no room for its flow: seen, but without an event */
	uint64_t nflog_lost; /* by sequence numbers: packets that the socket had no room for */
	uint64_t nflog_overruns; /* how often the kernel said so (ENOBUFS) */
	uint64_t nflog_refused; /* netlink messages that are not what they should be */
	uint64_t joined; /* flows that both sources saw, told once */
	uint64_t conflicts; /* of them: netfilter says drop, tc saw them leave */
	uint64_t join_early; /* told before the other source's time was over: too many were waiting */
	uint32_t nflog_seq[4096]; /* by slot: number of the next packet, for a successor */
	uint64_t sweeps; /* whole rounds through the flow table */
};
#endif
