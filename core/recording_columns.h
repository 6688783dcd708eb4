/* SPDX-License-Identifier: MIT
 *
 * Events one after the other into columns, and out of them: column c holds byte c of the first CF_EVENT_RING_LEN bytes
 * of every event. Three fields are differences there, zigzag, so that small ones are small whatever their sign:
 * last_seen_ns from that of the event before (events come in its order); first_seen_ns from the event's own
 * last_seen_ns; seq from that of the event before in the same slot, which is one for each cell and CPU as long as there
 * are not too many of them. Used by recording_pack.c.
 */
#ifndef CF_RECORDING_COLUMNS_H
#define CF_RECORDING_COLUMNS_H
#include <stddef.h>
#include <stdint.h>
#include "event.h"

enum {
	CF_COLUMNS_ROWS = 64, /* turned at a time: a cache line of each column */
	CF_COLUMNS_SLOTS = 1024, /* of sequence numbers; part of the format */
};

/* To begin with all zero but `at` and `count`. Either put or get, `count` times. */
struct cf_columns {
	uint8_t *at; /* column c of event i is at[c * count + i] */
	size_t count;
	size_t done; /* events */
	uint64_t last_seen_ns; /* of the event before */
	uint64_t seq[CF_COLUMNS_SLOTS];
	uint8_t rows[CF_COLUMNS_ROWS][CF_EVENT_RING_LEN];
};

/* `event`: CF_EVENT_RING_LEN bytes, aligned or not. What was put is in the columns after the last one only. */
void cf_columns_put(struct cf_columns *columns, const uint8_t *event);
void cf_columns_get(struct cf_columns *columns, uint8_t *event);
#endif
