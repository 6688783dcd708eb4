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
#include "../flow_table.h"
#include "../emit.h"

enum { LATE_INTERVALS = 10 };

static __always_inline int emit_late(struct __sk_buff *skb, int direction)
{
	struct cf_flow_key key = { .cell = cf_config.cell };
	struct cf_packet packet = {};
	struct cf_load load = { .packets = 1, .bytes = skb->len };
	struct cf_stats *stats;
	struct cf_flow flow = {};
	__u32 zero = 0;

	stats = bpf_map_lookup_elem(&STATS, &zero);
	if (!stats)
		return TC_ACT_UNSPEC;
	load.now = bpf_ktime_get_boot_ns() - LATE_INTERVALS * cf_config.wake_interval_ns;
	bpf_map_update_elem(&FLOWS, &key, &flow, BPF_ANY);
	cf_event_emit(skb, stats, &packet, &key, &load, direction, direction, 0);
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
