/* SPDX-License-Identifier: MIT
 *
 * The worker's loop: wait, fill a batch, have it decided, commit, write, and again. Knows the rings, the outputs and
 * the channel's orders to end; knows nothing of Lua, plans or privileges.
 *
 * A batch is a transaction: its records, its numbers and the ring position become valid together (outcome.h), and
 * only then is the ring space released. A worker that dies leaves the batch to its successor, which undoes what was
 * counted of its connections and takes those events one by one; an event over which a worker dies twice is skipped, and
 * counted.
 */
#ifndef CF_TURN_H
#define CF_TURN_H
#include <stdint.h>
#include "connections.h"
#include "outcome.h"
#include "record_stream.h"
#include "script.h"
#include "sink.h"

struct cf_turn {
	struct cf_shared *shared;
	struct cf_connections *connections; /* NULL: not counted */
	struct cf_feed feed;
	struct cf_record_stream stream;
	struct cf_sink sinks[CF_OUTPUTS_MAX];
	uint32_t sink_count;
	uint32_t pending; /* bit i: output i has bytes that could not be written yet */
	uint32_t gone; /* bit i: output i was reported as gone */
	int is_full; /* the policy holds more than it may: time for another worker */
	uint32_t refused_len; /* length of the latest refused record, logged once */
	uint64_t linger_ns;
	uint64_t clock_refreshed_ns; /* CLOCK_BOOTTIME */
	uint64_t timer_ns; /* CLOCK_BOOTTIME at which the policy's next timer is due; 0: none */
	uint32_t slow_ms; /* a batch that takes longer is looked into */
	int times_slow; /* 1: the batch in hand is */
	uint32_t interpreted; /* 1: the policy asked for it */
	int clock_fd;
	uint16_t cells[CF_CELLS_MAX]; /* plan index + 1 by slot; 0: no such cell */
	uint32_t slots[CF_CELLS_MAX]; /* what that cell's events carry, epoch included */
};

struct cf_turn *cf_turn_new(struct cf_shared *shared, uint64_t linger_ns); /* NULL: no memory */
/* `slot` is what the cell's events carry (struct cf_cell), `cell` its index in the plan. -1: no such index. */
int cf_turn_set_slot(struct cf_turn *turn, uint32_t slot, uint32_t cell);

/* Take up where a predecessor was stopped, whatever it was doing. After emit and dedup are bound. */
void cf_turn_recover(struct cf_turn *turn);

/* One batch, if there is one. Returns the number of events taken. */
uint32_t cf_turn_once(struct cf_turn *turn);

/* The inside of a batch's transaction, wherever the events came from: has what is in `batch` (cf_batch_get()) decided,
 * with its records and numbers in `next`, which the caller has begun and commits. Returns the seconds it took. */
double cf_turn_decide(struct cf_turn *turn, struct cf_outcome *next, struct cf_batch *batch);

/* Something between batches, a transaction like them but without events. `lost` is the kernel's total for
 * CF_MOMENT_LOST, else 0. */
void cf_turn_moment(struct cf_turn *turn, enum cf_moment moment, uint64_t lost);
/* The same at a time, and of a loss, that the caller knows. */
void cf_turn_tell(struct cf_turn *turn, const struct cf_script_moment *now);

/* cf_clock_boot_now: CLOCK_BOOTTIME in nanoseconds, or a recording's time. */
uint64_t cf_boot_ns(void);

/* Until the supervisor orders an end (CF_MSG_FINISH) or goes: 0; or until another worker should take over: 1. */
int cf_turn_loop(struct cf_turn *turn, int channel);
#endif
