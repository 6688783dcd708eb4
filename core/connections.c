/* SPDX-License-Identifier: MIT
 * Different connections: see connections.h. Before a batch changes a place in the set or a sum it notes in a log what
 * was there, so that what a killed worker did of its batch is undone, as often as that takes: places and sums are put
 * back to what they were, and nothing is calculated from what they are. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include "api.h"
#include "connection_estimate.h"
#include "connection_key.h"
#include "connection_set.h"
#include "connections.h"
#include "hash.h"
#include "plan.h"

enum {
	RUN_BITS = 14, /* 16 KiB, 0.8 % */
	CELL_BITS = 10, /* 1 KiB, 3.3 % */
	SEED_LEN = 32,
	PAGE = 4096,
};

enum mark { /* bits */
	    MARK_ESTIMATE = 1,
	    MARK_MISSING = 2,
};

struct cell {
	uint32_t slot; /* whose numbers these are, epoch included */
	uint32_t marks; /* enum mark */
	uint64_t count;
};

struct change { /* of one connection: what was before it */
	uint64_t index; /* its place */
	uint64_t cell_count;
	uint32_t slot;
	uint32_t is_new; /* 1: the place was free */
};

/* What a batch has changed, in the memory that outlives a worker. Of the sums of the run, only the first values matter.
 */
struct log {
	uint32_t attempt; /* whose it is */
	uint32_t length; /* 0: nothing to undo, and the rest means nothing */
	uint64_t keys, count; /* of the run, before the first change */
	struct change changes[CF_BATCH_MAX];
};

struct memory {
	uint64_t keys; /* places taken */
	uint64_t count; /* connections, without those in the sketches */
	uint32_t marks; /* enum mark */
	uint32_t area; /* of the set, in use */
	struct log log;
	struct cell cells[CF_CELLS_MAX];
	uint8_t run[CF_CONNECTION_SKETCHES][1 << RUN_BITS];
	uint8_t by_cell[CF_CELLS_MAX][CF_CONNECTION_SKETCHES][1 << CELL_BITS];
	_Alignas(PAGE) uint64_t places[];
};

struct expected {
	const struct cf_event *first;
	uint32_t count;
	uint64_t keys[CF_CONNECTIONS_AHEAD]; /* 0: of none */
};

/* Not in the shared memory, so that what a worker does to that leads nobody astray. */
struct cf_connections {
	struct memory *memory;
	uint64_t cap;
	size_t size; /* of memory */
	struct cf_connection_set set;
	struct cf_hash_secret secret;
	struct expected expected;
};

/* A kill lands between two stores, so their order is the protocol: the compiler must not change it. */
#define STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELEASE)
#define LOAD(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)

struct cf_connections *cf_connections_new(uint64_t cap)
{
	struct cf_connections *c = calloc(1, sizeof(*c));
	uint8_t seed[SEED_LEN];

	if (!c)
		return NULL;
	c->cap = cap;
	c->size = sizeof(struct memory) + cf_connection_set_plan(&c->set, cap);
	c->memory = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	c->memory = c->memory == MAP_FAILED ? NULL : c->memory;
	if (!c->memory || getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
		cf_connections_free(c);
		return NULL;
	}
	cf_hash_secret_make(&c->secret, seed, sizeof(seed));
	cf_connection_set_bind(&c->set, c->memory->places);
	return c;
}

void cf_connections_seed(struct cf_connections *c, uint64_t seed)
{
	cf_hash_secret_make(&c->secret, &seed, sizeof(seed));
}

void cf_connections_free(struct cf_connections *c)
{
	if (c && c->memory)
		munmap(c->memory, c->size);
	free(c);
}

/* First all keys, then all places: between two of these there is so little to do that the processor walks the page
 * tables for several at once, which are out of the TLB's reach as a rule. */
void cf_connections_expect(struct cf_connections *c, const struct cf_event *events, uint32_t count)
{
	struct expected *expected = &c->expected;

	expected->first = events;
	expected->count = count < CF_CONNECTIONS_AHEAD ? count : CF_CONNECTIONS_AHEAD;
	for (uint32_t i = 0; i < expected->count; i++)
		expected->keys[i] = cf_connection_opens(&events[i]) ? cf_connection_key(&c->secret, &events[i]) : 0;
	for (uint32_t i = 0; i < expected->count; i++)
		__builtin_prefetch(&c->set.places[cf_connection_first_place(expected->keys[i], c->set.place_count)]);
}

/* What was expected is taken out again: the next event at that address is another one. */
static uint64_t expected_key(struct cf_connections *c, const struct cf_event *event)
{
	struct expected *expected = &c->expected;
	uintptr_t i = ((uintptr_t)event - (uintptr_t)expected->first) / sizeof(*event);
	uint64_t key = i < expected->count ? expected->keys[i] : 0;

	if (key == 0)
		return cf_connection_key(&c->secret, event);
	expected->keys[i] = 0;
	return key;
}

/* Which area is in use: a predecessor may have gone on to another. */
static void look(struct cf_connections *c)
{
	uint32_t area = LOAD(c->memory->area);

	if (area != c->set.area)
		cf_connection_set_use(&c->set, area);
}

/* Killed before the store, it is done again; after it, whoever takes over finds the new area. */
static void grow(struct cf_connections *c)
{
	uint32_t area = c->set.area;

	cf_connection_set_copy(&c->set);
	STORE(c->memory->area, area + 1);
	cf_connection_set_use(&c->set, area + 1);
	cf_connection_set_forget(&c->set, area);
}

/* An empty log first: what is in it stays, and places may move. */
static void begin(struct cf_connections *c)
{
	struct memory *m = c->memory;

	STORE(m->log.length, 0);
	if (cf_connection_set_is_full(&c->set, m->keys + CF_BATCH_MAX))
		grow(c);
	STORE(m->log.keys, m->keys);
	STORE(m->log.count, m->count);
}

void cf_connections_begin(struct cf_connections *c, uint32_t attempt)
{
	look(c);
	begin(c);
	STORE(c->memory->log.attempt, attempt);
}

/* In reverse order: what was before the first change is put back last, and meanwhile the set is what it has been at
 * some time. The length stays to the end: whoever is killed in here, the next one begins again, and what is put back
 * already is put back to the same. */
void cf_connections_undo(struct cf_connections *c, uint32_t attempt)
{
	struct memory *m = c->memory;
	struct log *log = &m->log;
	uint32_t length = log->length;

	look(c);
	if (log->attempt != attempt || length == 0 || length > CF_BATCH_MAX)
		return;
	while (length-- > 0) {
		const struct change *change = &log->changes[length];
		struct cell *cell = &m->cells[change->slot % CF_CELLS_MAX];
		uint64_t index = change->index;

		if (change->is_new && index < c->set.place_count)
			STORE(c->set.places[index], 0);
		if (cell->slot == change->slot)
			STORE(cell->count, change->cell_count);
	}
	STORE(m->count, log->count);
	STORE(m->keys, log->keys);
	STORE(log->length, 0);
}

/* The numbers of the cell that has the slot now; an earlier one's go. */
static struct cell *cell_of(struct memory *m, uint32_t slot)
{
	uint32_t i = slot % CF_CELLS_MAX;
	struct cell *cell = &m->cells[i];

	if (cell->slot == slot)
		return cell;
	STORE(cell->count, 0);
	if (cell->marks & MARK_ESTIMATE) {
		memset(m->by_cell[i], 0, sizeof(m->by_cell[i]));
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
	STORE(cell->marks, 0);
	STORE(cell->slot, slot);
	return cell;
}

static void count(const struct cf_connections *c, uint64_t index, uint64_t key, struct cell *cell)
{
	struct memory *m = c->memory;
	uint32_t is_new = c->set.places[index] == 0, length = m->log.length;
	struct change *change = &m->log.changes[length];

	*change = (struct change){ index, cell->count, cell->slot, is_new };
	STORE(m->log.length, length + 1);
	if (is_new) {
		STORE(c->set.places[index], key);
		STORE(m->keys, m->keys + 1);
	}
	STORE(m->count, m->count + 1);
	STORE(cell->count, cell->count + 1);
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* the next change is not noted before */
}

static void mark(struct memory *m, struct cell *cell, uint32_t marks)
{
	m->marks |= marks;
	cell->marks |= marks;
}

void cf_connections_add(struct cf_connections *c, const struct cf_event *event)
{
	struct memory *m = c->memory;
	int again = event->flags & CF_CONNECTION_AGAIN, is_known;
	struct cell *cell;
	uint64_t key, i;

	if (!cf_connection_opens(event))
		return;
	if (m->log.length >= CF_BATCH_MAX)
		begin(c);
	key = expected_key(c, event);
	i = cf_connection_set_find(&c->set, key);
	is_known = c->set.places[i] == key;
	if (is_known && cf_connection_repeats(event))
		return;
	cell = cell_of(m, event->cell);
	if (is_known ? !again : m->keys < c->cap) {
		count(c, i, key, cell);
		return;
	}
	mark(m, cell, (is_known ? 0 : MARK_ESTIMATE) | (again ? MARK_MISSING : 0));
	if (is_known)
		return;
	cf_connection_estimate_add(m->run[0], RUN_BITS, &c->secret, key, event);
	cf_connection_estimate_add(m->by_cell[event->cell % CF_CELLS_MAX][0], CELL_BITS, &c->secret, key, event);
}

static void tell(uint64_t counted, uint32_t marks, const uint8_t *sketches, int bits, struct cf_connection_count *out)
{
	*out = (struct cf_connection_count){ .count = counted, .is_missing = (marks & MARK_MISSING) != 0 };
	if (marks & MARK_ESTIMATE)
		cf_connection_estimate(sketches, bits, out);
}

void cf_connections_of_run(const struct cf_connections *c, struct cf_connection_count *out)
{
	const struct memory *m = c->memory;

	tell(LOAD(m->count), LOAD(m->marks), m->run[0], RUN_BITS, out);
}

void cf_connections_of_cell(const struct cf_connections *c, uint32_t slot, struct cf_connection_count *out)
{
	const struct memory *m = c->memory;
	uint32_t i = slot % CF_CELLS_MAX;

	*out = (struct cf_connection_count){ 0 };
	if (LOAD(m->cells[i].slot) == slot)
		tell(LOAD(m->cells[i].count), LOAD(m->cells[i].marks), m->by_cell[i][0], CELL_BITS, out);
}

uint32_t cf_connections_field(uint64_t number)
{
	return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}
