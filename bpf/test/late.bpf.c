/* SPDX-License-Identifier: GPL-2.0-only
 *
 * For specs: every packet is a new flow whose clock was read long before its event, as where the CPU was taken away in
 * between. */
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "event.h"
#include "flow.h"
#include "../maps.h"
#include "../parse.h"
#include "../flow_event.h"
#include "../emit.h"

enum { LATE_INTERVALS = 10 };

static __always_inline int emit_late(struct __sk_buff *skb, int direction)
{
	struct cf_flow flow = { .events = cf_config.events, .origin = direction };
	struct cf_stats *stats;
	__u32 zero = 0;
	__u64 now;

	flow.key.cell = cf_config.cell;
	flow.bytes[0] = skb->len;
	stats = bpf_map_lookup_elem(&STATS, &zero);
	if (!stats || !bpf_map_lookup_elem(&FLOWS, &zero))
		return TC_ACT_UNSPEC;
	now = bpf_ktime_get_boot_ns() - LATE_INTERVALS * cf_config.wake_interval_ns;
	cf_event_emit(stats, &flow, CF_KIND_OPENED, CF_CLOSE_NONE, now);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int cellflow_egress(struct __sk_buff *skb)
{
	return emit_late(skb, CF_FLOW_EGRESS);
}

SEC("tc")
int cellflow_ingress(struct __sk_buff *skb)
{
	return emit_late(skb, CF_FLOW_INGRESS);
}

char LICENSE[] SEC("license") = "GPL";
