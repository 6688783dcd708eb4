/* SPDX-License-Identifier: MIT
 * Writing frames: see frame.h. Reading them is frame_read.c. */
#include <string.h>
#include "frame.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a recording is little-endian, and written as memory is");
_Static_assert(sizeof(struct cf_frame_batch) + CF_BATCH_MAX / 8 + CF_BATCH_MAX * CF_EVENT_FULL_LEN ==
		       CF_FRAME_BATCH_MAX,
	       "frame.h says how long a BATCH frame may be");
_Static_assert(sizeof(struct cf_block_head) == 80 && sizeof(struct cf_frame_meta) == 40 &&
		       sizeof(struct cf_frame_cell) == 368 && sizeof(struct cf_frame_batch) == 24 &&
		       sizeof(struct cf_frame_moment) == 40 && sizeof(struct cf_frame_end) == 40,
	       "docs/recordings.md says so");
_Static_assert(sizeof(((struct cf_meta *)0)->texts) / sizeof(char *) == CF_META_TEXTS, "one for each name");
_Static_assert(sizeof(((struct cf_meta *)0)->args) / sizeof(char *) == 2 * CF_META_ARGS_MAX + 1, "and a NULL");

/* Where the next bytes go. Once something did not fit, `out` is NULL. */
struct space {
	uint8_t *out;
	size_t left;
	size_t used;
};

static void *take(struct space *space, size_t len)
{
	uint8_t *at = space->out;

	if (!at || len > space->left) {
		space->out = NULL;
		return NULL;
	}
	space->out += len;
	space->left -= len;
	space->used += len;
	return memset(at, 0, len);
}

/* The frame begins at `out`, and its head is only right once its length is known. */
static void *begin(struct space *space, void *out, size_t size, uint32_t type, size_t len)
{
	struct cf_frame_head *head;

	*space = (struct space){ .out = out, .left = size < CF_FRAME_MAX ? size : CF_FRAME_MAX };
	head = take(space, len);
	if (head) {
		head->len = (uint32_t)len;
		head->type = (uint16_t)type;
	}
	return head;
}

static size_t padded(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

static size_t end(const struct space *space, void *out)
{
	if (!space->out)
		return 0;
	((struct cf_frame_head *)out)->len = (uint32_t)space->used;
	return space->used;
}

/* `second` NULL: one text. */
static uint32_t put_text(struct space *space, uint32_t name, const char *text, const char *second)
{
	size_t len = strlen(text) + 1, second_len = second ? strlen(second) + 1 : 0;
	struct cf_meta_text *head;

	if (len > CF_FRAME_MAX || second_len > CF_FRAME_MAX) {
		space->out = NULL;
		return 0;
	}
	head = take(space, sizeof(*head) + padded(len + second_len));
	if (!head)
		return 0;
	head->len = (uint32_t)(len + second_len);
	head->name = (uint16_t)name;
	memcpy(head + 1, text, len);
	if (second)
		memcpy((char *)(head + 1) + len, second, second_len);
	return 1;
}

size_t cf_frame_put_meta(void *out, size_t size, uint32_t type, const struct cf_meta *meta)
{
	struct space space;
	struct cf_frame_meta *frame = begin(&space, out, size, type, sizeof(*frame));
	uint32_t count = 0;

	if (!frame || (type != CF_FRAME_META && type != CF_FRAME_GENERATION))
		return 0;
	for (uint32_t i = 1; i < CF_META_TEXTS; i++)
		if (meta->texts[i] && meta->texts[i][0])
			count += put_text(&space, i, meta->texts[i], NULL);
	for (uint32_t i = 0; i < CF_META_ARGS_MAX && meta->args[2 * i]; i++)
		count += put_text(&space, CF_META_ARG, meta->args[2 * i], meta->args[2 * i + 1]);
	frame->now_ns = meta->now_ns;
	frame->recording = meta->recording;
	frame->generation = meta->generation;
	frame->part = meta->part;
	frame->text_count = count;
	return end(&space, out);
}

static int copy_text(char *to, const char *from, size_t size)
{
	size_t len = strnlen(from, size);

	if (len == size)
		return -1;
	memcpy(to, from, len);
	return 0;
}

size_t cf_frame_put_cell(void *out, size_t size, uint32_t index, const struct cf_plan_cell *cell)
{
	struct space space;
	struct cf_frame_cell *frame = begin(&space, out, size, CF_FRAME_CELL, sizeof(*frame));

	if (!frame || index >= CF_CELLS_MAX || copy_text(frame->name, cell->name, sizeof(frame->name)) < 0 ||
	    copy_text(frame->interface, cell->interface, sizeof(frame->interface)) < 0 ||
	    copy_text(frame->run_id, cell->run_id, sizeof(frame->run_id)) < 0)
		return 0;
	frame->index = index;
	frame->sources = cell->sources;
	frame->hooks = cell->hooks;
	frame->stand = cell->stand;
	frame->events = cell->events;
	return end(&space, out);
}

size_t cf_frame_put_clock(void *out, size_t size, uint64_t now_ns, int64_t offset_ns)
{
	struct space space;
	struct cf_frame_clock *frame = begin(&space, out, size, CF_FRAME_CLOCK, sizeof(*frame));

	if (!frame)
		return 0;
	frame->now_ns = now_ns;
	frame->offset_ns = offset_ns;
	return end(&space, out);
}

size_t cf_frame_batch_lead(uint32_t count)
{
	return sizeof(struct cf_frame_batch) + (count + 63) / 64 * 8;
}

/* Not by take(): this one is in the way of events, and clears nothing that it then writes. */
size_t cf_frame_put_batch(void *out, size_t size, uint64_t now_ns, const struct cf_batch *batch)
{
	uint32_t count = batch->count;
	size_t len = cf_frame_batch_lead(count);
	struct cf_frame_batch *frame = out;
	uint64_t *prefixed = (uint64_t *)(frame + 1);
	uint8_t *at = (uint8_t *)out + len;

	if (count == 0 || count > CF_BATCH_MAX)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		len += batch->events[i].prefix[0] ? CF_EVENT_FULL_LEN : CF_EVENT_RING_LEN;
	if (len > size)
		return 0;
	*frame = (struct cf_frame_batch){ { (uint32_t)len, CF_FRAME_BATCH, 0 }, now_ns, count, 0 };
	memset(prefixed, 0, cf_frame_batch_lead(count) - sizeof(*frame));
	for (uint32_t i = 0; i < count; i++) {
		memcpy(at, &batch->events[i], CF_EVENT_RING_LEN);
		at += CF_EVENT_RING_LEN;
		if (!batch->events[i].prefix[0])
			continue;
		prefixed[i / 64] |= UINT64_C(1) << i % 64;
		memcpy(at, batch->events[i].prefix, CF_EVENT_PREFIX_LEN);
		at += CF_EVENT_PREFIX_LEN;
	}
	return len;
}

size_t cf_frame_put_moment(void *out, size_t size, uint64_t now_ns, uint32_t moment, uint64_t lost, uint64_t lost_total)
{
	struct space space;
	struct cf_frame_moment *frame = begin(&space, out, size, CF_FRAME_MOMENT, sizeof(*frame));

	if (!frame)
		return 0;
	frame->now_ns = now_ns;
	frame->lost = lost;
	frame->lost_total = lost_total;
	frame->moment = moment;
	return end(&space, out);
}

size_t cf_frame_put_loss(void *out, size_t size, uint64_t now_ns, const struct cf_loss *losses, uint32_t count)
{
	struct space space;
	struct cf_frame_loss *frame = begin(&space, out, size, CF_FRAME_LOSS, sizeof(*frame));
	void *at;

	if (!frame || count == 0 || count > CF_LOSS_MAX)
		return 0;
	frame->now_ns = now_ns;
	frame->count = count;
	at = take(&space, count * sizeof(*losses));
	if (at)
		memcpy(at, losses, count * sizeof(*losses));
	return end(&space, out);
}

size_t cf_frame_put_end(void *out, size_t size, uint64_t now_ns, uint64_t batches, uint64_t events, uint32_t continues)
{
	struct space space;
	struct cf_frame_end *frame = begin(&space, out, size, CF_FRAME_END, sizeof(*frame));

	if (!frame)
		return 0;
	frame->now_ns = now_ns;
	frame->batches = batches;
	frame->events = events;
	frame->continues = continues;
	return end(&space, out);
}
