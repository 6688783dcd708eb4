/* SPDX-License-Identifier: MIT
 * The set of connections' keys: see connection_set.h. */
#include <sys/mman.h>
#include "connection_set.h"

enum {
	GROWTH = 4,
	PAGE = 4096,
};

size_t cf_connection_set_plan(struct cf_connection_set *set, uint64_t cap)
{
	uint64_t last = cap + cap / 3 + 1, size = CF_CONNECTION_FIRST, all = 0;

	*set = (struct cf_connection_set){ 0 };
	for (; size < last / 2 && set->area_count < CF_CONNECTION_AREAS - 1; size *= GROWTH)
		set->sizes[set->area_count++] = size;
	set->sizes[set->area_count++] = last;
	for (uint32_t i = 0; i < set->area_count; i++)
		all += set->sizes[i];
	return all * sizeof(set->places[0]);
}

static uint64_t *places_of(const struct cf_connection_set *set, uint32_t area)
{
	uint64_t *places = set->memory;

	for (uint32_t i = 0; i < area; i++)
		places += set->sizes[i];
	return places;
}

void cf_connection_set_bind(struct cf_connection_set *set, void *memory)
{
	set->memory = memory;
	cf_connection_set_use(set, 0);
}

void cf_connection_set_use(struct cf_connection_set *set, uint32_t area)
{
	set->area = area % set->area_count;
	set->places = places_of(set, set->area);
	set->place_count = set->sizes[set->area];
}

static uint64_t find(const uint64_t *places, uint64_t count, uint64_t key)
{
	uint64_t i = cf_connection_first_place(key, count);

	for (uint64_t n = 0; n < count && places[i] != 0 && places[i] != key; n++)
		i = i + 1 == count ? 0 : i + 1;
	return i;
}

uint64_t cf_connection_set_find(const struct cf_connection_set *set, uint64_t key)
{
	return find(set->places, set->place_count, key);
}

/* Have the memory of the area there, page by page by writing: where a page is read first, as find does, its fault takes
 * a fifth longer, and madvise(MADV_POPULATE_WRITE) is no faster. What is there already, of a copy that was cut off,
 * stays. */
static void fault_in(uint64_t *places, uint64_t count)
{
	for (uint64_t i = 0; i < count; i += PAGE / sizeof(*places))
		__atomic_fetch_or(&places[i], 0, __ATOMIC_RELAXED);
}

/* First places are in the order of keys in every area, so this goes through both from their beginnings to their ends.
 */
void cf_connection_set_copy(const struct cf_connection_set *set)
{
	uint64_t *to = places_of(set, set->area + 1);
	uint64_t count = set->sizes[set->area + 1];

	fault_in(to, count);
	for (uint64_t i = 0; i < set->place_count; i++)
		if (set->places[i] != 0)
			to[find(to, count, set->places[i])] = set->places[i];
}

void cf_connection_set_forget(const struct cf_connection_set *set, uint32_t area)
{
	uintptr_t from = (uintptr_t)places_of(set, area), to = (uintptr_t)(places_of(set, area) + set->sizes[area]);

	from = (from + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	to &= ~(uintptr_t)(PAGE - 1);
	if (to > from)
		madvise((void *)from, to - from, MADV_REMOVE); /* where that is refused, the pages stay until the end */
}
