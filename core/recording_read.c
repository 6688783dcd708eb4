/* SPDX-License-Identifier: MIT
 * Blocks and frames of a recording that is not trusted: see recording_read.h. Files and memory are
 * recording_open.c's. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>
#include "recording_pack.h"
#include "recording_read.h"

/* What could be read, in words. */
static void describe(const struct cf_reader *reader, char *out, size_t size)
{
	const struct cf_reader_numbers *numbers = &reader->numbers;
	char until[CF_TIME_TEXT_LEN] = "";
	size_t len = 0;

	if (reader->has_clock && numbers->last_ns)
		len = cf_reader_time_text(numbers->last_ns, reader->offset_ns, until);
	snprintf(out, size, "%llu event%s, %.3f s%s%.*s", (unsigned long long)numbers->events,
		 numbers->events == 1 ? "" : "s", (double)(numbers->last_ns - numbers->first_ns) / 1e9,
		 len ? " until " : "", (int)len, until);
}

/* Ends the reading for good. */
__attribute__((format(printf, 4, 5))) static int damaged(struct cf_reader *reader, enum cf_damage damage, int err,
							 const char *format, ...)
{
	char what[256], before[128];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	reader->damage = damage;
	if (reader->numbers.blocks == 0 && damage <= CF_DAMAGE_VERSION)
		return cf_fail(&reader->error, CF_FAIL_RECORDING, err, "%s: %s", reader->name, what);
	describe(reader, before, sizeof(before));
	return cf_fail(&reader->error, CF_FAIL_RECORDING, err, "%s: %s, at byte %llu; readable before it: %s",
		       reader->name, what, (unsigned long long)reader->numbers.file_bytes, before);
}

/* As many of `len` bytes as there are; -1: damaged. */
static ssize_t read_bytes(struct cf_reader *reader, void *out, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = read(reader->fd, (uint8_t *)out + done, len - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return damaged(reader, CF_DAMAGE_FILE, errno, "cannot be read: %s", strerror(errno));
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static int is_lying(const struct cf_block_head *head)
{
	return head->raw_len == 0 || head->raw_len > CF_BLOCK_RAW_MAX || head->raw_len % 8 || head->data_len == 0 ||
	       head->data_len > CF_READER_DATA_MAX || (head->flags & ~(uint32_t)CF_BLOCK_COLUMNS);
}

/* 1: a head that can be believed; 0: the file ends here; -1: damaged. */
static int read_head(struct cf_reader *reader)
{
	struct cf_block_head *head = &reader->block;
	uint64_t recording = head->recording;
	ssize_t got = read_bytes(reader, head, sizeof(*head));
	size_t magic = got < (ssize_t)sizeof(head->magic) ? (size_t)got : sizeof(head->magic);
	int is_first = reader->numbers.blocks == 0;

	if (got <= 0)
		return got == 0 && is_first ? damaged(reader, CF_DAMAGE_EMPTY, 0, "is empty") : (int)got;
	if (memcmp(head->magic, CF_BLOCK_MAGIC, magic) != 0)
		return is_first ? damaged(reader, CF_DAMAGE_FOREIGN, 0, "is no recording of cellflow")
				: damaged(reader, CF_DAMAGE_CHECKSUM, 0, "is damaged: no block begins there");
	if (got >= (ssize_t)offsetof(struct cf_block_head, flags) && head->major != CF_RECORDING_MAJOR && is_first)
		return damaged(reader, CF_DAMAGE_VERSION, 0,
			       "is a recording of version %u.%u, and this cellflow reads version %u", head->major,
			       head->minor, CF_RECORDING_MAJOR);
	if (got < (ssize_t)sizeof(*head))
		return damaged(reader, CF_DAMAGE_CUT_OFF, 0, "is cut off within a block");
	if (XXH64(head, offsetof(struct cf_block_head, head_hash), 0) != head->head_hash)
		return damaged(reader, CF_DAMAGE_CHECKSUM, 0, "is damaged: the checksum of a block's head is wrong");
	if (head->major != CF_RECORDING_MAJOR || is_lying(head))
		return damaged(reader, CF_DAMAGE_CONTENT, 0, "is damaged: a block's head says what cannot be");
	if (head->number != reader->numbers.blocks || (!is_first && head->recording != recording))
		return damaged(reader, CF_DAMAGE_CONTENT, 0, "is damaged: another block belongs there");
	return 1;
}

/* One frame of today's zstd and nothing else: a library may know formats of long ago, which nobody looks after. */
static int is_zstd(const uint8_t *data, size_t len)
{
	uint32_t magic;

	if (len < sizeof(magic))
		return 0;
	memcpy(&magic, data, sizeof(magic));
	return magic == ZSTD_MAGICNUMBER && ZSTD_findFrameCompressedSize(data, len) == len;
}

/* The frames of the block whose head was read, into `raw`. */
static int read_data(struct cf_reader *reader)
{
	const struct cf_block_head *head = &reader->block;
	size_t columns = head->flags & CF_BLOCK_COLUMNS ? CF_PACK_HEAD : 0, len;
	uint8_t *out = columns ? reader->packed : reader->raw;
	ssize_t got = read_bytes(reader, reader->data, head->data_len);

	if (got < 0)
		return -1;
	if ((size_t)got < head->data_len)
		return damaged(reader, CF_DAMAGE_CUT_OFF, 0, "is cut off within a block");
	if (XXH64(reader->data, head->data_len, 0) != head->data_hash)
		return damaged(reader, CF_DAMAGE_CHECKSUM, 0, "is damaged: the checksum of a block's data is wrong");
	if (!is_zstd(reader->data, head->data_len))
		return damaged(reader, CF_DAMAGE_CONTENT, 0, "is damaged: a block is not compressed as it should be");
	len = ZSTD_decompressDCtx(reader->zstd, out, head->raw_len + columns, reader->data, head->data_len);
	if (ZSTD_isError(len) || len != head->raw_len + columns)
		return damaged(reader, CF_DAMAGE_CONTENT, 0, "is damaged: a block cannot be decompressed");
	if (columns && cf_unpack(reader->packed, len, reader->raw, head->raw_len) < 0)
		return damaged(reader, CF_DAMAGE_CONTENT, 0, "is damaged: a block cannot be unpacked");
	return 0;
}

/* NULL, or why the frame cannot stand there; `sum` is what the block's head has to say once it was the last one. */
static const char *check_frame(struct cf_reader *reader, const struct cf_frame *frame, struct cf_block_head *sum)
{
	int is_first = reader->numbers.blocks == 0 && sum->frames == 0;
	const char *wrong = cf_frame_check(frame);
	uint64_t time;
	struct cf_frame_end end;

	if (wrong)
		return wrong;
	if (reader->is_ended)
		return "something stands behind its end";
	if ((frame->type == CF_FRAME_META) != is_first)
		return is_first ? "it does not begin with what it is a recording of" : "it begins twice";
	time = cf_frame_time(frame);
	sum->frames++;
	sum->events += cf_frame_events(frame);
	if (time && (!sum->first_ns || time < sum->first_ns))
		sum->first_ns = time;
	if (time > sum->last_ns)
		sum->last_ns = time;
	reader->block_events += cf_frame_events(frame);
	reader->block_batches += frame->type == CF_FRAME_BATCH;
	if (frame->type != CF_FRAME_END)
		return NULL;
	memcpy(&end, frame->bytes, sizeof(end));
	reader->is_ended = 1;
	reader->continues = end.continues;
	return end.events == reader->block_events && end.batches == reader->block_batches ? NULL : "events are missing";
}

/* Before anything of the block is handed out: all of it. */
static int check_block(struct cf_reader *reader)
{
	const struct cf_block_head *head = &reader->block;
	struct cf_block_head sum = { 0 };
	const char *wrong = NULL;
	struct cf_frame frame;
	struct cf_meta meta;
	size_t at = 0;
	int more;

	while ((more = cf_frame_next(reader->raw, head->raw_len, &at, &frame)) > 0 && !wrong) {
		wrong = check_frame(reader, &frame, &sum);
		if (wrong || frame.type != CF_FRAME_META)
			continue;
		cf_frame_get_meta(&frame, &meta);
		if (meta.recording != head->recording)
			wrong = "it begins as another recording";
	}
	if (wrong)
		return damaged(reader, CF_DAMAGE_CONTENT, 0, "is damaged: %s", wrong);
	if (more < 0)
		return damaged(reader, CF_DAMAGE_CONTENT, 0, "is damaged: a block has something else than frames");
	if (sum.frames != head->frames || sum.events != head->events || sum.first_ns != head->first_ns ||
	    sum.last_ns != head->last_ns)
		return damaged(reader, CF_DAMAGE_CONTENT, 0, "is damaged: a block's head says what is not in it");
	return 0;
}

/* 1: the next block is in hand; 0: there is none. */
static int next_block(struct cf_reader *reader)
{
	uint32_t was_ended = reader->is_ended;
	int rc = read_head(reader);

	if (rc <= 0)
		return rc;
	if (read_data(reader) < 0)
		return -1;
	if (check_block(reader) < 0) {
		reader->is_ended = was_ended;
		return -1;
	}
	reader->raw_at = 0;
	reader->raw_len = reader->block.raw_len;
	reader->numbers.blocks++;
	reader->numbers.raw_bytes += reader->block.raw_len;
	reader->numbers.file_bytes += sizeof(reader->block) + reader->block.data_len;
	return 1;
}

static void note(struct cf_reader *reader, const struct cf_frame *frame)
{
	struct cf_reader_numbers *numbers = &reader->numbers;
	uint64_t time = cf_frame_time(frame);
	struct cf_frame_clock clock;

	numbers->frames++;
	numbers->batches += frame->type == CF_FRAME_BATCH;
	numbers->events += cf_frame_events(frame);
	if (time && (!numbers->first_ns || time < numbers->first_ns))
		numbers->first_ns = time;
	if (time > numbers->last_ns)
		numbers->last_ns = time;
	if (frame->type != CF_FRAME_CLOCK)
		return;
	memcpy(&clock, frame->bytes, sizeof(clock));
	reader->offset_ns = clock.offset_ns;
	if (!reader->has_clock)
		reader->first_offset_ns = clock.offset_ns;
	reader->has_clock = 1;
}

int cf_reader_next(struct cf_reader *reader, struct cf_frame *frame, struct cf_error *error)
{
	int rc = reader->damage ? -1 : 1;

	while (rc > 0) {
		if (reader->raw_at == reader->raw_len) {
			rc = next_block(reader);
			continue;
		}
		if (cf_frame_next(reader->raw, reader->raw_len, &reader->raw_at, frame) <= 0)
			break; /* cannot be: the block was checked */
		if (frame->type < CF_FRAME_TYPES) {
			note(reader, frame);
			return 1;
		}
		reader->numbers.skipped++;
	}
	if (rc < 0 && error)
		*error = reader->error;
	return rc < 0 ? -1 : 0;
}
