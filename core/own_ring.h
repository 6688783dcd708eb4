/* SPDX-License-Identifier: MIT
 *
 * Consumer of the ring that an operator's BPF object has for itself: its records, as events, one after the other to
 * whoever takes them. A record is given back to the object only when its event was taken, so a reader that dies repeats
 * at most one. When to look, and where events go, is left to the caller.
 */
#ifndef CF_OWN_RING_H
#define CF_OWN_RING_H
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "frozen_record.h"
#include "ring.h"

/* 0: taken (the event is the callee's only during the call); -1: no room now, offer it again at a later read. */
typedef int cf_own_ring_fn(void *context, const struct cf_event *event);

struct cf_own_ring_numbers {
	uint64_t taken;
	uint64_t refused_length; /* records of a length that no layout has */
	uint64_t refused_content; /* of an event's length, with a value that does not exist */
};

struct cf_own_ring {
	struct cf_ring ring;
	struct cf_record_origin origin; /* its times are of the latest read */
	struct cf_own_ring_numbers numbers;
	uint64_t frozen; /* seq of the latest event made of a frozen record, which has none of its own */
	uint32_t refused_len; /* of the latest record refused for its length */
	struct cf_error refusal; /* the latest one, for the log; text empty: none yet */
};

/* Map the ring, as cf_ring_open_slots does. `origin` is copied; its times are not asked. The caller keeps `fd`
 * open or the bell while the ring is in use: it polls readable when the object wakes its reader. -1 with
 * CF_FAIL_RING_OPEN. */
int cf_own_ring_open(struct cf_own_ring *own, int fd, int bell_fd, size_t size, const struct cf_record_origin *origin,
		     struct cf_error *error);
void cf_own_ring_close(struct cf_own_ring *own); /* idempotent after a cf_own_ring_open; numbers stay */

/* Give up to `max` records to `fn`, in order. Never blocks. Returns how many left the ring, refused ones included: less
 * than `max` when there are no more or `fn` had no room. */
uint32_t cf_own_ring_read(struct cf_own_ring *own, uint32_t max, cf_own_ring_fn *fn, void *context);
#endif
