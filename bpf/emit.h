/* SPDX-License-Identifier: GPL-2.0-only
 *
 * A flow to one slot of the ring, and the decision whether to wake the reader for it. Counts what it attempts, submits
 * and loses; does not decide when a flow deserves an event.
 */
#ifndef CF_BPF_EMIT_H
#define CF_BPF_EMIT_H

_Static_assert(offsetof(struct cf_event, prefix) == sizeof(((struct cf_slot *)0)->event),
	       "a slot has the event but its prefix");

/* Signed: another CPU may have stored a time that is later than ours. */
static __always_inline int cf_wake_is_recent(const struct cf_wake *wake, __u64 now)
{
	return (__s64)(now - wake->last_ns) < (__s64)cf_config.wake_interval_ns;
}

/* Waking a sleeping reader costs the sender 50 times what the event does. A reader that wakes must linger for two
 * intervals before it sleeps again, else the events submitted within the interval wait for the next flow.
 * `now` is the packet's time, and the CPU may have been taken away since: the reader may have gone to sleep meanwhile,
 * so it must look again by itself now and then, however quiet it is. Another look at the clock would cost a third of
 * what the event does. */
static __always_inline void cf_event_wake(struct cf_stats *stats, __u64 now)
{
	struct cf_wake *wake;
	__u64 bell = 0;
	__u32 zero = 0;

	wake = bpf_map_lookup_elem(&WAKE, &zero);
	/* 0: nobody was ever woken, and the host may have booted less than an interval ago. */
	if (wake && wake->last_ns && cf_wake_is_recent(wake, now))
		return;
	if (wake)
		wake->last_ns = now;
	stats->n[CF_STAT_WAKEUPS]++;
	/* Without room there the reader was woken often enough, and did not come. */
	bpf_ringbuf_output(&FLOW_BELL, &bell, sizeof(bell), BPF_RB_FORCE_WAKEUP);
}

/* A number that is ours; 0: the ring is full. All CPUs together may be ahead of the limit by one event each, for which
 * slot_limit leaves room. */
static __always_inline __u64 cf_event_draw(void)
{
	__u32 produced_at = CF_SLOT_PRODUCER, consumed_at = CF_SLOT_CONSUMER;
	struct cf_slot *produced = bpf_map_lookup_elem(&FLOW_EVENTS, &produced_at);
	const struct cf_slot *consumed = bpf_map_lookup_elem(&FLOW_EVENTS, &consumed_at);
	__u64 number = 0, waiting;

	if (!produced || !consumed)
		return 0;
	waiting = *(volatile __u64 *)&produced->number - *(const volatile __u64 *)&consumed->number;
	if (waiting < cf_config.slot_limit)
		number = __sync_fetch_and_add(&produced->number, 1) + 1;
	return cf_forget(number, waiting);
}

static __always_inline struct cf_slot *cf_event_slot(__u64 number)
{
	__u32 index = CF_SLOT_FIRST + ((number - 1) & cf_config.slot_mask);

	return number ? bpf_map_lookup_elem(&FLOW_EVENTS, &index) : NULL;
}

static __always_inline void cf_slot_publish(struct cf_slot *slot, __u64 number)
{
#ifdef CF_STORES_IN_ORDER
	asm volatile("" ::: "memory");
	*(volatile __u64 *)&slot->number = number;
#else
	__sync_lock_test_and_set(&slot->number, number);
#endif
}

/* Nothing came of it: the reader passes over the slot. */
static __always_inline void cf_event_leave(__u64 number)
{
	struct cf_slot *slot = cf_event_slot(number);

	if (slot)
		cf_slot_publish(slot, number | CF_SLOT_EMPTY);
}

/* A function of its own, not inlined: by its signature the layout gets into the BTF, and ends are told rarely enough.
 */
static __noinline int cf_event_fill(struct cf_event *event, const struct cf_flow *flow, __u32 kind, __u32 close_reason)
{
	cf_flow_tell(flow, kind, close_reason, event);
	return 0;
}

/* A flow that makes room may be of another cell of the same table: what that one asked for is in the entry, and its
 * own programs number its events, so it gets no number here. */
static __always_inline void cf_event_put(struct cf_stats *stats, __u64 number, const struct cf_flow *flow, __u32 kind,
					 __u32 close_reason, __u64 now)
{
	struct cf_slot *slot = cf_event_slot(number);
	struct cf_event *event;
	__u64 seq = 0;

	stats->n[CF_STAT_EVENT_ATTEMPTED]++;
	if (flow->key.cell == cf_config.cell)
		seq = ++stats->seq;
	if (!slot) {
		stats->n[CF_STAT_RING_FULL]++;
		return;
	}
	event = (struct cf_event *)slot->event;
	if (kind == CF_KIND_OPENED)
		cf_flow_tell(flow, kind, close_reason, event);
	else
		cf_event_fill(event, flow, kind, close_reason);
	event->cpu = bpf_get_smp_processor_id();
	event->seq = seq;
	stats->n[CF_STAT_EVENT_SUBMITTED]++;
	cf_slot_publish(slot, number);
	cf_event_wake(stats, now);
}

/* One event from first to last, if the flow's cell asks for its kind. */
static __always_inline void cf_event_emit(struct cf_stats *stats, const struct cf_flow *flow, __u32 kind,
					  __u32 close_reason, __u64 now)
{
	if (!(flow->events & 1 << kind)) {
		stats->n[CF_STAT_EVENT_UNWANTED]++;
		return;
	}
	cf_event_put(stats, cf_event_draw(), flow, kind, close_reason, now);
}
#endif
