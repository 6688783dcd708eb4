/* SPDX-License-Identifier: MIT
 *
 * Tells the worker how many events and logged packets the kernel could not hand over, for policies that have a handler
 * for it, and the recorder what was lost wherever. Reading the kernel's counters costs, so nothing is done for those
 * that have none.
 */
#ifndef CF_LOST_H
#define CF_LOST_H
#include "generation.h"

struct cf_lost {
	pid_t worker; /* who was told last */
	uint64_t told; /* what it was told */
};

/* Never waits: a worker that does not listen is told the next time. */
void cf_lost_tell(struct cf_lost *lost, struct cf_generations *gen);
/* All losses so far, for the recording; without effect where there is none. Never waits either. */
void cf_lost_record(struct cf_generations *gen);
#endif
