/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * Which flow of a full set makes room for another, and what the set remembers of those that had to. Compiled twice, as
 * flow_table.h is; puts nothing into the table and takes nothing out.
 */
#ifndef CF_BPF_FLOW_EVICT_H
#define CF_BPF_FLOW_EVICT_H
#include "flow_entry.h"

enum {
	CF_BLOOM_KEEP = 80467, /* of 2^30 ns, a day (CF_IDLE_S_MAX): so old, a flow would have been over anyway */
	CF_BLOOM_BITS = CF_BLOOM_WORDS * 64,
	CF_AGE_SHIFT = 16, /* of ns: 2^31 of them are more than a day (CF_IDLE_S_MAX) */
	CF_AGE_AHEAD = 1 << 16, /* four seconds: so much later than this packet another CPU's may seem */
};

/* When it was last seen, as the ages of its set have it: what is finished, longer ago than all else. */
static __always_inline uint32_t cf_flow_age(const struct cf_flow *flow)
{
	return (uint32_t)(flow->last_seen_ns >> CF_AGE_SHIFT) ^ (uint32_t)cf_flow_is_finished(flow) << 31;
}

static __always_inline uint32_t cf_bloom_bit(uint32_t half)
{
	return (half & 0xffff) * CF_BLOOM_BITS >> 16;
}

static __always_inline int cf_bloom_has(const CF_FLOW_SET *set, uint32_t tag)
{
	uint32_t a = cf_bloom_bit(tag), b = cf_bloom_bit(tag >> 16);

	return (set->bloom[a / 64] >> (a % 64) & 1) && (set->bloom[b / 64] >> (b % 64) & 1);
}

/* It forgets only what no longer matters. In a set that overflows again and again it comes to say yes to everything,
 * which is then no more than the truth: to forget earlier would open flows twice without saying so. */
static __always_inline void cf_bloom_age(CF_FLOW_SET *set, uint64_t now)
{
	if ((uint32_t)(now >> 30) - set->evicted <= CF_BLOOM_KEEP)
		return;
	__builtin_memset(set->bloom, 0, sizeof(set->bloom));
	set->evicted = (uint32_t)(now >> 30);
}

static __always_inline void cf_bloom_put(CF_FLOW_SET *set, uint32_t tag, uint64_t now)
{
	uint32_t a = cf_bloom_bit(tag), b = cf_bloom_bit(tag >> 16);

	set->evictions++;
	set->evicted = (uint32_t)(now >> 30);
	set->bloom[a / 64] |= 1ULL << (a % 64);
	set->bloom[b / 64] |= 1ULL << (b % 64);
}

/* All ones if a >= b (signed), else 0, by arithmetic. What compilers recognize they make branches of. */
static __always_inline uint64_t cf_at_least(uint64_t a, uint64_t b, uint64_t other)
{
	return cf_forget(~(uint64_t)((int64_t)(a - b) >> 63), other);
}

/* Of the flows that may be taken the one longest unseen, as far as the set's ages know, the first of several: its way,
 * or CF_FLOW_WAYS. Where the way is counts in the lowest bits of its rank, and there is no branch, because the verifier
 * would follow it for each way. `tag` is only what cf_forget wants. */
static __always_inline uint32_t cf_flow_oldest(const struct cf_flow_tags *tags, const CF_FLOW_SET *set, uint32_t now,
					       uint32_t tag)
{
	uint64_t best = 0, rank, less;

	for (uint32_t i = 0; i < CF_FLOW_WAYS; i++) {
		uint64_t held = *(const volatile uint32_t *)&tags->tag[i];

		rank = (uint64_t)(uint32_t)(now - *(const volatile uint32_t *)&set->age[i]) << 4;
		rank |= CF_FLOW_WAYS - i;
		rank &= cf_at_least(held, CF_TAG_FIRST, tag);
		less = best - rank; /* of the two, which have 36 bits, the greater */
		best = rank + (less & cf_at_least(less, 0, tag));
	}
	return cf_forget(CF_FLOW_WAYS - (best & 15), tag);
}

static __always_inline uint32_t cf_flow_free_way(const struct cf_flow_tags *tags, uint32_t tag)
{
	uint64_t way;

	for (way = 0; way < CF_FLOW_WAYS; way++)
		if (*(const volatile uint32_t *)&tags->tag[way] == CF_TAG_FREE)
			break;
	return cf_forget(way, tag);
}

/* Which way a new flow gets: a free one, else that of a finished flow, else of any; of those the one least recently
 * seen. Not the ways that are being taken out: CF_FLOW_WAYS if there are no others. To read all entries of a set would
 * take longer than all else that a packet costs. So the oldest of the set's ages names one, whose entry is asked
 * whether that is still true. */
static __always_inline uint32_t cf_flow_choose(const struct cf_flow_tags *tags, CF_FLOW_SET *set, uint32_t tag,
					       uint64_t now_ns)
{
	uint32_t now = (uint32_t)(now_ns >> CF_AGE_SHIFT) + CF_AGE_AHEAD, way = cf_flow_free_way(tags, tag), age;

	for (uint32_t i = 0; way >= CF_FLOW_WAYS && i < CF_FLOW_WAYS; i++) {
		uint32_t oldest = cf_flow_oldest(tags, set, now, tag);

		if (oldest >= CF_FLOW_WAYS)
			break;
		age = cf_flow_age(CF_FLOW_OF(set, oldest));
		if (set->age[oldest] == age || i == CF_FLOW_WAYS - 1)
			way = oldest;
		set->age[oldest] = age;
	}
	return cf_forget(way, tag) & 15;
}

/* When many flows come and none comes back, they go in the order of their ways. Their entries come from memory while
 * the set's other lines do: one wait instead of two. */
static __always_inline void cf_flow_expect_next(const CF_FLOW_SET *set, uint32_t next)
{
	if (next >= CF_FLOW_WAYS)
		next = 0;
	(void)*(const volatile uint64_t *)&CF_FLOW_OF(set, next)->last_seen_ns;
	(void)*(const volatile uint32_t *)&CF_FLOW_OF(set, next)->tcp_flags[0];
}
#endif
