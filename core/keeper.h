/* SPDX-License-Identifier: MIT
 *
 * Keeps a worker running: notices that it died or hangs, replaces it, after a pause when they keep dying, and sees the
 * last one through to its end. How a worker is made is generation.c's; when the run ends, supervisor.c's.
 */
#ifndef CF_KEEPER_H
#define CF_KEEPER_H
#include <stdbool.h>
#include "generation.h"
#include "stuck.h"

struct cf_keeper {
	struct cf_generations *gen;
	struct cf_stuck stuck;
	uint32_t restarts;
	uint32_t quick_deaths;
	int64_t since_ms; /* of the worker that runs */
	int64_t respawn_at_ms; /* while none runs */
	bool finishing; /* the worker, and those that may follow it, are to decide what there is and go */
	bool finished;
	uint64_t flush_ms;
	int64_t finish_by_ms;
};

int64_t cf_keeper_now_ms(void); /* CLOCK_MONOTONIC */

/* A worker has taken over (start, reload). */
void cf_keeper_took_over(struct cf_keeper *keeper);
/* The channel ended, or spoke nonsense. */
void cf_keeper_lost(struct cf_keeper *keeper);
/* Some times a second, and when cf_keeper_wait_ms is over: replace a dead worker, end a hanging one, mind the time. */
void cf_keeper_tick(struct cf_keeper *keeper);
/* How long to sleep at most, given `tick_ms` between two ticks. */
int cf_keeper_wait_ms(const struct cf_keeper *keeper, int tick_ms);

/* No new events come: decide what is in the ring, flush for at most flush_ms, end. `finished` says when. */
void cf_keeper_finish(struct cf_keeper *keeper, uint64_t flush_ms);
/* The worker says that it is done. */
void cf_keeper_done(struct cf_keeper *keeper);
/* At once. */
void cf_keeper_abort(struct cf_keeper *keeper);
#endif
