/* SPDX-License-Identifier: MIT
 * Frames with the events in columns: see recording_pack.h.
 *
 * Packed: struct head; the frames without their events; the first 128 bytes of all events as 128 columns of one byte
 * each; their prefixes, whole. Three fields are replaced before that, by differences that are mostly small, as zigzag
 * numbers, so that small ones are small whatever their sign: last_seen_ns, from that of the event before (events come
 * in its order); first_seen_ns, from the event's own last_seen_ns; seq, from that of the event before of the same slot,
 * which is one for each cell and CPU as long as there are not too many of them.
 */
#include <string.h>
#include "frame.h"
#include "recording_pack.h"

enum {
	ROWS = 64, /* events are turned into columns by so many at a time: a cache line of each column */
	SLOTS = 1024, /* of sequence numbers; part of the format */
};

struct head {
	uint32_t frames_len; /* bytes of frames without events */
	uint32_t events;
	uint32_t prefixes;
	uint32_t pad0;
};

_Static_assert(sizeof(struct head) == CF_PACK_HEAD, "recording_pack.h tells its length");

/* What came before, for the differences. */
struct before {
	uint64_t last_seen_ns;
	uint64_t seq[SLOTS];
};

/* Events on their way into columns, or out of them. */
struct columns {
	uint8_t *at; /* column c of event i is at[c * count + i] */
	size_t count;
	size_t done; /* events */
	struct before before;
	uint8_t rows[ROWS][CF_EVENT_RING_LEN] __attribute__((aligned(8)));
};

static uint64_t zigzag(uint64_t difference)
{
	return difference << 1 ^ -(difference >> 63);
}

static uint64_t unzigzag(uint64_t number)
{
	return number >> 1 ^ -(number & 1);
}

static uint64_t load(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void store(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static uint64_t *slot(struct before *before, const uint8_t *row)
{
	uint32_t cell;
	uint16_t cpu;

	memcpy(&cell, row + offsetof(struct cf_event, cell), sizeof(cell));
	memcpy(&cpu, row + offsetof(struct cf_event, cpu), sizeof(cpu));
	return &before->seq[(cell * 16 + cpu) % SLOTS];
}

static void subtract(struct before *before, uint8_t *row)
{
	uint64_t first = load(row + offsetof(struct cf_event, first_seen_ns));
	uint64_t last = load(row + offsetof(struct cf_event, last_seen_ns));
	uint64_t seq = load(row + offsetof(struct cf_event, seq)), *seq_before = slot(before, row);

	store(row + offsetof(struct cf_event, last_seen_ns), zigzag(last - before->last_seen_ns));
	store(row + offsetof(struct cf_event, first_seen_ns), zigzag(last - first));
	store(row + offsetof(struct cf_event, seq), zigzag(seq - *seq_before));
	before->last_seen_ns = last;
	*seq_before = seq;
}

static void add(struct before *before, uint8_t *row)
{
	uint64_t last = before->last_seen_ns + unzigzag(load(row + offsetof(struct cf_event, last_seen_ns)));
	uint64_t first = last - unzigzag(load(row + offsetof(struct cf_event, first_seen_ns)));
	uint64_t *seq_before = slot(before, row);
	uint64_t seq = *seq_before + unzigzag(load(row + offsetof(struct cf_event, seq)));

	store(row + offsetof(struct cf_event, last_seen_ns), last);
	store(row + offsetof(struct cf_event, first_seen_ns), first);
	store(row + offsetof(struct cf_event, seq), seq);
	before->last_seen_ns = last;
	*seq_before = seq;
}

/* An 8 by 8 matrix of bytes, mirrored: word r's byte c becomes word c's byte r. Halves, quarters, then single bytes
 * change places (Warren, Hacker's Delight, 7-3). */
static void mirror(uint64_t *m)
{
#define SWAP(i, j, bits, mask)                                                                                         \
	do {                                                                                                           \
		uint64_t t = (m[i] >> (bits) ^ m[j]) & (mask);                                                         \
		m[j] ^= t;                                                                                             \
		m[i] ^= t << (bits);                                                                                   \
	} while (0)
	for (int i = 0; i < 4; i++)
		SWAP(i, i + 4, 32, UINT64_C(0x00000000ffffffff));
	for (int i = 0; i < 8; i += i % 4 == 1 ? 3 : 1)
		SWAP(i, i + 2, 16, UINT64_C(0x0000ffff0000ffff));
	for (int i = 0; i < 8; i += 2)
		SWAP(i, i + 1, 8, UINT64_C(0x00ff00ff00ff00ff));
#undef SWAP
}

/* The `count` rows of events `from` and following to their columns; `back`: from them. */
static void turn_rows(struct columns *columns, size_t from, size_t count, int back)
{
	size_t eights = count & ~(size_t)7;
	uint64_t m[8];

	for (size_t c = 0; c < CF_EVENT_RING_LEN; c += 8)
		for (size_t r = 0; r < eights; r += 8) {
			uint8_t *column = columns->at + c * columns->count + from + r;

			for (size_t i = 0; i < 8; i++)
				m[i] = load(back ? column + i * columns->count : columns->rows[r + i] + c);
			mirror(m);
			for (size_t i = 0; i < 8; i++)
				store(back ? columns->rows[r + i] + c : column + i * columns->count, m[i]);
		}
	for (size_t r = eights; r < count; r++)
		for (size_t c = 0; c < CF_EVENT_RING_LEN; c++) {
			uint8_t *one = columns->at + c * columns->count + from + r, *other = &columns->rows[r][c];

			*(back ? other : one) = *(back ? one : other);
		}
}

static void put_row(struct columns *columns, const uint8_t *event)
{
	size_t i = columns->done % ROWS;

	memcpy(columns->rows[i], event, CF_EVENT_RING_LEN);
	subtract(&columns->before, columns->rows[i]);
	columns->done++;
	if (i == ROWS - 1 || columns->done == columns->count)
		turn_rows(columns, columns->done - i - 1, i + 1, 0);
}

static void get_row(struct columns *columns, uint8_t *event)
{
	size_t i = columns->done % ROWS, left = columns->count - columns->done;

	if (i == 0)
		turn_rows(columns, columns->done, left < ROWS ? left : ROWS, 1);
	add(&columns->before, columns->rows[i]);
	memcpy(event, columns->rows[i], CF_EVENT_RING_LEN);
	columns->done++;
}

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
	struct columns columns = { 0 };
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
			put_row(&columns, event);
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
	struct columns columns;
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
		get_row(&source->columns, out);
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
