/* SPDX-License-Identifier: MIT
 * Keys seen of late: see dedup.h. Sets of eight ways; a key can only be in the one set that its hash names. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include "dedup.h"
#include "hash.h"

enum {
	WAYS = 8,
	SEED_LEN = 16,
};

#define MAGIC UINT64_C(0x3170756465646663) /* "cfdedup1" */

/* Tags lie together: a look-up that finds nothing reads one cache line. */
struct set {
	uint64_t tag[WAYS];
	uint64_t expires_ns[WAYS]; /* 0: the way is free, whatever its tag */
	uint32_t attempt[WAYS];
};

struct table {
	uint64_t magic; /* written last: without it the rest means nothing */
	uint64_t set_count;
	uint64_t evictions;
	uint8_t seed[SEED_LEN]; /* of the hash; tags of a dead worker are those of its successor */
	uint64_t pad[3]; /* sets begin on a cache line when the memory does */
	struct set sets[];
};

static struct table *table;
static uint64_t set_count; /* from the size, not from the memory: that may hold anything */
static struct cf_hash_secret secret;
static uint32_t current_attempt;

/* A kill lands between two stores, so their order is the protocol: the compiler must not change it. */
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELEASE)

size_t cf_dedup_size(size_t capacity)
{
	size_t sets = (capacity + WAYS - 1) / WAYS;

	return sizeof(struct table) + (sets ? sets : 1) * sizeof(struct set);
}

static int create(struct table *made, uint64_t sets)
{
	STORE(made->magic, 0);
	memset(made->sets, 0, sets * sizeof(struct set));
	made->evictions = 0;
	made->set_count = sets;
	if (getrandom(made->seed, sizeof(made->seed), 0) != (ssize_t)sizeof(made->seed))
		return errno ? -errno : -EIO;
	STORE(made->magic, MAGIC);
	return 0;
}

int cf_dedup_bind(void *mem, size_t size)
{
	struct table *found = mem;
	uint64_t sets;
	int err;

	table = NULL;
	if (!mem)
		return 0;
	if (size < cf_dedup_size(1) || (uintptr_t)mem % _Alignof(struct table))
		return -EINVAL;
	sets = (size - sizeof(struct table)) / sizeof(struct set);
	if (found->magic != MAGIC || found->set_count != sets) {
		err = create(found, sets);
		if (err)
			return err;
	}
	table = found;
	set_count = sets;
	cf_hash_secret_make(&secret, table->seed, sizeof(table->seed));
	return 0;
}

void cf_dedup_seed(uint64_t seed)
{
	if (!table)
		return;
	memset(table->sets, 0, set_count * sizeof(struct set));
	memset(table->seed, 0, sizeof(table->seed));
	memcpy(table->seed, &seed, sizeof(seed));
	cf_hash_secret_make(&secret, table->seed, sizeof(table->seed));
	table->evictions = 0;
}

void cf_dedup_begin(uint32_t attempt)
{
	current_attempt = attempt;
}

/* Free ways have the earliest expiry there is, 0, and expired ones come next: no way need be told apart. */
static int first_to_expire(const struct set *set)
{
	int first = 0;

	for (int way = 1; way < WAYS; way++)
		if (set->expires_ns[way] < set->expires_ns[first])
			first = way;
	return first;
}

static void insert(struct set *set, int way, uint64_t tag, uint64_t expires_ns)
{
	/* Killed in here, the way is free: a key forgotten costs a repeated record, a key half there a missing one. */
	STORE(set->expires_ns[way], 0);
	STORE(set->tag[way], tag);
	STORE(set->attempt[way], current_attempt);
	STORE(set->expires_ns[way], expires_ns);
}

/* 0 for nothing, negative and NaN; past 2^63 ns, what the window is no longer matters. */
static uint64_t window_ns(double seconds)
{
	if (!(seconds > 0))
		return 0;
	return seconds >= 9e9 ? UINT64_C(9000000000000000000) : (uint64_t)(seconds * 1e9);
}

int cf_dedup_seen(const char *key, size_t len, double seconds, uint64_t now_ns)
{
	uint64_t window = window_ns(seconds);
	uint64_t tag, expires_ns;
	struct set *set;
	int way;

	if (!table || !window)
		return 0;
	tag = cf_hash64(&secret, key, len);
	set = &table->sets[(uint64_t)((unsigned __int128)tag * set_count >> 64)];
	expires_ns = now_ns > UINT64_MAX - window ? UINT64_MAX : now_ns + window;
	for (way = 0; way < WAYS; way++)
		if (set->tag[way] == tag && set->expires_ns[way])
			break;
	if (way < WAYS && now_ns < set->expires_ns[way])
		return 1;
	if (way == WAYS) {
		way = first_to_expire(set);
		if (set->expires_ns[way] > now_ns)
			table->evictions++;
	}
	insert(set, way, tag, expires_ns);
	return 0;
}

void cf_dedup_forget(uint32_t attempt)
{
	if (!table)
		return;
	for (uint64_t i = 0; i < set_count; i++)
		for (int way = 0; way < WAYS; way++)
			if (table->sets[i].attempt[way] == attempt)
				STORE(table->sets[i].expires_ns[way], 0);
}

uint64_t cf_dedup_evictions(void)
{
	return table ? table->evictions : 0;
}
