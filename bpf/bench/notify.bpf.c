// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tc program as it would be with the kernel's ring buffer and its own way of waking the reader: every submit that
 * finds it asleep. Nothing else of it is changed. What scripts/bench compares our ring and rationed wake-ups with.
 */
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "event.h"
#include "flow.h"
#include "../maps.h"
#include "../flow_event.h"

#define CF_BPF_EMIT_H /* in place of ../emit.h: */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} NOTIFY_EVENTS SEC(".maps");

#pragma clang diagnostic ignored "-Wunused-parameter"

static __always_inline __u64 cf_event_draw(void)
{
	return 0;
}

static __always_inline void cf_event_leave(__u64 number)
{
}

static __always_inline void cf_event_put(struct cf_stats *stats, __u64 number, const struct cf_flow *flow, __u32 kind,
					 __u32 close_reason, __u64 now)
{
	struct cf_event *event = bpf_ringbuf_reserve(&NOTIFY_EVENTS, CF_EVENT_RING_LEN, 0);

	stats->n[CF_STAT_EVENT_ATTEMPTED]++;
	stats->seq++;
	if (!event) {
		stats->n[CF_STAT_RING_FULL]++;
		return;
	}
	cf_flow_tell(flow, kind, close_reason, event);
	event->cpu = bpf_get_smp_processor_id();
	event->seq = stats->seq;
	stats->n[CF_STAT_EVENT_SUBMITTED]++;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline void cf_event_emit(struct cf_stats *stats, const struct cf_flow *flow, __u32 kind,
					  __u32 close_reason, __u64 now)
{
	if (flow->events & 1 << kind)
		cf_event_put(stats, 0, flow, kind, close_reason, now);
	else
		stats->n[CF_STAT_EVENT_UNWANTED]++;
}

#include "../cellflow.bpf.c"
