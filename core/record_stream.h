/* SPDX-License-Identifier: MIT
 *
 * The worker's end of a recording: frames of what it takes go into the record ring, shared memory in the layout of
 * host_ring.h whose data are frames in a row, without record headers. They are written behind what the recorder can see
 * and become visible when the batch that they are of is committed, so that each batch is recorded exactly once. Never
 * waits (that is loop.c's): what finds no room is counted, and told to the recording as soon as there is some. The
 * files are recorder.h's.
 */
#ifndef CF_RECORD_STREAM_H
#define CF_RECORD_STREAM_H
#include <stddef.h>
#include <stdint.h>
#include "host_ring.h"
#include "outcome.h"

enum {
	CF_RECORD_RING_BYTES = 16 << 20, /* data area; a power of two. About 120,000 events */
};

struct cf_meta;
struct cf_script_moment;

struct cf_record_stream {
	struct cf_host_producer producer; /* size 0: nothing is recorded, and all functions do nothing */
	uint8_t *announcement; /* frames of who decides from here on; owned */
	size_t announcement_len; /* 0: told */
	int64_t offset_ns; /* of the latest CLOCK */
	int has_offset;
	uint64_t woken; /* head when the recorder was woken last */
};

/* 0, or -1 with CF_FAIL_RING_OPEN. The eventfd stays the caller's. */
int cf_record_stream_open(struct cf_record_stream *stream, const struct cf_host_ring *ring, struct cf_error *error);
void cf_record_stream_close(struct cf_record_stream *stream); /* idempotent */

/* What this worker goes by: GENERATION and a CELL for each cell of the plan, before anything else of it. 0, or -1: no
 * memory, or texts too long for a frame. */
int cf_record_stream_announce(struct cf_record_stream *stream, const struct cf_meta *meta, const struct cf_plan *plan,
			      struct cf_error *error);

/* Within a transaction, before anything is decided. `now_ns`: the boot clock. */
void cf_record_stream_batch(struct cf_record_stream *stream, struct cf_outcome *next, uint64_t now_ns,
			    const struct cf_batch *batch);
void cf_record_stream_moment(struct cf_record_stream *stream, struct cf_outcome *next,
			     const struct cf_script_moment *moment);
/* 1: the next batch may find no room. *taken: how far the recorder has come. */
int cf_record_stream_is_crowded(const struct cf_record_stream *stream, const struct cf_outcome *done, uint64_t *taken);
/* Behind the commit, and when a worker takes over: let the recorder see what is committed. */
void cf_record_stream_publish(struct cf_record_stream *stream, const struct cf_outcome *done);
#endif
