/* SPDX-License-Identifier: MIT
 *
 * Counts what leaves a cell at the other end of its veth pair, to compare with what the hook inside saw: frames that a
 * packet socket with PACKET_QDISC_BYPASS or an AF_XDP socket sends pass that hook by, not this one. Counts only: no
 * flows, no events. Both sides count segments (CF_STAT_EGRESS_PACKETS), so a GSO buffer that is cut or put together on
 * its way is the same number.
 */
#ifndef CF_BYPASS_H
#define CF_BYPASS_H
#include <stdbool.h>
#include <stdint.h>
#include "bpf_object.h"
#include "stand.h"
struct cf_error;
struct cf_stats;

struct cf_bypass {
	struct cf_stand stand; /* the peer */
	struct cf_bpf_object object;
	struct cf_attachment attachment;
	uint64_t packets; /* of the cell's egress at the peer, as last read */
	uint64_t told; /* of how many it was warned */
	bool counts; /* loaded: `packets` says something */
};

void cf_bypass_init(struct cf_bypass *bypass);

/* Whether the plan asks for it: egress watched from inside, and the peer besides. */
bool cf_bypass_wanted(const struct cf_plan_cell *cell);

/* Find the peer and load, sharing `maps`; to be called before the inner program is attached. nsfd: the cell's
 * namespace. `inner`: the options of the inner program's load. 0, or -1; then it holds nothing. */
int cf_bypass_load(struct cf_bypass *bypass, struct cf_bpf_maps *maps, int nsfd, const struct cf_plan_cell *cell,
		   const struct cf_bpf_options *inner, struct cf_error *err);
/* Right after the inner program is attached (never before: what passes in between would look like a bypass), also
 * again after cf_bypass_detach. 0 when nothing is loaded. */
int cf_bypass_attach(struct cf_bypass *bypass, int nsfd, struct cf_error *err);
/* Right before the inner program is detached. Idempotent. -1 with the reason as cf_detach. */
int cf_bypass_detach(struct cf_bypass *bypass, struct cf_error *err);
void cf_bypass_unload(struct cf_bypass *bypass); /* idempotent; numbers stay */

/* Read the counter anew; before the inner one is read, for the same reason. */
void cf_bypass_read(struct cf_bypass *bypass);
/* Packets that the peer saw and the inner hook did not: at least so many, since what was dropped on its way from the
 * one to the other hides as many. */
uint64_t cf_bypass_count(const struct cf_bypass *bypass, const struct cf_stats *inner);
/* Log a warning of what was not warned of yet. */
void cf_bypass_warn(struct cf_bypass *bypass, const char *cell, const struct cf_stats *inner);
#endif
