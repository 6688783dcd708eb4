/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 * The flow table in user space: see flow_table.h. What is in it and when is bpf/flow_table.h's. */
#include <stddef.h>
#include <string.h>
#include "flow_table.h"
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
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

void cf_flow_table_place(struct cf_flow_table *table, void *memory, uint32_t set_count)
{
	table->sets = memory;
	table->tags = (struct cf_flow_tags *)&table->sets[set_count];
	table->set_count = set_count;
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
	for (uint32_t i = 0; i < table->set_count; i++) {
		struct cf_flow_tags *tags = &table->tags[i];
		struct cf_flow_set *set = &table->sets[i];

		tags->lock &= ~CF_SET_LOCKED;
		for (int way = 0; way < CF_FLOW_WAYS; way++) {
			if (tags->tag[way] != CF_TAG_CLAIMED)
				continue;
			memset(&set->flow[way], 0, sizeof(set->flow[way]));
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

void cf_flow_table_expect(const struct cf_flow_table *table, const struct cf_flow_key *key)
{
	__builtin_prefetch(&table->tags[set_of(table, cf_flow_hash(key, &table->secret))], 1);
}

void cf_flow_table_expect_entry(const struct cf_flow_table *table, const struct cf_flow_key *key)
{
	uint64_t hash = cf_flow_hash(key, &table->secret);
	uint32_t tag = cf_flow_tag(hash), index = set_of(table, hash), way = 0;
	const uint32_t *held = table->tags[index].tag;
	const struct cf_flow *flow = table->sets[index].flow;

	while (way < CF_FLOW_WAYS && held[way] != tag && held[way] != CF_TAG_FREE)
		way++;
	if (way == CF_FLOW_WAYS)
		return;
	__builtin_prefetch(&flow[way], 1);
	__builtin_prefetch((const char *)&flow[way] + 64, 1);
}

int cf_flow_table_account(struct cf_flow_table *table, const struct cf_flow_key *key, const struct cf_packet *packet,
			  const struct cf_load *load, const struct cf_flow_origin *origin, struct cf_flow **flow,
			  struct cf_flow_ended *ended)
{
	uint64_t hash = cf_flow_hash(key, &table->secret);
	uint32_t tag = cf_flow_tag(hash), index = set_of(table, hash);
	struct cf_flow_tags *tags = &table->tags[index];
	struct cf_flow_set *set = &table->sets[index];
	struct cf_flow fresh;
	uint32_t way;
	int result;

	ended->kind = 0;
	*flow = NULL;
	way = cf_flow_find(tags, set, tag, key);
	if (way < CF_FLOW_WAYS && !cf_flow_is_reuse(&set->flow[way], packet->tcp_flags)) {
		*flow = &set->flow[way];
		cf_flow_hit(set, way, load, packet->tcp_flags, origin->direction);
		return CF_STAT_FLOW_HIT;
	}
	begin(&fresh, key, packet, load, origin);
	result = cf_flow_insert(tags, set, tag, &fresh, ended, flow);
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
