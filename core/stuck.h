/* SPDX-License-Identifier: MIT
 *
 * Tells a worker that hangs in one of the policy's functions from one that is busy, stopped or starved. LuaJIT has
 * nothing that ends a compiled endless loop from within, so the supervisor ends the process, and the next worker
 * leaves that function out.
 */
#ifndef CF_STUCK_H
#define CF_STUCK_H
#include <stdint.h>
#include <sys/types.h>
#include "outcome.h"

struct cf_stuck {
	uint32_t attempt; /* the batch and the call in it that were seen last, and since when */
	int32_t index, step, at;
	int64_t since_ms; /* 0: none was under way */
	uint64_t cpu_ns; /* the worker's CPU time then */
};

/* Look, some times a second. Returns 1 when the worker has been in one and the same call for `limit_ms`, and was
 * running for at least half of that time. `progress` is the one of its generation. */
int cf_stuck_look(struct cf_stuck *stuck, const struct cf_shared *shared, const struct cf_progress *progress,
		  pid_t worker, int64_t now_ms, int64_t limit_ms);

/* Switch off, for the workers to come, what it hangs in. `text` gets what to call that, at least CF_PLACE_NAME_LEN
 * bytes. Returns 0, or -1 when it hangs in none of the policy's functions. */
int cf_stuck_switch_off(struct cf_progress *progress, char *text);
#endif
