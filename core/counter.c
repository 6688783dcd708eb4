/* SPDX-License-Identifier: MIT
 * A policy's own counters: see counter.h and api.h. */
#include <string.h>
#include "api.h"
#include "counter.h"

static struct {
	struct cf_shared *shared;
	struct cf_outcome *next;
} counters;

void cf_counters_bind(struct cf_shared *shared)
{
	counters.shared = shared;
	counters.next = NULL;
}

void cf_counters_begin(struct cf_outcome *next)
{
	counters.next = next;
}

/* A NUL in it would hide the rest from whoever prints it. */
static void copy_name(char *to, const char *from, size_t len)
{
	len = len < CF_COUNTER_LEN ? len : CF_COUNTER_LEN - 1;
	for (size_t i = 0; i < len; i++)
		to[i] = from[i] ? from[i] : '?';
}

uint32_t cf_counter_slot(const char *name, size_t name_len, const char *label, size_t label_len)
{
	struct cf_counter_name key = { 0 };

	if (!counters.shared)
		return CF_COUNTERS_MAX - 1;
	copy_name(key.name, name, name_len);
	copy_name(key.label, label, label_len);
	return cf_counter_name_slot(counters.shared, &key);
}

void cf_counter_add(uint32_t slot, double n)
{
	uint64_t *value;

	if (!counters.next || slot >= CF_COUNTERS_MAX)
		return;
	value = &counters.next->counters[slot];
	if (__builtin_add_overflow(*value, (uint64_t)n, value))
		*value = UINT64_MAX;
}

double cf_counter_get(uint32_t slot)
{
	if (!counters.shared || slot >= CF_COUNTERS_MAX)
		return 0;
	if (counters.next)
		return (double)counters.next->counters[slot];
	return (double)cf_outcome_current(counters.shared)->counters[slot];
}
