/* SPDX-License-Identifier: MIT
 * Blocks of a recording: see recording_write.h. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>
#include "frame.h"
#include "recording_pack.h"
#include "recording_write.h"

enum { DATA_MAX = ZSTD_COMPRESSBOUND(CF_BLOCK_RAW_MAX + CF_PACK_HEAD) };

static void new_block(struct cf_recording *recording)
{
	struct cf_block_head *head = &recording->block;

	*head = (struct cf_block_head){ .major = CF_RECORDING_MAJOR,
					.minor = CF_RECORDING_MINOR,
					.flags = CF_BLOCK_COLUMNS,
					.recording = head->recording,
					.number = recording->numbers.blocks };
	memcpy(head->magic, CF_BLOCK_MAGIC, sizeof(head->magic));
	recording->raw_len = 0;
	recording->block_batches = 0;
}

int cf_recording_begin(struct cf_recording *recording, cf_recording_write_fn *write, void *context, int level,
		       struct cf_error *error)
{
	memset(recording, 0, sizeof(*recording));
	recording->write = write;
	recording->context = context;
	recording->zstd = ZSTD_createCCtx();
	recording->raw = malloc(CF_BLOCK_RAW_MAX);
	recording->packed = malloc(CF_BLOCK_RAW_MAX + CF_PACK_HEAD);
	/* Head and data leave in one write. */
	recording->data = malloc(sizeof(struct cf_block_head) + DATA_MAX);
	if (!recording->zstd || !recording->raw || !recording->packed || !recording->data ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(recording->zstd, ZSTD_c_compressionLevel, level)))
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory to write a recording with");
	new_block(recording);
	return 0;
}

void cf_recording_free(struct cf_recording *recording)
{
	ZSTD_freeCCtx(recording->zstd);
	free(recording->raw);
	free(recording->packed);
	free(recording->data);
	memset(recording, 0, sizeof(*recording));
	recording->is_over = 1;
}

static void count_block(struct cf_recording *recording)
{
	struct cf_recording_numbers *numbers = &recording->numbers;

	numbers->blocks++;
	numbers->frames += recording->block.frames;
	numbers->events += recording->block.events;
	numbers->batches += recording->block_batches;
	numbers->raw_bytes += recording->block.raw_len;
	numbers->file_bytes += sizeof(recording->block) + recording->block.data_len;
}

int cf_recording_flush(struct cf_recording *recording, struct cf_error *error)
{
	struct cf_block_head *head = &recording->block;
	uint8_t *data = recording->data + sizeof(*head);
	size_t len;
	int err;

	if (recording->raw_len == 0)
		return 0;
	cf_pack(recording->raw, recording->raw_len, recording->packed);
	len = ZSTD_compress2(recording->zstd, data, DATA_MAX, recording->packed, recording->raw_len + CF_PACK_HEAD);
	if (ZSTD_isError(len)) {
		recording->is_over = 1;
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "a block of the recording cannot be compressed: %s",
			       ZSTD_getErrorName(len));
	}
	head->raw_len = (uint32_t)recording->raw_len;
	head->data_len = (uint32_t)len;
	head->data_hash = XXH64(data, len, 0);
	head->head_hash = XXH64(head, offsetof(struct cf_block_head, head_hash), 0);
	memcpy(recording->data, head, sizeof(*head));
	err = -recording->write(recording->context, recording->data, sizeof(*head) + len);
	if (err) {
		recording->is_over = 1;
		return cf_fail(error, CF_FAIL_OUTPUT, err, "the recording cannot be written to: %s", strerror(err));
	}
	count_block(recording);
	new_block(recording);
	return 0;
}

static int append(struct cf_recording *recording, const struct cf_frame *frame, struct cf_error *error)
{
	struct cf_block_head *head = &recording->block;
	uint64_t time = cf_frame_time(frame);

	if (frame->len > CF_BLOCK_RAW_MAX - recording->raw_len && cf_recording_flush(recording, error) < 0)
		return -1;
	memcpy(recording->raw + recording->raw_len, frame->bytes, frame->len);
	recording->raw_len += frame->len;
	head->frames++;
	head->events += cf_frame_events(frame);
	recording->block_batches += frame->type == CF_FRAME_BATCH;
	if (time && (!head->first_ns || time < head->first_ns))
		head->first_ns = time;
	if (time > head->last_ns)
		head->last_ns = time;
	return 0;
}

/* Whether a frame may stand here; notes what the first one says. */
static int is_wanted(struct cf_recording *recording, const struct cf_frame *frame)
{
	struct cf_meta meta;

	if (cf_frame_check(frame) || frame->type == CF_FRAME_END ||
	    (frame->type == CF_FRAME_META) == (recording->has_begun != 0))
		return 0;
	if (frame->type == CF_FRAME_META) {
		cf_frame_get_meta(frame, &meta);
		recording->block.recording = meta.recording;
		recording->has_begun = 1;
	}
	return 1;
}

int cf_recording_add(struct cf_recording *recording, const void *frames, size_t len, struct cf_error *error)
{
	struct cf_frame frame;
	size_t at = 0;
	int more;

	if (recording->is_over)
		return cf_fail(error, CF_FAIL_OUTPUT, 0, "the recording is over, or could not be written to");
	while ((more = cf_frame_next(frames, len, &at, &frame)) > 0)
		if (!is_wanted(recording, &frame))
			recording->numbers.refused++;
		else if (append(recording, &frame, error) < 0)
			return -1;
	recording->numbers.refused += more < 0;
	return 0;
}

int cf_recording_end(struct cf_recording *recording, uint64_t now_ns, uint32_t continues, struct cf_error *error)
{
	struct cf_frame_end end;
	struct cf_frame frame = { .bytes = (const uint8_t *)&end, .len = sizeof(end), .type = CF_FRAME_END };

	if (recording->is_over)
		return cf_fail(error, CF_FAIL_OUTPUT, 0, "the recording is over, or could not be written to");
	if (!recording->has_begun)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "a recording has to begin with what it is a recording of");
	cf_frame_put_end(&end, sizeof(end), now_ns, recording->numbers.batches + recording->block_batches,
			 recording->numbers.events + recording->block.events, continues);
	if (append(recording, &frame, error) < 0 || cf_recording_flush(recording, error) < 0)
		return -1;
	recording->is_over = 1;
	return 0;
}
