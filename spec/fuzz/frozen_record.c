/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a record of an operator's BPF object, in memory of exactly their length: an event that the rest of
 * cellflow can rely on, or a refusal that leaves the event as it was. The first 16 bytes are the clocks.
 */
#include <stdlib.h>
#include <string.h>
#include "error.h"
#include "event.h"
#include "own_record.h"

enum {
	SLOT = 11,
	UNTOUCHED = 0xee,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

static int is_filled(const void *bytes, size_t size, int with)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < size; i++)
		if (at[i] != with)
			return 0;
	return 1;
}

static void check_event(const struct cf_event *event, const struct cf_record_origin *origin)
{
	must(event->cell == SLOT && event->source == CF_SOURCE_EBPF && event->witnesses == 0);
	must(event->kind >= CF_KIND_OPENED && event->kind <= CF_KIND_LOGGED);
	must(event->hook <= CF_HOOK_NF_EGRESS);
	must(event->direction == CF_DIRECTION_EGRESS || event->direction == CF_DIRECTION_INGRESS);
	must(event->family == CF_FAMILY_IPV4 || event->family == CF_FAMILY_IPV6);
	must(event->verdict <= CF_VERDICT_DROP && event->close_reason <= CF_CLOSE_SHUTDOWN);
	must(event->kind == CF_KIND_CLOSED || event->close_reason == CF_CLOSE_NONE);
	must(event->flags < CF_EVENT_CONFLICT);
	must(!(event->flags & CF_EVENT_VLAN) || event->vlan < 4096);
	must(event->first_seen_ns <= event->last_seen_ns && event->last_seen_ns <= origin->now_ns);
	must(event->family == CF_FAMILY_IPV6 || is_filled(event->src_addr + 4, 12, 0));
	must(event->family == CF_FAMILY_IPV6 || is_filled(event->dst_addr + 4, 12, 0));
	must(is_filled(event->pad0, sizeof(event->pad0), 0) && is_filled(event->prefix, sizeof(event->prefix), 0));
}

static void try_decoder(int (*decode)(const void *, size_t, const struct cf_record_origin *, struct cf_event *,
				      struct cf_error *),
			const uint8_t *record, size_t size, const struct cf_record_origin *origin)
{
	struct cf_error error = { 0 };
	struct cf_event event;

	memset(&event, UNTOUCHED, sizeof(event));
	if (decode(record, size, origin, &event, &error) == 0) {
		check_event(&event, origin);
		return;
	}
	must(error.text[0] && !strchr(error.text, '\n'));
	must(is_filled(&event, sizeof(event), UNTOUCHED));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cf_record_origin origin = { .slot = SLOT, .direction = CF_DIRECTION_EGRESS, .hook = CF_HOOK_TC_EGRESS };
	uint8_t *record;

	if (size < 16)
		return 0;
	memcpy(&origin.now_ns, data, 8);
	memcpy(&origin.boot_offset_ns, data + 8, 8);
	size -= 16;
	record = malloc(size ? size : 1);
	must(record != NULL);
	memcpy(record, data + 16, size);
	try_decoder(cf_frozen_decode, record, size, &origin);
	try_decoder(cf_own_record_decode, record, size, &origin);
	free(record);
	return 0;
}
