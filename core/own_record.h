/* SPDX-License-Identifier: MIT
 *
 * What an operator's BPF object may put into its ring: frozen records of 40 bytes, or the ring part of struct cf_event
 * (128). Whatever such an object writes, the event that comes out is one that the rest of cellflow can rely on.
 * Where records come from is own_ring.h's.
 */
#ifndef CF_OWN_RECORD_H
#define CF_OWN_RECORD_H
#include <stddef.h>
#include "frozen_record.h"

/* Fill all of *out from a record of `len` bytes, which need not be aligned. Of an event's record, what cannot be (a
 * kind, direction, ... that does not exist) is refused with the field's name; cell and source are not asked; flags that
 * mean nothing, a time to come, and fields that have no place in that kind of event are taken away.
 * Returns 0, or -1 with CF_FAIL_INTERNAL and one line that names the length or the field, *out untouched. */
int cf_own_record_decode(const void *record, size_t len, const struct cf_record_origin *origin, struct cf_event *out,
			 struct cf_error *error);
#endif
