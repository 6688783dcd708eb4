/* SPDX-License-Identifier: MIT
 * Consumer of an operator's ring: see own_ring.h. */
#include <string.h>
#include "clock.h"
#include "event.h"
#include "own_record.h"
#include "own_ring.h"

enum {
	SAMPLE_ERROR_NS = 1000000,
};

int cf_own_ring_open(struct cf_own_ring *own, int fd, int bell_fd, size_t size, const struct cf_record_origin *origin,
		     struct cf_error *error)
{
	uint64_t position;

	memset(own, 0, sizeof(*own));
	own->origin = *origin;
	own->origin.boot_offset_ns = cf_clock_boot_offset();
	if (cf_ring_open_slots(&own->ring, fd, bell_fd, size, error) < 0)
		return -1;
	/* The consumer's page is what an earlier reader left. From a position that cannot be, the object's records
	 * would never be found and its ring would be full for good. */
	position = cf_ring_position(&own->ring);
	if (cf_ring_used(&own->ring) > size || (bell_fd < 0 && position % 8 != 0))
		cf_ring_release(&own->ring, cf_ring_producer(&own->ring));
	return 0;
}

void cf_own_ring_close(struct cf_own_ring *own)
{
	cf_ring_close(&own->ring);
}

/* It changes when the host sleeps, which takes longer than that; keeping it, the same stamp is the same time each time.
 */
static void refresh_offset(struct cf_record_origin *origin)
{
	uint64_t offset = cf_clock_boot_offset();

	if (offset > origin->boot_offset_ns + SAMPLE_ERROR_NS || offset + SAMPLE_ERROR_NS < origin->boot_offset_ns)
		origin->boot_offset_ns = offset;
}

static void note_refusal(struct cf_own_ring *own, uint32_t len, const struct cf_error *why)
{
	own->refusal = *why;
	if (len == CF_EVENT_RING_LEN) {
		own->numbers.refused_content++;
		return;
	}
	own->numbers.refused_length++;
	own->refused_len = len;
}

/* 0: the record is done with, taken or refused. */
static int pass_on(struct cf_own_ring *own, const void *record, uint32_t len, cf_own_ring_fn *fn, void *context)
{
	struct cf_error why;
	struct cf_event event;

	/* After the record was seen, so that a time later than this is none of a packet. */
	own->origin.now_ns = cf_clock_boot_now();
	if (cf_own_record_decode(record, len, &own->origin, &event, &why) < 0) {
		note_refusal(own, len, &why);
		return 0;
	}
	if (len == CF_FROZEN_RECORD_LEN)
		event.seq = own->frozen + 1;
	if (fn(context, &event) < 0)
		return -1;
	if (len == CF_FROZEN_RECORD_LEN)
		own->frozen++;
	own->numbers.taken++;
	return 0;
}

uint32_t cf_own_ring_read(struct cf_own_ring *own, uint32_t max, cf_own_ring_fn *fn, void *context)
{
	uint64_t position = cf_ring_position(&own->ring);
	const void *record;
	uint32_t passed = 0;
	uint32_t len;

	refresh_offset(&own->origin);
	cf_ring_hear(&own->ring);
	while (passed < max && (record = cf_ring_next(&own->ring, &position, &len))) {
		if (pass_on(own, record, len, fn, context) < 0)
			return passed;
		cf_ring_release(&own->ring, position);
		passed++;
	}
	/* Discarded records at the end were passed too. */
	cf_ring_release(&own->ring, position);
	return passed;
}
