/* SPDX-License-Identifier: MIT
 * The frozen record to an event: see frozen_record.h. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include "error.h"
#include "event.h"
#include "frozen_record.h"

_Static_assert(sizeof(struct cf_frozen_record) == CF_FROZEN_RECORD_LEN &&
		       offsetof(struct cf_frozen_record, proto) == 12 &&
		       offsetof(struct cf_frozen_record, pkt_count) == 16 &&
		       offsetof(struct cf_frozen_record, first_seen_ns) == 24 &&
		       offsetof(struct cf_frozen_record, verdict) == 32,
	       "the layout is frozen");

static int has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
	       protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP;
}

static void put_address(uint8_t *out, uint32_t host_order)
{
	uint32_t address = htonl(host_order);

	memcpy(out, &address, sizeof(address));
}

/* A stamp of the future would stop every window of a policy until then. Compared on the record's clock, where nothing
 * can overflow. */
static uint64_t boot_time(uint64_t monotonic_ns, const struct cf_record_origin *origin)
{
	if (monotonic_ns == 0 || origin->now_ns < origin->boot_offset_ns ||
	    monotonic_ns > origin->now_ns - origin->boot_offset_ns)
		return origin->now_ns;
	return monotonic_ns + origin->boot_offset_ns;
}

int cf_frozen_decode(const void *record, size_t len, const struct cf_record_origin *origin, struct cf_event *out,
		     struct cf_error *error)
{
	struct cf_frozen_record from;

	if (len != CF_FROZEN_RECORD_LEN)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "a flow record of %zu bytes, expected %d", len,
			       CF_FROZEN_RECORD_LEN);
	memcpy(&from, record, sizeof(from));
	memset(out, 0, sizeof(*out));
	out->first_seen_ns = boot_time(from.first_seen_ns, origin);
	out->last_seen_ns = out->first_seen_ns;
	out->packets = from.pkt_count;
	put_address(out->src_addr, from.src_ip);
	put_address(out->dst_addr, from.dst_ip);
	out->cell = origin->slot;
	out->ifindex = origin->ifindex;
	if (has_ports(from.proto)) {
		out->flags = CF_EVENT_PORTS;
		out->src_port = from.src_port;
		out->dst_port = from.dst_port;
	}
	out->kind = CF_KIND_OPENED;
	out->source = CF_SOURCE_EBPF;
	out->hook = (uint8_t)origin->hook;
	out->direction = (uint8_t)origin->direction;
	out->family = CF_FAMILY_IPV4;
	out->protocol = from.proto;
	out->verdict = from.verdict <= CF_VERDICT_DROP ? from.verdict : CF_VERDICT_UNKNOWN;
	return 0;
}
