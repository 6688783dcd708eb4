/* SPDX-License-Identifier: MIT
 *
 * Which keys were seen of late: cf_dedup_seen (api.h) over a table of fixed size in memory of the caller's. That memory
 * outlives the process: it is shared with the supervisor, and a worker may be killed between any two instructions.
 * Keys are kept as keyed 64-bit hashes, since what a cell sends chooses them. One thread, one writer at a time.
 */
#ifndef CF_DEDUP_H
#define CF_DEDUP_H
#include "api.h"

enum {
	CF_DEDUP_CAPACITY = 262144,
};

/* Bytes that a table of at least `capacity` keys needs. */
size_t cf_dedup_size(size_t capacity);
/* Use the table in `mem` (8-byte aligned, the caller's, in use until the next bind). A table that an earlier process
 * made there in the same size is taken over with its keys; anything else becomes an empty one. Returns 0, -EINVAL for
 * memory too small or not aligned, or -errno when there is no randomness. NULL unbinds: no key is ever a duplicate. */
int cf_dedup_bind(void *mem, size_t size);

/* Empty the bound table, and have the keys that make room for others be the same ones for the same seed: what a
 * recording is decided like must not depend on chance. Only where nobody can choose keys to hit each other's sets. */
void cf_dedup_seed(uint64_t seed);

/* Keys first seen from here on belong to batch attempt `attempt`. */
void cf_dedup_begin(uint32_t attempt);
/* Remove the keys of an attempt that was never committed: the batch will be done again, and must not take its own
 * first sightings for duplicates. Reads the whole table. */
void cf_dedup_forget(uint32_t attempt);
/* Keys that had to go before their window was over, since the table was made: each may have let a duplicate pass. */
uint64_t cf_dedup_evictions(void);
#endif
