/* SPDX-License-Identifier: MIT
 * Hanging workers: see stuck.h. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "stuck.h"

static uint64_t cpu_time(pid_t pid)
{
	struct timespec used = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) < 0)
		return 0;
	return (uint64_t)used.tv_sec * 1000000000ULL + (uint64_t)used.tv_nsec;
}

int cf_stuck_look(struct cf_stuck *stuck, const struct cf_shared *shared, const struct cf_progress *progress,
		  pid_t worker, int64_t now_ms, int64_t limit_ms)
{
	struct cf_stuck now = { .attempt = atomic_load_explicit(&shared->attempt, memory_order_acquire),
				.index = progress->index,
				.step = progress->step,
				.at = progress->at };
	int is_idle = now.attempt == cf_outcome_current(shared)->attempt;

	if (is_idle || stuck->since_ms == 0 || now.attempt != stuck->attempt || now.index != stuck->index ||
	    now.step != stuck->step || now.at != stuck->at) {
		now.since_ms = is_idle ? 0 : now_ms;
		now.cpu_ns = is_idle ? 0 : cpu_time(worker);
		*stuck = now;
		return 0;
	}
	if (now_ms - stuck->since_ms < limit_ms)
		return 0;
	/* SIGSTOP, a debugger, a machine with better things to do: no fault of the policy's. */
	return cpu_time(worker) - stuck->cpu_ns >= (uint64_t)limit_ms * 500000ULL;
}

int cf_stuck_switch_off(struct cf_progress *progress, char *text)
{
	int64_t place = progress->at != 0 ? (int64_t)CF_PLACE_HANDLERS + progress->at : progress->step;

	if (place <= 0 || place >= CF_PLACES_MAX || !progress->names[place][0])
		return -1;
	progress->switched_off[place / 64] |= 1ULL << (place % 64);
	snprintf(text, CF_PLACE_NAME_LEN, "%.*s", CF_PLACE_NAME_LEN - 1, progress->names[place]);
	return 0;
}
