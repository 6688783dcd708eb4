/* SPDX-License-Identifier: MIT
 *
 * Takes flows out of a flow table: those that ended, were idle for too long or whose cell is gone; and tells of those
 * that changed. Works on the sets in memory, without locks or system calls, beside the programs that fill them. At
 * most one sweeper at a time; a new one takes up what a dead one left. Knows no rings: what it finds goes to `fn`.
 */
#ifndef CF_SWEEP_H
#define CF_SWEEP_H
#include <stdint.h>
#include "flow_table.h"

enum {
	CF_SWEEP_IDLES = 4, /* CF_IDLE_COUNT of plan.h */
	CF_SWEEP_REASONS = 8, /* room for every enum cf_close_reason */
};

struct cf_sweep_options {
	uint64_t idle_ns[4]; /* by enum cf_idle: without a packet for so long, a flow is over */
	uint64_t linger_ns; /* quiet after FIN or RST before a flow is closed: its last packets come */
	uint64_t update_ns; /* interval of `updated`, from the flow's first packet on; 0: none */
	/* 1 << enum cf_kind, or-ed, for each slot (CF_CELLS_MAX): the kinds (closed, updated) that its cell asked for.
	 * The caller's, may change between calls. NULL: what each flow says (`events`). */
	const uint8_t *wants;
	/* 1: of a table of user space, sets in which nothing can be due yet are passed over. For whoever sweeps all of a
	 * table; `wants` does not change then. */
	uint64_t remembers;
};

/* `flow` is a copy with the counts as they are now, which are final for CF_KIND_CLOSED; valid during the call. 0:
 * taken; -1: no room now, ask again at a later pass. */
typedef int cf_sweep_fn(void *context, const struct cf_flow *flow, uint32_t kind, uint32_t close_reason);

struct cf_sweep_numbers {
	uint64_t closed[8]; /* flows taken out, by enum cf_close_reason, told or not */
	uint64_t told[8]; /* events that fn took, by enum cf_kind */
	uint64_t refused; /* times that fn had no room */
	uint64_t in_use; /* flows in the table, as the latest whole round found it; CLOSING ones included */
	uint64_t rounds; /* whole rounds made */
};

struct cf_sweep {
	struct cf_flow_table table;
	struct cf_sweep_options options; /* may change between calls */
	cf_sweep_fn *fn;
	void *context;
	struct cf_sweep_numbers numbers;
	uint32_t next_set; /* private from here on */
	uint64_t seen; /* flows in use in this round so far */
	struct cf_sweep_options reckoned; /* by which it is said when sets are due */
	uint32_t blind; /* so many sets more are looked at whatever is said of them */
};

#define CF_SWEEP_ALL UINT32_MAX /* in place of a cell's number: all cells */

/* Nothing is allocated: what was begun is in the table itself, and a successor finds it there. `wants` and the sets are
 * borrowed for as long as the sweep is used. */
void cf_sweep_init(struct cf_sweep *sweep, const struct cf_flow_table *table, const struct cf_sweep_options *options,
		   cf_sweep_fn *fn, void *context);

/* Look at `max_sets` sets (set_count or less), going round. A flow that is over is marked in one round and told and
 * taken out in a later one, CF_FLOW_CLOSING_NS after it at the earliest. Returns how many flows those sets have. A set
 * without flows costs one cache line, and one of a table of user space that is not due costs two. */
uint32_t cf_sweep_some(struct cf_sweep *sweep, uint64_t now_ns, uint32_t max_sets);

/* Take out a flow, without a word, that a predecessor had told as closed when it died. */
void cf_sweep_told(struct cf_sweep *sweep, const struct cf_flow_key *key, uint64_t first_seen_ns);

/* Close every flow of one cell (`slot`: the number that its flows carry, with the epoch), or CF_SWEEP_ALL, with
 * `close_reason` (a finished flow keeps its own). Nobody counts into them any more: their programs are detached since
 * at least CF_FLOW_CLOSING_NS. 0: done; -1: fn had no room for all, call again. */
int cf_sweep_close(struct cf_sweep *sweep, uint32_t slot, uint32_t close_reason, uint64_t now_ns);
#endif
