/* SPDX-License-Identifier: MIT
 * Counters that change one batch at a time: see outcome.h. */
#include <string.h>
#include <sys/mman.h>
#include "outcome.h"

struct cf_shared *cf_shared_new(void)
{
	struct cf_shared *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return NULL;
	strcpy(shared->counter_names[CF_COUNTERS_MAX - 1].name, "(other)");
	return shared;
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

/* The index of `name` among the `size` bytes long `names`, put there when it is new. The last of `max` is "(other)". */
static uint32_t name_slot(char *names, size_t size, uint32_t max, _Atomic uint32_t *counted, const void *name)
{
	uint32_t count = atomic_load_explicit(counted, memory_order_relaxed);

	if (count > max)
		count = max;
	for (uint32_t i = 0; i < count; i++)
		if (memcmp(names + i * size, name, size) == 0)
			return i;
	if (count >= max - 1) {
		count = max - 1;
		memcpy(names + count * size, "(other)", sizeof("(other)"));
	} else {
		memcpy(names + count * size, name, size);
	}
	atomic_store_explicit(counted, count + 1, memory_order_release);
	return count;
}

uint32_t cf_reason_slot(struct cf_shared *shared, const char *reason, size_t len)
{
	char name[CF_REASON_LEN] = "";

	memcpy(name, reason, len < sizeof(name) ? len : sizeof(name) - 1);
	return name_slot(shared->reason_names[0], sizeof(name), CF_REASONS_MAX, &shared->reason_count, name);
}

uint32_t cf_counter_name_slot(struct cf_shared *shared, const struct cf_counter_name *name)
{
	return name_slot(shared->counter_names[0].name, sizeof(*name), CF_COUNTERS_MAX, &shared->counter_count, name);
}

int cf_counter_is_used(const struct cf_shared *shared, const struct cf_outcome *outcome, uint32_t i)
{
	if (i == CF_COUNTERS_MAX - 1)
		return outcome->counters[i] > 0;
	return i < atomic_load_explicit(&shared->counter_count, memory_order_acquire);
}
