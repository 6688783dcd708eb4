/* SPDX-License-Identifier: GPL-2.0-only
 *
 * A flow to one ring record, and the decision whether to wake the reader for it. Counts what it attempts, submits
 * and loses; does not decide when a flow deserves an event.
 */
#ifndef CF_BPF_EMIT_H
#define CF_BPF_EMIT_H

_Static_assert(offsetof(struct cf_event, prefix) == CF_EVENT_RING_LEN, "a ring record is the event but its prefix");

/* Signed: another CPU may have stored a time that is later than ours. */
static __always_inline int cf_wake_is_recent(const struct cf_wake *wake, __u64 now)
{
	return (__s64)(now - wake->last_ns) < (__s64)cf_config.wake_interval_ns;
}

/* Waking a sleeping reader costs the sender 50 times what the record does. A reader that wakes must linger for two
 * intervals before it sleeps again, else the records submitted within the interval wait for the next flow.
 * `now` is the packet's time, and the CPU may have been taken away since. To wake by it is safe; to keep silent by it
 * could leave the record with a reader that went to sleep meanwhile, so that takes the clock of this moment. */
static __always_inline __u64 cf_wake_flag(struct cf_stats *stats, __u64 now)
{
	struct cf_wake *wake;
	__u32 zero = 0;

	wake = bpf_map_lookup_elem(&WAKE, &zero);
	/* 0: nobody was ever woken, and the host may have booted less than an interval ago. */
	if (wake && wake->last_ns && cf_wake_is_recent(wake, now)) {
		now = bpf_ktime_get_boot_ns();
		if (cf_wake_is_recent(wake, now))
			return BPF_RB_NO_WAKEUP;
	}
	if (wake)
		wake->last_ns = now;
	stats->n[CF_STAT_WAKEUPS]++;
	return BPF_RB_FORCE_WAKEUP;
}

/* A function of its own, not inlined: by its signature the layout gets into the BTF. */
static __noinline int cf_event_fill(struct cf_event *event, const struct cf_flow *flow, __u32 kind, __u32 close_reason)
{
	cf_flow_tell(flow, kind, close_reason, event);
	event->cpu = bpf_get_smp_processor_id();
	return 0;
}

/* A flow that makes room may be of another cell of the same table: what that one asked for is in the entry, and its
 * own programs number its events, so it gets no number here. */
static __always_inline int cf_event_emit(struct cf_stats *stats, const struct cf_flow *flow, __u32 kind,
					 __u32 close_reason, __u64 now)
{
	struct cf_event *event;
	__u64 seq = 0;

	if (!(flow->events & 1 << kind)) {
		stats->n[CF_STAT_EVENT_UNWANTED]++;
		return 0;
	}
	stats->n[CF_STAT_EVENT_ATTEMPTED]++;
	if (flow->key.cell == cf_config.cell)
		seq = ++stats->seq;
	event = bpf_ringbuf_reserve(&FLOW_EVENTS, CF_EVENT_RING_LEN, 0);
	if (!event) {
		stats->n[CF_STAT_RING_FULL]++;
		return 0;
	}
	cf_event_fill(event, flow, kind, close_reason);
	event->seq = seq;
	stats->n[CF_STAT_EVENT_SUBMITTED]++;
	bpf_ringbuf_submit(event, cf_wake_flag(stats, now));
	return 0;
}
#endif
