/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 * The flow table in user space: see flow_table.h. What is in it and when is bpf/flow_table.h's. */
#include <stddef.h>
#include <string.h>
#include "flow_table.h"
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

enum {
	PLACE_UNIT = 64, /* of struct cf_flow_room.place, in bytes */
	SPARE = 1024, /* flows: as many writers may die between taking one and giving it to a way */
};

static __always_inline struct cf_flow *flow_of(const struct cf_flow_room *room, uint64_t way)
{
	return (struct cf_flow *)(uintptr_t)((const uint8_t *)room + (uint64_t)room->place[way] * PLACE_UNIT);
}

#define CF_FLOW_SET struct cf_flow_room
#define CF_FLOW_OF(set, way) flow_of(set, way)
#include "../bpf/flow_event.h"

uint32_t cf_flow_sets_for(uint32_t entries)
{
	uint32_t sets = 1;

	if (!entries)
		return CF_FLOW_SETS;
	while (sets < CF_FLOW_SETS_MAX && (uint64_t)sets * CF_FLOW_WAYS < entries)
		sets *= 2;
	return sets;
}

uint32_t cf_flow_entries_of(uint32_t set_count)
{
	return set_count + (set_count + CF_FLOW_BLOCK - 1) / CF_FLOW_BLOCK;
}

uint32_t cf_flow_sets_in(uint32_t entries)
{
	uint32_t sets = 1;

	while (sets < CF_FLOW_SETS_MAX && cf_flow_entries_of(sets) < entries)
		sets *= 2;
	return cf_flow_entries_of(sets) == entries ? sets : 0;
}

void cf_flow_table_map(struct cf_flow_table *table, void *memory, uint32_t set_count)
{
	*table = (struct cf_flow_table){ .sets = memory, .set_count = set_count };
	table->tags = (struct cf_flow_tags *)&table->sets[set_count];
}

static uint64_t places(uint32_t set_count)
{
	return (uint64_t)set_count * CF_FLOW_WAYS + SPARE;
}

size_t cf_flow_table_size(uint32_t set_count)
{
	return sizeof(struct cf_flow_head) + set_count * sizeof(struct cf_flow_room) + places(set_count) * sizeof(struct cf_flow);
}

void cf_flow_table_place(struct cf_flow_table *table, void *memory, uint32_t set_count)
{
	*table = (struct cf_flow_table){ .head = memory, .set_count = set_count };
	table->rooms = (struct cf_flow_room *)(void *)&table->head[1];
	table->flows = (struct cf_flow *)(void *)&table->rooms[set_count];
}

struct cf_flow_tags *cf_flow_table_tags(const struct cf_flow_table *table, uint32_t set)
{
	return table->rooms ? &table->rooms[set].tags : &table->tags[set];
}

struct cf_flow *cf_flow_table_flow(const struct cf_flow_table *table, uint32_t set, uint32_t way)
{
	if (table->sets)
		return &table->sets[set].flow[way];
	return table->rooms[set].place[way] ? flow_of(&table->rooms[set], way) : NULL;
}

/* SplitMix64: every bit of the seed is in every word. */
void cf_flow_secret_make(uint64_t seed, struct cf_flow_secret *secret)
{
	for (int i = 0; i < CF_FLOW_SECRETS; i++) {
		uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

		z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
		secret->word[i] = z ^ z >> 31;
	}
}

void cf_flow_table_repair(struct cf_flow_table *table)
{
	if (!table->head->placed) /* never used, and not to be touched for nothing */
		return;
	for (uint32_t i = 0; i < table->set_count; i++) {
		struct cf_flow_room *room = &table->rooms[i];
		struct cf_flow_tags *tags = &room->tags;

		tags->lock &= ~CF_SET_LOCKED;
		for (int way = 0; way < CF_FLOW_WAYS; way++) {
			if (tags->tag[way] != CF_TAG_CLAIMED)
				continue;
			memset(flow_of(room, way), 0, sizeof(struct cf_flow));
			tags->tag[way] = CF_TAG_FREE;
		}
	}
}

static void begin(struct cf_flow *fresh, const struct cf_flow_key *key, const struct cf_packet *packet,
		  const struct cf_load *load, const struct cf_flow_origin *origin)
{
	fresh->key = *key;
	cf_flow_begin(fresh, packet, load, origin->direction);
	fresh->origin_end = origin->source_end;
	fresh->ifindex = origin->ifindex;
	fresh->mark = origin->mark;
	fresh->hook = origin->hook;
	fresh->verdict = origin->verdict;
	fresh->events = origin->events;
}

static uint32_t set_of(const struct cf_flow_table *table, uint64_t hash)
{
	return cf_flow_set_index(hash, table->set_count - 1);
}

uint32_t cf_flow_table_set(const struct cf_flow_table *table, const struct cf_flow_key *key)
{
	return set_of(table, cf_flow_hash(key, &table->secret));
}

/* A way that is free gets a flow with its first use, and keeps it. What is taken is never given to two: who dies before
 * the way has it leaves one that nobody uses. 0, or -1: they have been used up that way. */
static int prepare(const struct cf_flow_table *table, struct cf_flow_room *room, uint32_t tag)
{
	uint64_t way = cf_flow_free_way(&room->tags, tag), place;

	if (way >= CF_FLOW_WAYS || room->place[way])
		return 0;
	place = table->head->placed;
	if (place >= places(table->set_count))
		return -1;
	table->head->placed = place + 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	room->place[way] = (uint32_t)(((uint8_t *)&table->flows[place] - (uint8_t *)room) / PLACE_UNIT);
	return 0;
}

void cf_flow_table_expect(const struct cf_flow_table *table, const struct cf_flow_key *key)
{
	const struct cf_flow_room *room = &table->rooms[cf_flow_table_set(table, key)];

	__builtin_prefetch(&room->tags, 1);
	__builtin_prefetch(room->place, 1);
	__builtin_prefetch(room->age, 1);
}

void cf_flow_table_expect_entry(const struct cf_flow_table *table, const struct cf_flow_key *key)
{
	uint64_t hash = cf_flow_hash(key, &table->secret);
	uint32_t tag = cf_flow_tag(hash), way = 0;
	const struct cf_flow_room *room = &table->rooms[set_of(table, hash)];
	const uint32_t *held = room->tags.tag;

	while (way < CF_FLOW_WAYS && held[way] != tag && held[way] != CF_TAG_FREE)
		way++;
	if (way == CF_FLOW_WAYS || !room->place[way])
		return;
	__builtin_prefetch(flow_of(room, way), 1);
	__builtin_prefetch((const char *)flow_of(room, way) + 64, 1);
}

/* The sweep is to look at the set in time for a flow that is new in it. */
static void come_due(const struct cf_flow_table *table, struct cf_flow_room *room, const struct cf_flow_key *key,
		     uint64_t now_ns)
{
	uint32_t soonest = table->head->soonest[key->protocol == CF_TCP_NUMBER];
	uint32_t due = (uint32_t)(now_ns >> CF_DUE_SHIFT) + soonest;

	if (!room->due || (int32_t)(due - room->due) < 0)
		room->due = due ? due : 1;
}

int cf_flow_table_account(struct cf_flow_table *table, const struct cf_flow_key *key, const struct cf_packet *packet,
			  const struct cf_load *load, const struct cf_flow_origin *origin, struct cf_flow **flow,
			  struct cf_flow_ended *ended)
{
	uint64_t hash = cf_flow_hash(key, &table->secret);
	struct cf_flow_room *room = &table->rooms[set_of(table, hash)];
	struct cf_flow_tags *tags = &room->tags;
	uint32_t tag = cf_flow_tag(hash);
	struct cf_flow fresh;
	uint32_t way;
	int result;

	ended->kind = 0;
	*flow = NULL;
	way = cf_flow_find(tags, room, tag, key);
	if (way < CF_FLOW_WAYS && !cf_flow_is_reuse(flow_of(room, way), packet->tcp_flags)) {
		*flow = flow_of(room, way);
		cf_flow_hit(room, way, load, packet->tcp_flags, origin->direction);
		return CF_STAT_FLOW_HIT;
	}
	if (prepare(table, room, tag) < 0)
		return CF_STAT_FLOW_FULL;
	begin(&fresh, key, packet, load, origin);
	result = cf_flow_insert(tags, room, tag, &fresh, ended, flow);
	if (result == CF_STAT_FLOW_NEW)
		come_due(table, room, key, load->now);
	if (result == CF_STAT_FLOW_HIT)
		cf_flow_add(*flow, load, packet->tcp_flags, origin->direction);
	return result;
}

void cf_flow_event(const struct cf_flow *flow, uint32_t kind, uint32_t close_reason, struct cf_event *out)
{
	memset(out, 0, sizeof(*out));
	cf_flow_tell(flow, kind, close_reason, out);
}

void cf_flow_read(const struct cf_flow *flow, struct cf_flow *out)
{
	*out = *flow;
	for (int i = 0; i < 2; i++) {
		out->packets[i] = __atomic_load_n(&flow->packets[i], __ATOMIC_RELAXED);
		out->bytes[i] = __atomic_load_n(&flow->bytes[i], __ATOMIC_RELAXED);
	}
	out->last_seen_ns = __atomic_load_n(&flow->last_seen_ns, __ATOMIC_RELAXED);
}

uint32_t cf_flow_finished(const struct cf_flow *flow)
{
	return cf_flow_finish(flow);
}
