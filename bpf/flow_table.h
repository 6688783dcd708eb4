/* SPDX-License-Identifier: GPL-2.0-only OR MIT
 *
 * The flow table's algorithm, compiled twice: into the tc program, whose sets are the map FLOWS, and by
 * core/flow_table.c for tables of user space. One entry for both directions of a connection, updated in place. Says of
 * each packet whether its flow was known, is new, or was refused, and what had to end for it; knows no packet bytes and
 * no rings. The includer has __always_inline. A hit takes no lock; who may change what is said in flow.h.
 */
#ifndef CF_BPF_FLOW_TABLE_H
#define CF_BPF_FLOW_TABLE_H
#include "event.h"
#include "flow.h"
#include "packet.h"

#ifdef __clang__
#define CF_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CF_UNROLL
#endif

/* A set, and a flow of it: who includes this may have said what else they are (core/flow_table.c). */
#ifndef CF_FLOW_SET
#define CF_FLOW_SET struct cf_flow_set
#define CF_FLOW_OF(set, way) (&(set)->flow[way])
#endif

enum {
	CF_TCP_FIN = 1,
	CF_TCP_SYN = 2,
	CF_TCP_RST = 4,
	CF_TCP_ACK = 16,
	CF_TCP_NUMBER = 6, /* IPPROTO_TCP */
	CF_LOCK_TRIES =
		128, /* about ten microseconds: enough for a holder that is interrupted, if its CPU stays ours */
	CF_BLOOM_KEEP = 80467, /* of 2^30 ns, a day (CF_IDLE_S_MAX): so old, a flow would have been over anyway */
	CF_BLOOM_BITS = CF_BLOOM_WORDS * 64,
	CF_AGE_SHIFT = 16, /* of ns: 2^31 of them are more than a day (CF_IDLE_S_MAX) */
	CF_AGE_AHEAD = 1 << 16, /* four seconds: so much later than this packet another CPU's may seem */
};

/* Multilinear, with pairs: of two different keys the upper 32 bits of the sums are equal for one secret in 2^32, so
 * nobody who does not know the secret can choose flows that meet in one set. Volatile, or the tc program's compiler
 * takes the words that the object was built with for those that it is loaded with. */
static __always_inline uint64_t cf_flow_hash(const struct cf_flow_key *key,
					     const volatile struct cf_flow_secret *secret)
{
	uint64_t hash = secret->word[0];
	uint32_t a, b;

	CF_UNROLL
	for (int i = 0; i < (int)sizeof(*key) / 4; i += 2) {
		__builtin_memcpy(&a, (const uint8_t *)key + 4 * i, 4);
		__builtin_memcpy(&b, (const uint8_t *)key + 4 * i + 4, 4);
		hash += (a + secret->word[i + 1]) * (b + secret->word[i + 2]);
	}
	return hash;
}

static __always_inline uint32_t cf_flow_set_index(uint64_t hash, uint32_t mask)
{
	return (uint32_t)(hash >> 42) & mask;
}

static __always_inline uint32_t cf_flow_tag(uint64_t hash)
{
	uint32_t tag = (uint32_t)(hash >> 10);

	return tag < CF_TAG_FIRST ? tag + CF_TAG_FIRST : tag;
}

static __always_inline int cf_flow_key_equal(const struct cf_flow_key *a, const struct cf_flow_key *b)
{
	uint64_t x[sizeof(*a) / 8], y[sizeof(*a) / 8], differ = 0;

	__builtin_memcpy(x, __builtin_assume_aligned(a, 8), sizeof(x));
	__builtin_memcpy(y, __builtin_assume_aligned(b, 8), sizeof(y));
	CF_UNROLL
	for (int i = 0; i < (int)sizeof(*a) / 8; i++)
		differ |= x[i] ^ y[i];
	return !differ;
}

/* The same number, of which the verifier has forgotten what it knew: it would walk all that follows once for each value
 * that it can have. `other` is a number that it knows nothing of. */
static __always_inline uint64_t cf_forget(uint64_t number, uint64_t other)
{
#ifdef __bpf__
	asm volatile("%0 ^= %1; %0 ^= %1" : "+r"(number) : "r"(other));
#else
	(void)other;
#endif
	return number;
}

/* The flow's way, or CF_FLOW_WAYS. A key that is not the one its tag was set for cannot be taken for ours: the tag is a
 * function of the key. */
static __always_inline uint32_t cf_flow_find_way(const struct cf_flow_tags *tags, const CF_FLOW_SET *set,
						 uint32_t tag, const struct cf_flow_key *key)
{
	for (uint32_t i = 0; i < CF_FLOW_WAYS; i++) {
		uint64_t way = i;

		if (*(const volatile uint32_t *)&tags->tag[i] != tag)
			continue;
		way = cf_forget(way, tag);
		if (way < CF_FLOW_WAYS && cf_flow_key_equal(&CF_FLOW_OF(set, way)->key, key))
			return way;
	}
	return CF_FLOW_WAYS;
}

/* The same of the first way with that fingerprint only. A second one is met once in 2^28 flows; cf_flow_insert finds
 * it. */
static __always_inline uint32_t cf_flow_find(const struct cf_flow_tags *tags, const CF_FLOW_SET *set,
					     uint32_t tag, const struct cf_flow_key *key)
{
	uint64_t way;

	for (way = 0; way < CF_FLOW_WAYS; way++)
		if (*(const volatile uint32_t *)&tags->tag[way] == tag)
			break;
	way = cf_forget(way, tag);
	return way < CF_FLOW_WAYS && cf_flow_key_equal(&CF_FLOW_OF(set, way)->key, key) ? way : CF_FLOW_WAYS;
}

/* Without the other direction ever seen, one FIN must do. */
static __always_inline uint32_t cf_flow_finish(const struct cf_flow *flow)
{
	uint32_t egress = flow->tcp_flags[CF_FLOW_EGRESS], ingress = flow->tcp_flags[CF_FLOW_INGRESS];

	if ((egress | ingress) & CF_TCP_RST)
		return CF_CLOSE_RST;
	if (!((egress | ingress) & CF_TCP_FIN))
		return CF_CLOSE_NONE;
	if ((egress & ingress & CF_TCP_FIN) || !flow->packets[CF_FLOW_EGRESS] || !flow->packets[CF_FLOW_INGRESS])
		return CF_CLOSE_FIN;
	return CF_CLOSE_NONE;
}

/* The first packet of another connection between the same ports: nobody opens one on top of one that goes on. */
static __always_inline int cf_flow_is_reuse(const struct cf_flow *flow, uint8_t tcp_flags)
{
	return (tcp_flags & (CF_TCP_SYN | CF_TCP_ACK)) == CF_TCP_SYN &&
	       ((flow->tcp_flags[0] | flow->tcp_flags[1]) & (CF_TCP_FIN | CF_TCP_RST));
}

/* cf_flow_finish(), whether it says anything, without a branch: 0 or 1. */
static __always_inline uint64_t cf_flow_is_finished(const struct cf_flow *flow)
{
	uint64_t egress = flow->tcp_flags[CF_FLOW_EGRESS], ingress = flow->tcp_flags[CF_FLOW_INGRESS];
	uint64_t sent = flow->packets[CF_FLOW_EGRESS], received = flow->packets[CF_FLOW_INGRESS];
	uint64_t both_seen = (sent | -sent) & (received | -received);

	return ((egress | ingress) / CF_TCP_RST & 1) |
	       ((egress | ingress) & ((egress & ingress) | ~both_seen >> 63) & 1);
}

/* When it was last seen, as the ages of its set have it: what is finished, longer ago than all else. */
static __always_inline uint32_t cf_flow_age(const struct cf_flow *flow)
{
	return (uint32_t)(flow->last_seen_ns >> CF_AGE_SHIFT) ^ (uint32_t)cf_flow_is_finished(flow) << 31;
}

/* The time only ever goes on: other CPUs may be up to a tick ahead. Returns whether the flow can have ended by it. */
static __always_inline int cf_flow_add(struct cf_flow *flow, const struct cf_load *load, uint8_t tcp_flags,
				       int direction)
{
	__sync_fetch_and_add(&flow->packets[direction], load->packets);
	__sync_fetch_and_add(&flow->bytes[direction], load->bytes);
	if ((int64_t)(load->now - flow->last_seen_ns) > 0)
		flow->last_seen_ns = load->now;
	if ((flow->tcp_flags[direction] & tcp_flags) == tcp_flags)
		return 0;
	__sync_fetch_and_or(&flow->tcp_flags[direction], tcp_flags);
	return tcp_flags & (CF_TCP_FIN | CF_TCP_RST);
}

/* A packet of the flow in that way, which must be one of the set's. Its age is left as it is, unless the flow may be
 * over now: that must be known when room is needed. */
static __always_inline void cf_flow_hit(CF_FLOW_SET *set, uint32_t way, const struct cf_load *load,
					uint8_t tcp_flags, int direction)
{
	if (cf_flow_add(CF_FLOW_OF(set, way), load, tcp_flags, direction))
		set->age[way] = cf_flow_age(CF_FLOW_OF(set, way));
}

/* To wait is to try often, and the verifier walks each try: a clock takes long for one instruction. In user space one
 * thread has a table for itself. */
static __always_inline void cf_flow_pause(void)
{
#ifdef __bpf__
	bpf_ktime_get_ns();
	bpf_ktime_get_ns();
	bpf_ktime_get_ns();
	bpf_ktime_get_ns();
#endif
}

static __always_inline int cf_flow_lock(struct cf_flow_tags *tags)
{
	for (uint32_t i = 0; i < CF_LOCK_TRIES; i++) {
		uint32_t free = *(volatile uint32_t *)&tags->lock & ~CF_SET_LOCKED;

		if (__sync_val_compare_and_swap(&tags->lock, free, free | CF_SET_LOCKED) == free)
			return 1;
		cf_flow_pause();
	}
	return 0;
}

/* A store that comes after all earlier ones. A locked instruction would do, but waits for memory until they are all
 * there; on x86 stores are never seen in another order anyway. */
static __always_inline void cf_store_release(uint32_t *place, uint32_t value)
{
#ifndef __bpf__
	__atomic_store_n(place, value, __ATOMIC_RELEASE);
#elif defined(CF_STORES_IN_ORDER)
	asm volatile("" ::: "memory");
	*(volatile uint32_t *)place = value;
#else
	__sync_lock_test_and_set(place, value);
#endif
}

static __always_inline void cf_flow_unlock(struct cf_flow_tags *tags)
{
	cf_store_release(&tags->lock, tags->lock & ~(uint32_t)CF_SET_LOCKED);
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
static __always_inline uint32_t cf_flow_oldest(const struct cf_flow_tags *tags, const CF_FLOW_SET *set,
					       uint32_t now, uint32_t tag)
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

/* What was counted in an entry, in exchange for what is counted first in its place. What others still add in this
 * moment to the entry that they had found belongs to the flow that comes into it: it is with one of the two, and the
 * sum stays right. */
static __always_inline uint64_t cf_flow_swap(uint64_t *count, uint64_t first)
{
	return *count | first ? __sync_lock_test_and_set(count, first) : 0;
}

static __always_inline void cf_flow_take(struct cf_flow *flow, struct cf_flow_ended *ended, const struct cf_flow *fresh,
					 uint32_t close_reason, uint32_t stat)
{
	ended->kind = CF_KIND_CLOSED;
	ended->close_reason = close_reason;
	ended->stat = stat;
	__builtin_memcpy(&ended->flow, flow, sizeof(ended->flow));
	CF_UNROLL
	for (int i = 0; i < 2; i++) {
		ended->flow.packets[i] = cf_flow_swap(&flow->packets[i], fresh->packets[i]);
		ended->flow.bytes[i] = cf_flow_swap(&flow->bytes[i], fresh->bytes[i]);
	}
}

/* Into a way that was free nobody else counts. In another's place the counts are there already. */
static __always_inline void cf_flow_put(struct cf_flow *flow, const struct cf_flow *fresh, int was_free)
{
	__builtin_memcpy(&flow->key, &fresh->key, offsetof(struct cf_flow, packets));
	if (was_free)
		__builtin_memcpy(flow->packets, fresh->packets, sizeof(flow->packets) + sizeof(flow->bytes));
	__builtin_memcpy(flow->tcp_flags, fresh->tcp_flags, sizeof(*flow) - offsetof(struct cf_flow, tcp_flags));
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

/* In the set's lock. `fresh` is complete but for CF_EVENT_REOPENED. */
static __always_inline int cf_flow_replace(struct cf_flow_tags *tags, CF_FLOW_SET *set, uint32_t tag,
					   struct cf_flow *fresh, struct cf_flow_ended *ended, struct cf_flow **entry)
{
	uint32_t way = cf_flow_find_way(tags, set, tag, &fresh->key), held, reason;
	int is_reuse = way < CF_FLOW_WAYS;
	struct cf_flow *flow;

	/* Most sets never overflow, and need not have that line fetched from memory. */
	if (tags->lock & CF_SET_EVICTED) {
		cf_flow_expect_next(set, tags->lock >> CF_SET_NEXT);
		cf_bloom_age(set, fresh->first_seen_ns);
		if (cf_bloom_has(set, tag))
			fresh->flags |= CF_EVENT_REOPENED;
	}
	if (!is_reuse)
		way = cf_flow_choose(tags, set, tag, fresh->first_seen_ns);
	if (way >= CF_FLOW_WAYS)
		return CF_STAT_FLOW_FULL;
	flow = CF_FLOW_OF(set, way);
	*entry = flow;
	if (is_reuse && !cf_flow_is_reuse(flow, fresh->tcp_flags[fresh->origin & 1]))
		return CF_STAT_FLOW_HIT;
	held = *(volatile uint32_t *)&tags->tag[way];
	if (held != CF_TAG_FREE) { /* a free one is given away in the set's lock only */
		/* The sweeper may have been faster. */
		if (held == CF_TAG_CLOSING ||
		    __sync_val_compare_and_swap(&tags->tag[way], held, CF_TAG_CLAIMED) != held)
			return CF_STAT_FLOW_FULL;
		reason = cf_flow_finish(flow);
		if (!is_reuse && !reason)
			reason = CF_CLOSE_EVICTED;
		else if (!reason) /* a FIN of one end was answered by nothing but the other's new beginning */
			reason = CF_CLOSE_FIN;
		cf_flow_take(flow, ended, fresh, reason, is_reuse ? CF_STAT_FLOW_REUSED : CF_STAT_FLOW_EVICTED);
	}
	if (held != CF_TAG_FREE && !is_reuse) {
		cf_bloom_put(set, held, fresh->first_seen_ns);
		tags->lock = CF_SET_LOCKED | CF_SET_EVICTED | (way + 1) << CF_SET_NEXT;
	}
	cf_flow_put(flow, fresh, held == CF_TAG_FREE);
	set->age[way] = cf_flow_age(fresh);
	cf_store_release(&tags->tag[way], tag);
	return CF_STAT_FLOW_NEW;
}

/* A packet that has no entry, or begins a new connection in one. `fresh`: what its entry is to be, its origin being the
 * packet's direction. Returns
 * CF_STAT_FLOW_HIT, when somebody else was faster: count it into *entry; NEW: it is in the table, and fresh->flags say
 * whether it may have been there before; or FULL. */
static __always_inline int cf_flow_insert(struct cf_flow_tags *tags, CF_FLOW_SET *set, uint32_t tag,
					  struct cf_flow *fresh, struct cf_flow_ended *ended, struct cf_flow **entry)
{
	uint32_t way;
	int result;

	ended->kind = 0;
	if (!cf_flow_lock(tags)) {
		way = cf_flow_find(tags, set, tag, &fresh->key); /* the holder's flow may be ours */
		if (way >= CF_FLOW_WAYS || cf_flow_is_reuse(CF_FLOW_OF(set, way), fresh->tcp_flags[fresh->origin & 1]))
			return CF_STAT_FLOW_FULL;
		*entry = CF_FLOW_OF(set, way);
		return CF_STAT_FLOW_HIT;
	}
	result = cf_flow_replace(tags, set, tag, fresh, ended, entry);
	cf_flow_unlock(tags);
	return result;
}
#endif
