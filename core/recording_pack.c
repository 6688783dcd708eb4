/* SPDX-License-Identifier: MIT
 * Frames with the events in columns: see recording_pack.h.
 *
 * Packed: struct head; the frames without their events; the first 128 bytes of all events as columns
 * (recording_columns.h); their prefixes, whole. */
#include <string.h>
#include "frame.h"
#include "recording_columns.h"
#include "recording_pack.h"

struct head {
	uint32_t frames_len; /* bytes of frames without events */
	uint32_t events;
	uint32_t prefixes;
	uint32_t pad0;
};

_Static_assert(sizeof(struct head) == CF_PACK_HEAD, "recording_pack.h tells its length");

/* How much of each part the frames make. */
static void measure(const uint8_t *raw, size_t len, struct head *head)
{
	struct cf_frame frame;
	size_t at = 0;

	*head = (struct head){ 0 };
	while (cf_frame_next(raw, len, &at, &frame) > 0) {
		uint32_t count = cf_frame_events(&frame);

		head->events += count;
		for (uint32_t i = 0; i < count; i++)
			head->prefixes += (uint32_t)cf_frame_has_prefix(frame.bytes, i);
		head->frames_len += count ? (uint32_t)cf_frame_batch_lead(count) : frame.len;
	}
}

void cf_pack(const uint8_t *raw, size_t len, uint8_t *out)
{
	struct cf_columns columns = { 0 };
	uint8_t *frames = out + CF_PACK_HEAD, *prefixes;
	struct cf_frame frame;
	struct head head;
	size_t at = 0;

	measure(raw, len, &head);
	memcpy(out, &head, sizeof(head));
	columns.at = frames + head.frames_len;
	columns.count = head.events;
	prefixes = columns.at + columns.count * CF_EVENT_RING_LEN;
	while (cf_frame_next(raw, len, &at, &frame) > 0) {
		uint32_t count = cf_frame_events(&frame);
		size_t lead = count ? cf_frame_batch_lead(count) : frame.len;
		const uint8_t *event = frame.bytes + lead;

		memcpy(frames, frame.bytes, lead);
		frames += lead;
		for (uint32_t i = 0; i < count; i++) {
			cf_columns_put(&columns, event);
			event += CF_EVENT_RING_LEN;
			if (!cf_frame_has_prefix(frame.bytes, i))
				continue;
			memcpy(prefixes, event, CF_EVENT_PREFIX_LEN);
			prefixes += CF_EVENT_PREFIX_LEN;
			event += CF_EVENT_PREFIX_LEN;
		}
	}
}

/* What is left of each part while it is put together again. */
struct source {
	const uint8_t *frames, *prefixes;
	size_t frames_left, prefixes_left; /* bytes; pieces */
	struct cf_columns columns;
};

/* One frame, back at `out`, which has room for `left` bytes. Returns its length, or 0: these are no frames. */
static size_t get_frame(struct source *source, uint8_t *out, size_t left)
{
	struct cf_frame frame = { .bytes = source->frames };
	struct cf_frame_head head;
	size_t lead, prefixed = 0;
	uint32_t count = 0;

	if (source->frames_left < sizeof(head))
		return 0;
	memcpy(&head, source->frames, sizeof(head));
	frame.type = head.type;
	if (head.type == CF_FRAME_BATCH && source->frames_left < sizeof(struct cf_frame_batch))
		return 0;
	count = cf_frame_events(&frame);
	if (head.type == CF_FRAME_BATCH && (count == 0 || count > CF_BATCH_MAX))
		return 0;
	lead = count ? cf_frame_batch_lead(count) : head.len;
	if (lead < sizeof(head) || lead > source->frames_left || head.len > left)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		prefixed += (size_t)cf_frame_has_prefix(source->frames, i);
	if (count > source->columns.count - source->columns.done || prefixed > source->prefixes_left ||
	    head.len != lead + count * (size_t)CF_EVENT_RING_LEN + prefixed * CF_EVENT_PREFIX_LEN)
		return 0;
	memcpy(out, source->frames, lead);
	out += lead;
	for (uint32_t i = 0; i < count; i++) {
		cf_columns_get(&source->columns, out);
		out += CF_EVENT_RING_LEN;
		if (!cf_frame_has_prefix(source->frames, i))
			continue;
		memcpy(out, source->prefixes, CF_EVENT_PREFIX_LEN);
		source->prefixes += CF_EVENT_PREFIX_LEN;
		out += CF_EVENT_PREFIX_LEN;
	}
	source->prefixes_left -= prefixed;
	source->frames += lead;
	source->frames_left -= lead;
	return head.len;
}

int cf_unpack(const uint8_t *packed, size_t len, uint8_t *raw, size_t raw_len)
{
	struct source source = { 0 };
	struct head head;
	size_t done = 0, one;

	if (len < sizeof(head) || len - sizeof(head) != raw_len)
		return -1;
	memcpy(&head, packed, sizeof(head));
	if ((uint64_t)head.frames_len + (uint64_t)head.events * CF_EVENT_RING_LEN +
		    (uint64_t)head.prefixes * CF_EVENT_PREFIX_LEN !=
	    raw_len)
		return -1;
	source.frames = packed + sizeof(head);
	source.frames_left = head.frames_len;
	source.columns.at = (uint8_t *)packed + sizeof(head) + head.frames_len; /* is only read */
	source.columns.count = head.events;
	source.prefixes = source.columns.at + (size_t)head.events * CF_EVENT_RING_LEN;
	source.prefixes_left = head.prefixes;
	for (; done < raw_len; done += one) {
		one = get_frame(&source, raw + done, raw_len - done);
		if (one == 0)
			return -1;
	}
	return 0;
}
