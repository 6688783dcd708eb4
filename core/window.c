/* SPDX-License-Identifier: MIT
 * Sliding counts: cf_window_add and cf_window_least of api.h. Which key has which slot is Lua's
 * (lua/cellflow/window.lua); the loops are here because a loop of few rounds inside a policy's function would keep
 * the compiler from the batch loop around it. */
#include <string.h>
#include "api.h"

static uint32_t bucket(double part)
{
	return (uint32_t)((int64_t)part & (CF_WINDOW_BUCKETS - 1));
}

/* Forget what is older than a window. The total is summed up anew: subtracting would gather rounding errors. */
static void advance(struct cf_window_slot *slot, double part)
{
	if (!(part > slot->part))
		return;
	if (part - slot->part >= CF_WINDOW_BUCKETS)
		memset(slot->counts, 0, sizeof(slot->counts));
	else
		for (double old = slot->part + 1; old <= part; old++)
			slot->counts[bucket(old)] = 0;
	slot->part = part;
	slot->total = 0;
	for (int i = 0; i < CF_WINDOW_BUCKETS; i++)
		slot->total += slot->counts[i];
}

double cf_window_add(struct cf_window_slot *slot, double part, double n)
{
	advance(slot, part);
	slot->counts[bucket(slot->part)] += n;
	slot->total += n;
	return slot->total;
}

uint32_t cf_window_least(struct cf_window_slot *slots, uint32_t count, uint32_t first, double part)
{
	uint32_t least = first % count;

	for (uint32_t i = 0; i < CF_WINDOW_LOOKS && i < count; i++) {
		uint32_t index = (first + i) % count;

		advance(&slots[index], part);
		if (slots[index].total < slots[least].total)
			least = index;
	}
	return least;
}
