/* SPDX-License-Identifier: MIT
 * Bytes of events to columns and back: see recording_columns.h. */
#include <string.h>
#include "recording_columns.h"

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

static uint64_t *slot(struct cf_columns *columns, const uint8_t *row)
{
	uint32_t cell;
	uint16_t cpu;

	memcpy(&cell, row + offsetof(struct cf_event, cell), sizeof(cell));
	memcpy(&cpu, row + offsetof(struct cf_event, cpu), sizeof(cpu));
	return &columns->seq[(cell * 16 + cpu) % CF_COLUMNS_SLOTS];
}

static void subtract(struct cf_columns *columns, uint8_t *row)
{
	uint64_t first = load(row + offsetof(struct cf_event, first_seen_ns));
	uint64_t last = load(row + offsetof(struct cf_event, last_seen_ns));
	uint64_t seq = load(row + offsetof(struct cf_event, seq)), *seq_before = slot(columns, row);

	store(row + offsetof(struct cf_event, last_seen_ns), zigzag(last - columns->last_seen_ns));
	store(row + offsetof(struct cf_event, first_seen_ns), zigzag(last - first));
	store(row + offsetof(struct cf_event, seq), zigzag(seq - *seq_before));
	columns->last_seen_ns = last;
	*seq_before = seq;
}

static void add(struct cf_columns *columns, uint8_t *row)
{
	uint64_t last = columns->last_seen_ns + unzigzag(load(row + offsetof(struct cf_event, last_seen_ns)));
	uint64_t first = last - unzigzag(load(row + offsetof(struct cf_event, first_seen_ns)));
	uint64_t *seq_before = slot(columns, row);
	uint64_t seq = *seq_before + unzigzag(load(row + offsetof(struct cf_event, seq)));

	store(row + offsetof(struct cf_event, last_seen_ns), last);
	store(row + offsetof(struct cf_event, first_seen_ns), first);
	store(row + offsetof(struct cf_event, seq), seq);
	columns->last_seen_ns = last;
	*seq_before = seq;
}

/* An 8 by 8 matrix of bytes, mirrored from one place to another: word r's byte c becomes word c's byte r. Halves,
 * quarters, then single bytes change places (Warren, Hacker's Delight, 7-3); written out, as gcc -O2 does not unroll.
 * `stride`: from one word to the next. */
static void mirror(const uint8_t *from, size_t from_stride, uint8_t *to, size_t to_stride)
{
	uint64_t m[8];

#define SWAP(i, j, bits, mask)                                                                                         \
	do {                                                                                                           \
		uint64_t t = (m[i] >> (bits) ^ m[j]) & (mask);                                                         \
		m[j] ^= t;                                                                                             \
		m[i] ^= t << (bits);                                                                                   \
	} while (0)
	for (int i = 0; i < 8; i++)
		m[i] = load(from + (size_t)i * from_stride);
	SWAP(0, 4, 32, UINT64_C(0x00000000ffffffff));
	SWAP(1, 5, 32, UINT64_C(0x00000000ffffffff));
	SWAP(2, 6, 32, UINT64_C(0x00000000ffffffff));
	SWAP(3, 7, 32, UINT64_C(0x00000000ffffffff));
	SWAP(0, 2, 16, UINT64_C(0x0000ffff0000ffff));
	SWAP(1, 3, 16, UINT64_C(0x0000ffff0000ffff));
	SWAP(4, 6, 16, UINT64_C(0x0000ffff0000ffff));
	SWAP(5, 7, 16, UINT64_C(0x0000ffff0000ffff));
	SWAP(0, 1, 8, UINT64_C(0x00ff00ff00ff00ff));
	SWAP(2, 3, 8, UINT64_C(0x00ff00ff00ff00ff));
	SWAP(4, 5, 8, UINT64_C(0x00ff00ff00ff00ff));
	SWAP(6, 7, 8, UINT64_C(0x00ff00ff00ff00ff));
	for (int i = 0; i < 8; i++)
		store(to + (size_t)i * to_stride, m[i]);
#undef SWAP
}

/* The `count` rows of events `from` and following to their columns; `back`: from them. */
static void turn_rows(struct cf_columns *columns, size_t from, size_t count, int back)
{
	size_t eights = count & ~(size_t)7, stride = columns->count;

	for (size_t c = 0; c < CF_EVENT_RING_LEN; c += 8)
		for (size_t r = 0; r < eights; r += 8) {
			uint8_t *column = columns->at + c * stride + from + r, *row = columns->rows[r] + c;

			if (back)
				mirror(column, stride, row, CF_EVENT_RING_LEN);
			else
				mirror(row, CF_EVENT_RING_LEN, column, stride);
		}
	for (size_t r = eights; r < count; r++)
		for (size_t c = 0; c < CF_EVENT_RING_LEN; c++) {
			uint8_t *one = columns->at + c * stride + from + r, *other = &columns->rows[r][c];

			*(back ? other : one) = *(back ? one : other);
		}
}

void cf_columns_put(struct cf_columns *columns, const uint8_t *event)
{
	size_t i = columns->done % CF_COLUMNS_ROWS;

	memcpy(columns->rows[i], event, CF_EVENT_RING_LEN);
	subtract(columns, columns->rows[i]);
	columns->done++;
	if (i == CF_COLUMNS_ROWS - 1 || columns->done == columns->count)
		turn_rows(columns, columns->done - i - 1, i + 1, 0);
}

void cf_columns_get(struct cf_columns *columns, uint8_t *event)
{
	size_t i = columns->done % CF_COLUMNS_ROWS, left = columns->count - columns->done;

	if (i == 0)
		turn_rows(columns, columns->done, left < CF_COLUMNS_ROWS ? left : CF_COLUMNS_ROWS, 1);
	add(columns, columns->rows[i]);
	memcpy(event, columns->rows[i], CF_EVENT_RING_LEN);
	columns->done++;
}
