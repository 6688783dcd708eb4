/* SPDX-License-Identifier: MIT
 * Counters that change one batch at a time: see outcome.h. */
#include <string.h>
#include <sys/mman.h>
#include "outcome.h"

struct cf_shared *cf_shared_new(void)
{
	struct cf_shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return shared == MAP_FAILED ? NULL : shared;
}

void cf_shared_free(struct cf_shared *shared)
{
	if (shared)
		munmap(shared, sizeof(*shared));
}

const struct cf_outcome *cf_outcome_current(const struct cf_shared *shared)
{
	/* & 1: the other process may be compromised, and this is an index. */
	return &shared->outcomes[atomic_load_explicit(&shared->current, memory_order_acquire) & 1];
}

void cf_outcome_snapshot(const struct cf_shared *shared, struct cf_outcome *out)
{
	uint32_t attempt;

	/* The copy we read is rewritten only by the commit after next; an attempt number that moved that far
	 * tells. A handful of tries always suffices against batches of microseconds; a torn copy would only be
	 * shown, never acted on. */
	for (int tries = 0; tries < 100; tries++) {
		attempt = atomic_load_explicit(&shared->attempt, memory_order_acquire);
		memcpy(out, cf_outcome_current(shared), sizeof(*out));
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&shared->attempt, memory_order_relaxed) == attempt)
			return;
	}
}

struct cf_outcome *cf_outcome_begin(struct cf_shared *shared)
{
	uint32_t current = atomic_load_explicit(&shared->current, memory_order_relaxed) & 1;
	struct cf_outcome *next = &shared->outcomes[current ^ 1];
	uint32_t attempt = atomic_load_explicit(&shared->attempt, memory_order_relaxed) + 1;

	atomic_store_explicit(&shared->attempt, attempt, memory_order_release);
	memcpy(next, &shared->outcomes[current], sizeof(*next));
	next->attempt = attempt;
	return next;
}

void cf_outcome_commit(struct cf_shared *shared, struct cf_outcome *next)
{
	next->batches++;
	atomic_store_explicit(&shared->current, (uint32_t)(next - shared->outcomes), memory_order_release);
}

uint32_t cf_reason_slot(struct cf_shared *shared, const char *reason, size_t len)
{
	uint32_t count = atomic_load_explicit(&shared->reason_count, memory_order_relaxed);
	char name[CF_REASON_LEN] = "";

	if (count > CF_REASONS_MAX)
		count = CF_REASONS_MAX;
	memcpy(name, reason, len < sizeof(name) ? len : sizeof(name) - 1);
	for (uint32_t i = 0; i < count; i++)
		if (memcmp(shared->reason_names[i], name, sizeof(name)) == 0)
			return i;
	if (count >= CF_REASONS_MAX - 1) {
		memcpy(shared->reason_names[CF_REASONS_MAX - 1], "(other)", sizeof("(other)"));
		count = CF_REASONS_MAX - 1;
	} else {
		memcpy(shared->reason_names[count], name, sizeof(name));
	}
	atomic_store_explicit(&shared->reason_count, count + 1, memory_order_release);
	return count;
}
