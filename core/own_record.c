/* SPDX-License-Identifier: MIT
 * Records of an operator's object to events: see own_record.h. */
#include <string.h>
#include "error.h"
#include "event.h"
#include "own_record.h"

enum {
	/* CONFLICT is the join's alone: an object sees one side only. */
	FLAGS_TAKEN = CF_EVENT_PORTS | CF_EVENT_ICMP | CF_EVENT_ICMP_ID | CF_EVENT_TCP | CF_EVENT_VLAN |
		      CF_EVENT_FRAGMENT | CF_EVENT_REOPENED | CF_EVENT_MIDSTREAM,
	VLAN_MAX = 4095,
};

static const struct {
	const char *name;
	size_t offset;
	uint8_t min, max;
} ranges[] = {
	{ "kind", offsetof(struct cf_event, kind), CF_KIND_OPENED, CF_KIND_LOGGED },
	{ "hook", offsetof(struct cf_event, hook), 0, CF_HOOK_NF_EGRESS },
	{ "direction", offsetof(struct cf_event, direction), CF_DIRECTION_EGRESS, CF_DIRECTION_INGRESS },
	{ "verdict", offsetof(struct cf_event, verdict), CF_VERDICT_UNKNOWN, CF_VERDICT_DROP },
	{ "close_reason", offsetof(struct cf_event, close_reason), CF_CLOSE_NONE, CF_CLOSE_SHUTDOWN },
};

static int refuse(const char *field, uint32_t value, struct cf_error *error)
{
	return cf_fail(error, CF_FAIL_INTERNAL, 0, "an event record with %s %u, which does not exist", field, value);
}

static int check(const struct cf_event *event, struct cf_error *error)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		uint8_t value = *((const uint8_t *)event + ranges[i].offset);

		if (value < ranges[i].min || value > ranges[i].max)
			return refuse(ranges[i].name, value, error);
	}
	if (event->family != CF_FAMILY_IPV4 && event->family != CF_FAMILY_IPV6)
		return refuse("family", event->family, error);
	if ((event->flags & CF_EVENT_VLAN) && event->vlan > VLAN_MAX)
		return refuse("vlan", event->vlan, error);
	return 0;
}

static void correct_times(struct cf_event *event, uint64_t now_ns)
{
	if (event->last_seen_ns == 0 || event->last_seen_ns > now_ns)
		event->last_seen_ns = now_ns;
	if (event->first_seen_ns == 0 || event->first_seen_ns > event->last_seen_ns)
		event->first_seen_ns = event->last_seen_ns;
}

static void correct(struct cf_event *event, const struct cf_record_origin *origin)
{
	correct_times(event, origin->now_ns);
	event->cell = origin->slot;
	event->source = CF_SOURCE_EBPF;
	event->witnesses = 0;
	event->flags &= FLAGS_TAKEN;
	memset(event->pad0, 0, sizeof(event->pad0));
	if (event->ifindex == 0)
		event->ifindex = origin->ifindex;
	if (event->family == CF_FAMILY_IPV4) {
		memset(event->src_addr + 4, 0, sizeof(event->src_addr) - 4);
		memset(event->dst_addr + 4, 0, sizeof(event->dst_addr) - 4);
	}
	if (event->kind != CF_KIND_CLOSED)
		event->close_reason = CF_CLOSE_NONE;
	if (event->kind != CF_KIND_CLOSED && event->kind != CF_KIND_UPDATED) {
		event->reply_packets = 0;
		event->reply_bytes = 0;
	}
}

int cf_own_record_decode(const void *record, size_t len, const struct cf_record_origin *origin, struct cf_event *out,
			 struct cf_error *error)
{
	struct cf_event event;

	if (len == CF_FROZEN_RECORD_LEN)
		return cf_frozen_decode(record, len, origin, out, error);
	if (len != CF_EVENT_RING_LEN)
		return cf_fail(error, CF_FAIL_INTERNAL, 0,
			       "a record of %zu bytes, expected %d (flow record) or %d (struct cf_event)", len,
			       CF_FROZEN_RECORD_LEN, CF_EVENT_RING_LEN);
	memset(&event, 0, sizeof(event));
	memcpy(&event, record, CF_EVENT_RING_LEN);
	if (check(&event, error) < 0)
		return -1;
	correct(&event, origin);
	*out = event;
	return 0;
}
