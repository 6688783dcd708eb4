/* SPDX-License-Identifier: MIT
 * Frames into the record ring: see record_stream.h. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "frame.h"
#include "record_stream.h"
#include "script.h"

enum {
	RESERVE =
		65536, /* bytes that batches leave free: timers and the like are small, and nothing makes up for them */
	WAKE_PART =
		8, /* of the ring: when that much was put in, the recorder has to be woken; else it looks by itself */
};

/* Where the next frames of a transaction go. */
struct space {
	uint8_t *at;
	size_t left;
	size_t used;
};

int cf_record_stream_open(struct cf_record_stream *stream, const struct cf_host_ring *ring, struct cf_error *error)
{
	memset(stream, 0, sizeof(*stream));
	return cf_host_producer_open(&stream->producer, ring, error);
}

void cf_record_stream_close(struct cf_record_stream *stream)
{
	if (stream->producer.size > 0)
		cf_host_producer_close(&stream->producer);
	free(stream->announcement);
	memset(stream, 0, sizeof(*stream));
}

int cf_record_stream_announce(struct cf_record_stream *stream, const struct cf_meta *meta, const struct cf_plan *plan,
			      struct cf_error *error)
{
	size_t size = CF_FRAME_MAX + plan->cell_count * sizeof(struct cf_frame_cell), len;

	if (stream->producer.size == 0)
		return 0;
	free(stream->announcement);
	stream->announcement = malloc(size);
	if (!stream->announcement)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory to record with");
	len = cf_frame_put_meta(stream->announcement, CF_FRAME_MAX, CF_FRAME_GENERATION, meta);
	if (len == 0)
		return cf_fail(error, CF_FAIL_OUTPUT, 0,
			       "the texts of the policy and its arguments are too long for a recording");
	for (uint32_t i = 0; i < plan->cell_count; i++)
		len += cf_frame_put_cell(stream->announcement + len, size - len, i, &plan->cells[i]);
	stream->announcement_len = len;
	return 0;
}

static _Atomic unsigned long *position(uint8_t *page)
{
	return (_Atomic unsigned long *)(void *)page;
}

static size_t room(const struct cf_host_producer *producer, uint64_t head)
{
	uint64_t used = head - atomic_load_explicit(position(producer->consumer_page), memory_order_acquire);

	/* The recorder's page may say anything: then nothing fits. */
	return used > producer->size ? 0 : producer->size - used;
}

int cf_record_stream_is_crowded(const struct cf_record_stream *stream, const struct cf_outcome *done, uint64_t *taken)
{
	const struct cf_host_producer *producer = &stream->producer;

	if (producer->size == 0)
		return 0;
	*taken = atomic_load_explicit(position(producer->consumer_page), memory_order_acquire);
	return room(producer, done->record_head) < RESERVE + CF_FRAME_MAX;
}

static void *take(struct space *space, size_t len)
{
	uint8_t *at = space->at;

	if (len == 0 || len > space->left)
		return NULL;
	space->at += len;
	space->left -= len;
	space->used += len;
	return at;
}

/* What has to stand before anything that is recorded now. 0, or -1: no room. */
static int begin(const struct cf_record_stream *stream, const struct cf_outcome *next, uint64_t now_ns, size_t reserve,
		 struct space *space)
{
	const struct cf_host_producer *producer = &stream->producer;
	struct cf_loss loss = { .lost = next->unrecorded - next->unrecorded_told,
				.what = CF_LOSS_UNRECORDED,
				.cell = CF_LOSS_OF_NO_CELL };
	size_t left = room(producer, next->record_head);
	int64_t offset_ns = cf_clock_offset();
	void *at;

	*space = (struct space){ .at = producer->producer_page + producer->page +
				       (next->record_head & (producer->size - 1)),
				 .left = left > reserve ? left - reserve : 0 };
	if (stream->announcement_len) {
		at = take(space, stream->announcement_len);
		if (!at)
			return -1;
		memcpy(at, stream->announcement, stream->announcement_len);
	}
	if (loss.lost && !take(space, cf_frame_put_loss(space->at, space->left, now_ns, &loss, 1)))
		return -1;
	if ((!stream->has_offset || stream->offset_ns != offset_ns) &&
	    !take(space, cf_frame_put_clock(space->at, space->left, now_ns, offset_ns)))
		return -1;
	return 0;
}

/* `len`: of the frame at space->at, 0: it did not fit. `events`: how many are missing then. */
static void end(struct cf_record_stream *stream, struct cf_outcome *next, struct space *space, size_t len,
		uint32_t events)
{
	if (len == 0) {
		next->unrecorded += events;
		return;
	}
	take(space, len);
	next->record_head += space->used;
	next->unrecorded_told = next->unrecorded;
	stream->announcement_len = 0;
	stream->offset_ns = cf_clock_offset();
	stream->has_offset = 1;
}

void cf_record_stream_batch(struct cf_record_stream *stream, struct cf_outcome *next, uint64_t now_ns,
			    const struct cf_batch *batch)
{
	struct space space;
	size_t len = 0;

	if (stream->producer.size == 0 || batch->count == 0)
		return;
	if (begin(stream, next, now_ns, RESERVE, &space) == 0)
		len = cf_frame_put_batch(space.at, space.left, now_ns, batch);
	end(stream, next, &space, len, batch->count);
	next->recorded += len ? batch->count : 0;
}

void cf_record_stream_moment(struct cf_record_stream *stream, struct cf_outcome *next,
			     const struct cf_script_moment *moment)
{
	struct space space;
	size_t len = 0;

	if (stream->producer.size == 0)
		return;
	if (begin(stream, next, moment->now_ns, 0, &space) == 0)
		len = cf_frame_put_moment(space.at, space.left, moment->now_ns, moment->moment, moment->lost,
					  moment->lost_total);
	end(stream, next, &space, len, 0);
}

void cf_record_stream_publish(struct cf_record_stream *stream, const struct cf_outcome *done)
{
	struct cf_host_producer *producer = &stream->producer;

	if (producer->size == 0)
		return;
	atomic_store_explicit(position(producer->producer_page), done->record_head, memory_order_release);
	if (done->record_head - stream->woken < producer->size / WAKE_PART)
		return;
	stream->woken = done->record_head;
	producer->is_due = 1;
	cf_host_ring_wake(producer);
}
