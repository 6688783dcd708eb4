/* SPDX-License-Identifier: MIT
 *
 * The set behind connections.c: keyed hashes with open addressing, from which nothing is ever removed. It begins small
 * and moves into an area four times as large when it fills, because in a large one nearly every look-up misses the
 * caches and the TLB, and each first use of a page is a fault. Memory is the caller's, and may be shared with a process
 * that takes over: which area is in use is the caller's to keep there. Counts nothing.
 */
#ifndef CF_CONNECTION_SET_H
#define CF_CONNECTION_SET_H
#include <stddef.h>
#include <stdint.h>

enum {
	CF_CONNECTION_AREAS = 24,
	CF_CONNECTION_FIRST = 32768, /* places of the first area: a quarter of a megabyte */
};

/* Private to a process. */
struct cf_connection_set {
	uint64_t *memory; /* all areas, one behind the other */
	uint64_t sizes[CF_CONNECTION_AREAS]; /* places of each */
	uint32_t area_count;
	uint32_t area; /* in use, and where it is: */
	uint64_t *places; /* a key each; 0: free */
	uint64_t place_count;
};

/* Plan the areas for `cap` keys; the last is three quarters full with so many, so that a search ends soon, and always.
 * Returns the bytes that cf_connection_set_bind wants. */
size_t cf_connection_set_plan(struct cf_connection_set *set, uint64_t cap);
/* `memory`: zeroed, or as a predecessor with the same plan left it. Uses the first area. */
void cf_connection_set_bind(struct cf_connection_set *set, void *memory);
/* Any number is taken, modulo the areas there are. */
void cf_connection_set_use(struct cf_connection_set *set, uint32_t area);

/* Where the key is, or the free place where it belongs: an index into `places`. */
uint64_t cf_connection_set_find(const struct cf_connection_set *set, uint64_t key);

/* Whether the area in use has more keys than it should, and is not the last. */
static inline int cf_connection_set_is_full(const struct cf_connection_set *set, uint64_t keys)
{
	return keys > set->place_count / 4 * 3 && set->area + 1 < set->area_count;
}

/* Copy what is in the area in use into the next. One that was killed meanwhile is simply begun again. The next area is
 * in use only from cf_connection_set_use on; forget gives the memory of the others back. */
void cf_connection_set_copy(const struct cf_connection_set *set);
void cf_connection_set_forget(const struct cf_connection_set *set, uint32_t area);

static inline uint64_t cf_connection_first_place(uint64_t key, uint64_t place_count)
{
	return (uint64_t)((unsigned __int128)key * place_count >> 64);
}
#endif
