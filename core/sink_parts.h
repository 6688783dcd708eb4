/* SPDX-License-Identifier: MIT
 *
 * What the two halves of an output share, writing (sink.c) and taking up after another writer (sink_recover.c). For
 * no one else.
 */
#ifndef CF_SINK_PARTS_H
#define CF_SINK_PARTS_H
#include "sink.h"

static inline uint64_t cf_sink_tail(const struct cf_sink *sink)
{
	return atomic_load_explicit(&sink->progress->tail, memory_order_relaxed);
}

/* Where that byte is, was or will be in the buffer; as many behind it as the buffer has are in a row. */
static inline uint8_t *cf_sink_at(const struct cf_sink *sink, uint64_t position)
{
	return sink->buffer + ((position - sink->progress->origin) & (CF_SINK_BUFFER_LEN - 1));
}

/* Line ends in the buffer's bytes from `from` to `to`; 0 when that cannot be a part of it. */
uint64_t cf_sink_lines(const struct cf_sink *sink, uint64_t from, uint64_t to);
/* Count the lines up to the tail as written, where that was not done yet. */
void cf_sink_count(struct cf_sink *sink);
/* Move the tail; what it passes over is not counted as written. */
void cf_sink_skip(struct cf_sink *sink, uint64_t tail);
/* Where in a regular file the next byte goes. */
uint64_t cf_sink_position(const struct cf_sink *sink);
#endif
