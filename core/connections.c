/* SPDX-License-Identifier: MIT
 * Different connections: see connections.h. What one connection changes (its place in the set, two sums) is noted first
 * and then done: whoever finds a note that is still due does it again, with the same numbers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include "connection_set.h"
#include "connections.h"
#include "hash.h"
#include "plan.h"
#include "sketch.h"

enum {
	RUN_BITS = 14, /* 16 KiB, 0.8 % */
	CELL_BITS = 10, /* 1 KiB, 3.3 % */
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
	PROTOCOL_ICMP = 1,
	ICMP_ECHO = 8,
	ICMPV6_ECHO = 128,
	AGAIN = CF_EVENT_REOPENED | CF_EVENT_MIDSTREAM,
	SEED_LEN = 32,
	EXPECTED = 2 * CF_CONNECTIONS_AHEAD,
};

/* Of what the set has no room for. A key that had flagged events only counts once: the last two's difference. */
enum sketch {
	SKETCH_OPENED, /* key and time of events without a flag */
	SKETCH_KEYS, /* keys of all events */
	SKETCH_KEYS_OPENED, /* keys of events without a flag */
	SKETCHES,
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

struct step { /* the values after it, so that doing it twice does no harm */
	uint32_t is_due;
	uint32_t slot;
	uint64_t index;
	struct cf_connection_place place; /* instance: first_seen_ns of the latest connection of that key */
	uint64_t keys, count, cell_count;
};

struct memory {
	uint64_t keys; /* places taken */
	uint64_t count; /* connections, without those in the sketches */
	uint32_t marks; /* enum mark */
	uint32_t area; /* of the set, in use */
	struct step step;
	struct cell cells[CF_CELLS_MAX];
	uint8_t run[SKETCHES][1 << RUN_BITS];
	uint8_t by_cell[CF_CELLS_MAX][SKETCHES][1 << CELL_BITS];
	struct cf_connection_place places[];
};

struct expected {
	const struct cf_event *event;
	uint64_t key;
};

/* Not in the shared memory, so that what a worker does to that leads nobody astray. */
struct cf_connections {
	struct memory *memory;
	uint64_t cap;
	size_t size; /* of memory */
	struct cf_connection_set set;
	struct cf_hash_secret secret;
	struct expected expected[EXPECTED]; /* by the event's address */
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

/* With only its way out watched, a cell's answers to others are flows out of it as well: those that show it in their
 * first packet are left out. Later fragments belong to the connection of the first, and ICMP but echo to others. */
static int opens_connection(const struct cf_event *event)
{
	if (event->kind != CF_KIND_OPENED || event->direction != CF_DIRECTION_EGRESS ||
	    event->flags & CF_EVENT_FRAGMENT)
		return 0;
	if (event->verdict == CF_VERDICT_DROP && !(event->flags & CF_EVENT_CONFLICT)) /* that one had left */
		return 0;
	if (event->flags & CF_EVENT_ICMP)
		return event->icmp_type == (event->protocol == PROTOCOL_ICMP ? ICMP_ECHO : ICMPV6_ECHO);
	if (event->flags & CF_EVENT_TCP)
		return !(event->tcp_flags & TCP_RST) && (event->tcp_flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK);
	return 1;
}

static uint64_t key_of(const struct cf_connections *c, const struct cf_event *event)
{
	struct {
		uint8_t src_addr[16], dst_addr[16];
		uint32_t cell;
		uint16_t src_port, dst_port;
		uint8_t family, protocol, zero[2];
	} tuple = { .cell = event->cell, .family = event->family, .protocol = event->protocol };
	uint64_t key;

	memcpy(tuple.src_addr, event->src_addr, sizeof(tuple.src_addr));
	memcpy(tuple.dst_addr, event->dst_addr, sizeof(tuple.dst_addr));
	if (event->flags & CF_EVENT_PORTS) {
		tuple.src_port = event->src_port;
		tuple.dst_port = event->dst_port;
	} else if (event->flags & CF_EVENT_ICMP_ID) {
		tuple.src_port = event->icmp_id;
	}
	key = cf_hash64(&c->secret, &tuple, sizeof(tuple));
	return key ? key : 1;
}

static struct expected *expected_of(struct cf_connections *c, const struct cf_event *event)
{
	return &c->expected[(uintptr_t)event / sizeof(*event) % EXPECTED];
}

void cf_connections_expect(struct cf_connections *c, const struct cf_event *event)
{
	struct expected *expected = expected_of(c, event);

	expected->event = NULL;
	if (!opens_connection(event))
		return;
	*expected = (struct expected){ event, key_of(c, event) };
	__builtin_prefetch(&c->set.places[cf_connection_first_place(expected->key, c->set.place_count)]);
}

/* What was expected is taken out again: the next event at that address is another one. */
static uint64_t expected_key(struct cf_connections *c, const struct cf_event *event)
{
	struct expected *expected = expected_of(c, event);

	if (expected->event != event)
		return key_of(c, event);
	expected->event = NULL;
	return expected->key;
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

static void do_step(const struct cf_connections *c)
{
	struct memory *m = c->memory;
	const struct step *step = &m->step;
	uint64_t index = step->index;

	if (index < c->set.place_count) {
		STORE(c->set.places[index].instance, step->place.instance);
		STORE(c->set.places[index].key, step->place.key);
		STORE(m->keys, step->keys);
		STORE(m->count, step->count);
		STORE(m->cells[step->slot % CF_CELLS_MAX].count, step->cell_count);
	}
	STORE(m->step.is_due, 0);
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* the next note is not begun before */
}

static void count(const struct cf_connections *c, uint64_t index, uint64_t key, const struct cf_event *event)
{
	struct memory *m = c->memory;
	struct step *step = &m->step;

	step->slot = event->cell;
	step->index = index;
	step->place = (struct cf_connection_place){ .key = key, .instance = event->first_seen_ns };
	step->keys = m->keys + (c->set.places[index].key == 0);
	step->count = m->count + 1;
	step->cell_count = cell_of(m, event->cell)->count + 1;
	STORE(step->is_due, 1);
	do_step(c);
}

static void add_to_sketches(const struct cf_connections *c, uint8_t *sketches, int bits, uint64_t key,
			    const struct cf_event *event)
{
	uint64_t opened[] = { key, event->first_seen_ns };

	cf_sketch_add(sketches + (SKETCH_KEYS << bits), bits, key);
	if (event->flags & AGAIN)
		return;
	cf_sketch_add(sketches + (SKETCH_OPENED << bits), bits, cf_hash64(&c->secret, opened, sizeof(opened)));
	cf_sketch_add(sketches + (SKETCH_KEYS_OPENED << bits), bits, key);
}

static void mark(struct memory *m, struct cell *cell, uint32_t marks)
{
	m->marks |= marks;
	cell->marks |= marks;
}

void cf_connections_add(struct cf_connections *c, const struct cf_event *event)
{
	struct memory *m = c->memory;
	int again = event->flags & AGAIN;
	struct cf_connection_place *place;
	struct cell *cell;
	uint64_t key, i;

	if (m->area != c->set.area)
		cf_connection_set_use(&c->set, m->area);
	if (m->step.is_due)
		do_step(c);
	if (!opens_connection(event))
		return;
	if (cf_connection_set_is_full(&c->set, m->keys))
		grow(c);
	key = expected_key(c, event);
	i = cf_connection_set_find(&c->set, key);
	place = &c->set.places[i];
	/* Not "another time": when a batch is done again, the set may know a later connection of the same tuple. */
	if (place->key == key && event->first_seen_ns <= place->instance)
		return;
	if (place->key == key ? !again : m->keys < c->cap) {
		count(c, i, key, event);
		return;
	}
	cell = cell_of(m, event->cell);
	mark(m, cell, (place->key == key ? 0 : MARK_ESTIMATE) | (again ? MARK_MISSING : 0));
	if (place->key == key)
		return;
	add_to_sketches(c, m->run[0], RUN_BITS, key, event);
	add_to_sketches(c, m->by_cell[event->cell % CF_CELLS_MAX][0], CELL_BITS, key, event);
}

/* `counted` and what the sketches say; only the latter is uncertain, and of a difference at most by the greater. */
static void estimate(const uint8_t *sketches, int bits, uint64_t counted, struct cf_connection_count *out)
{
	double opened = cf_sketch_estimate(sketches + (SKETCH_OPENED << bits), bits);
	double keys = cf_sketch_estimate(sketches + (SKETCH_KEYS << bits), bits);
	double flagged = keys - cf_sketch_estimate(sketches + (SKETCH_KEYS_OPENED << bits), bits);
	double all;

	flagged = flagged > 0 ? flagged : 0;
	all = (double)counted + opened + flagged;
	out->is_estimate = 1;
	out->count = all < 0x1p63 ? (uint64_t)(all + 0.5) : UINT64_MAX;
	out->error = cf_sketch_error(bits) * hypot(opened, flagged > 0 ? keys : 0) / (all > 0 ? all : 1);
}

static void tell(uint64_t counted, uint32_t marks, const uint8_t *sketches, int bits, struct cf_connection_count *out)
{
	*out = (struct cf_connection_count){ .count = counted, .is_missing = (marks & MARK_MISSING) != 0 };
	if (marks & MARK_ESTIMATE)
		estimate(sketches, bits, counted, out);
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
