/* SPDX-License-Identifier: MIT
 *
 * How far a long verb of one shot has come: a bar on stderr when that is a terminal, and nothing otherwise. Knows
 * shares and counts, not what they are of.
 */
#ifndef CF_REPLAY_PROGRESS_H
#define CF_REPLAY_PROGRESS_H
#include <stdint.h>

struct cf_replay_progress {
	int is_on;
	int is_drawn;
	double begun_s, drawn_s; /* cf_monotonic_seconds */
};

/* is_wanted 0: nothing is ever drawn. Nor is it where records go to a terminal, between which it would stand. */
void cf_replay_progress_begin(struct cf_replay_progress *progress, int is_wanted);
/* `part` of 1 is done, and `events` were in it. Costs little when called often. */
void cf_replay_progress_show(struct cf_replay_progress *progress, double part, uint64_t events);
/* The line is empty again. */
void cf_replay_progress_end(struct cf_replay_progress *progress);
#endif
