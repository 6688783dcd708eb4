// SPDX-License-Identifier: GPL-2.0-only
/*
 * What scripts/bench compares by BPF_PROG_TEST_RUN: the tc program itself, on packets that are another flow each time,
 * and bare look-ups and insertions in an LRU_HASH map, with counters and a clock, that parse nothing. Includes the
 * product's own text, so that what is measured is what is attached.
 */
#include "../cellflow.bpf.c"

enum {
	SPREAD = 65536, /* flows that are known, in turn: more than the caches of a small machine hold */
	LRU_ENTRIES = CF_FLOW_SETS * CF_FLOW_WAYS,
	SOURCE_AT = ETH_HLEN + offsetof(struct iphdr, saddr),
};

struct lru_key {
	__u8 addr[2][16];
	__u16 port[2];
	__u32 rest;
};

struct lru_value {
	__u64 packets;
	__u64 bytes;
	__u64 first_seen_ns;
	__u64 last_seen_ns;
};

#define LRU_MAP(name)                                                                                                  \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                                                   \
		__uint(max_entries, LRU_ENTRIES);                                                                      \
		__type(key, struct lru_key);                                                                           \
		__type(value, struct lru_value);                                                                       \
	} name SEC(".maps")

LRU_MAP(LRU); /* the one that insertions fill */
LRU_MAP(LRU_KNOWN); /* the one that hits read */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} LRU_EVENTS SEC(".maps");

__u32 bench_number;

/* Another source address: the packet is the caller's own, nothing of it is checked again. */
static __always_inline int bench_address(struct __sk_buff *skb, __u32 number)
{
	void *data = (void *)(long)skb->data;

	if (data + SOURCE_AT + 4 > (void *)(long)skb->data_end)
		return 0;
	*(__u32 *)(data + SOURCE_AT) = bpf_htonl(0x0a000000 + number);
	return 1;
}

static __always_inline struct lru_key bench_key(__u32 number)
{
	struct lru_key key = {};

	__builtin_memcpy(key.addr[0], &number, sizeof(number));
	key.port[0] = 443;
	key.rest = IPPROTO_TCP;
	return key;
}

static __always_inline void bench_lru(__u32 len, void *map, struct lru_key *key, __u64 now)
{
	struct lru_value *value = bpf_map_lookup_elem(map, key), fresh = { 1, len, now, now };

	if (!value) {
		bpf_map_update_elem(map, key, &fresh, BPF_NOEXIST);
		return;
	}
	__sync_fetch_and_add(&value->packets, 1);
	__sync_fetch_and_add(&value->bytes, len);
	value->last_seen_ns = now;
}

SEC("tc")
int bench_empty(struct __sk_buff *skb)
{
	(void)skb;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int bench_empty_next(struct __sk_buff *skb)
{
	bench_address(skb, bench_number++);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int bench_new(struct __sk_buff *skb)
{
	if (!bench_address(skb, bench_number++))
		return TC_ACT_SHOT;
	return cf_observe(skb, CF_FLOW_EGRESS);
}

SEC("tc")
int bench_spread(struct __sk_buff *skb)
{
	if (!bench_address(skb, bench_number++ % SPREAD))
		return TC_ACT_SHOT;
	return cf_observe(skb, CF_FLOW_EGRESS);
}

SEC("tc")
int bench_lru_hit(struct __sk_buff *skb)
{
	struct lru_key key = bench_key(7);

	bench_lru(skb->len, &LRU_KNOWN, &key, bpf_ktime_get_ns());
	return TC_ACT_UNSPEC;
}

SEC("tc")
int bench_lru_coarse(struct __sk_buff *skb)
{
	struct lru_key key = bench_key(7);

	bench_lru(skb->len, &LRU_KNOWN, &key, bpf_ktime_get_coarse_ns());
	return TC_ACT_UNSPEC;
}

SEC("tc")
int bench_lru_spread(struct __sk_buff *skb)
{
	__u32 number = bench_number++ % SPREAD;
	struct lru_key key = bench_key(number);

	bench_address(skb, number);
	bench_lru(skb->len, &LRU_KNOWN, &key, bpf_ktime_get_ns());
	return TC_ACT_UNSPEC;
}

SEC("tc")
int bench_lru_new(struct __sk_buff *skb)
{
	__u32 number = bench_number++;
	struct lru_key key = bench_key(number);

	bench_address(skb, number);
	bench_lru(skb->len, &LRU, &key, bpf_ktime_get_ns());
	return TC_ACT_UNSPEC;
}

/* With a record of the same length for each, as the built-in program makes one. */
SEC("tc")
int bench_lru_event(struct __sk_buff *skb)
{
	__u32 number = bench_number++;
	struct lru_key key = bench_key(number);
	struct cf_event *event;

	bench_address(skb, number);
	bench_lru(skb->len, &LRU, &key, bpf_ktime_get_ns());
	event = bpf_ringbuf_reserve(&LRU_EVENTS, CF_EVENT_RING_LEN, 0);
	if (!event)
		return TC_ACT_UNSPEC;
	__builtin_memset(event, 0, CF_EVENT_RING_LEN);
	__builtin_memcpy(event->src_addr, key.addr[0], sizeof(event->src_addr));
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return TC_ACT_UNSPEC;
}
