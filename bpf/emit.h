/* SPDX-License-Identifier: GPL-2.0-only
 *
 * A new flow to one ring record, and the decision whether to wake the reader for it. Counts what it attempts, submits
 * and loses; does not decide which packets deserve an event.
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

/* A function of its own, not inlined: new flows are rare, and by its signature the layout gets into the BTF. */
static __noinline void cf_event_fill(struct cf_event *event, struct __sk_buff *skb, const struct cf_packet *packet,
				     const struct cf_flow_key *key, __u32 source_end)
{
	__u32 source = source_end & 1;
	__u32 target = source ^ 1;
	int ports = packet->flags & CF_EVENT_PORTS;

	__builtin_memcpy(event->src_addr, key->addr[source], sizeof(event->src_addr));
	__builtin_memcpy(event->dst_addr, key->addr[target], sizeof(event->dst_addr));
	event->cell = key->cell;
	event->ifindex = skb->ifindex;
	event->mark = skb->mark;
	event->src_port = ports ? key->port[source] : 0;
	event->dst_port = ports ? key->port[target] : 0;
	event->icmp_id = packet->flags & CF_EVENT_ICMP_ID ? key->port[0] : 0;
	event->vlan = packet->vlan;
	event->flags = packet->flags;
	event->cpu = bpf_get_smp_processor_id();
	event->kind = CF_KIND_OPENED;
	event->source = CF_SOURCE_EBPF;
	event->family = key->family;
	event->protocol = key->protocol;
	event->tcp_flags = packet->tcp_flags;
	event->icmp_type = packet->icmp_type;
	event->icmp_code = packet->icmp_code;
	event->close_reason = CF_CLOSE_NONE;
	event->witnesses = 0;
	__builtin_memset(event->pad0, 0, sizeof(event->pad0));
}

static __always_inline void cf_event_emit(struct __sk_buff *skb, struct cf_stats *stats, const struct cf_packet *packet,
					  const struct cf_flow_key *key, const struct cf_load *load, int hook,
					  int direction, __u8 source_end)
{
	__u64 seq = ++stats->n[CF_STAT_EVENT_ATTEMPTED];
	/* A copy: a pointer to the caller's would keep that one out of registers, and offsets that were in memory
	 * have lost the bounds that the verifier asks for. */
	struct cf_packet facts = *packet;
	struct cf_event *event;

	event = bpf_ringbuf_reserve(&FLOW_EVENTS, CF_EVENT_RING_LEN, 0);
	if (!event) {
		stats->n[CF_STAT_RING_FULL]++;
		return;
	}
	event->first_seen_ns = load->now;
	event->last_seen_ns = load->now;
	event->packets = load->packets;
	event->bytes = load->bytes;
	event->reply_packets = 0;
	event->reply_bytes = 0;
	event->seq = seq;
	/* On its way out a packet comes here after the cell's netfilter, on its way in before it. */
	event->hook = hook == CF_FLOW_EGRESS ? CF_HOOK_TC_EGRESS : CF_HOOK_TC_INGRESS;
	event->direction = direction == CF_FLOW_EGRESS ? CF_DIRECTION_EGRESS : CF_DIRECTION_INGRESS;
	event->verdict = direction == CF_FLOW_EGRESS ? CF_VERDICT_ACCEPT : CF_VERDICT_UNKNOWN;
	cf_event_fill(event, skb, &facts, key, source_end);
	stats->n[CF_STAT_EVENT_SUBMITTED]++;
	bpf_ringbuf_submit(event, cf_wake_flag(stats, load->now));
}
#endif
