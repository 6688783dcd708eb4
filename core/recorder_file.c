/* SPDX-License-Identifier: MIT
 * Frames into the parts of a recording: see recorder_file.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "recorder_file.h"

/* What is to hold once the block is in the file, written down before the first byte of it is. */
static void prepare(struct cf_recorder_file *file, size_t len)
{
	struct cf_recorded *recorded = file->recorded;
	uint32_t current = atomic_load(&recorded->current) & 1;
	struct cf_recorder_state *next = &recorded->states[current ^ 1];

	file->state.blocks++;
	file->state.file_bytes += len;
	file->state.part_bytes += len;
	if (file->standing_changed) {
		uint32_t to = file->state.standing ^ 1;

		memcpy(&recorded->standing[to], file->standing,
		       offsetof(struct cf_recorder_standing, frames) + file->standing->meta_len +
			       file->standing->cells_len);
		file->state.standing = to;
		file->standing_changed = 0;
	}
	*next = file->state;
	recorded->flying_len = file->state.part_bytes;
	atomic_store(&recorded->is_flying, 1);
}

static void commit(struct cf_recorded *recorded)
{
	atomic_store(&recorded->current, (atomic_load(&recorded->current) & 1) ^ 1);
	atomic_store(&recorded->is_flying, 0);
}

/* cf_recording_write_fn. A full disk is a slow one: it may have room again, and what waits is counted meanwhile. What
 * is cut off is not taken back here: the supervisor can, see cf_recorded_recover, and we may not. */
static int put_block(void *context, const void *bytes, size_t len)
{
	struct cf_recorder_file *file = context;
	size_t done = 0;

	prepare(file, len);
	while (done < len) {
		ssize_t put = write(file->fd, (const uint8_t *)bytes + done, len - done);
		int err = put == 0 ? EIO : errno;

		if (put > 0) {
			done += (size_t)put;
		} else if (err != EINTR) {
			atomic_fetch_add(&file->recorded->errors, 1);
			if (!file->patience(file->context, err))
				return -err;
		}
	}
	commit(file->recorded);
	return 0;
}

int cf_recorder_file_open(struct cf_recorder_file *file, struct cf_recorded *recorded, uint64_t id,
			  struct cf_error *error)
{
	memset(file, 0, sizeof(*file));
	file->recorded = recorded;
	file->id = id;
	file->fd = -1;
	file->state = *cf_recorded_current(recorded);
	file->standing = malloc(sizeof(*file->standing));
	if (!file->standing)
		return cf_fail(error, CF_FAIL_INTERNAL, ENOMEM, "no memory to record with");
	memcpy(file->standing, &recorded->standing[file->state.standing & 1], sizeof(*file->standing));
	return 0;
}

void cf_recorder_file_close(struct cf_recorder_file *file)
{
	cf_recording_free(&file->recording);
	free(file->standing);
	if (file->fd >= 0)
		close(file->fd);
	memset(file, 0, sizeof(*file));
	file->fd = -1;
}

static int add(struct cf_recorder_file *file, const void *frames, size_t len, struct cf_error *error)
{
	return cf_recording_add(&file->recording, frames, len, error);
}

/* The first frame of a part, made of the latest GENERATION. `now_ns` 0: that one's time. */
static int begin(struct cf_recorder_file *file, uint64_t now_ns, struct cf_error *error)
{
	struct cf_recorder_standing *standing = file->standing;
	struct cf_frame_meta meta;

	memcpy(&meta, standing->frames, sizeof(meta));
	meta.head.type = CF_FRAME_META;
	meta.recording = file->id;
	meta.part = file->state.part;
	meta.now_ns = now_ns ? now_ns : meta.now_ns;
	memcpy(standing->frames, &meta, sizeof(meta));
	if (add(file, standing->frames, standing->meta_len, error) < 0 ||
	    add(file, standing->frames + standing->meta_len, standing->cells_len, error) < 0)
		return -1;
	file->is_due = 1;
	return standing->has_clock ? add(file, &standing->clock, sizeof(standing->clock), error) : 0;
}

int cf_recorder_file_part(struct cf_recorder_file *file, int fd, uint32_t part, struct cf_error *error)
{
	int has_ended = file->fd < 0 || !file->recording.has_begun ||
			cf_recorder_file_end(file, file->state.last_ns, 1, error) == 0;

	if (file->fd >= 0) {
		fdatasync(file->fd);
		close(file->fd);
	}
	file->fd = fd;
	if (!has_ended)
		return -1;
	cf_recording_free(&file->recording);
	if (cf_recording_begin(&file->recording, put_block, file, CF_RECORDING_LEVEL, error) < 0)
		return -1;
	file->state.part = part;
	file->state.part_bytes = 0;
	file->state.is_ended = 0;
	return file->standing->meta_len ? begin(file, file->state.last_ns, error) : 0;
}

/* Who goes by what from here on, for parts to come. */
static void keep(struct cf_recorder_file *file, const struct cf_frame *frame)
{
	struct cf_recorder_standing *standing = file->standing;
	size_t used = standing->meta_len + standing->cells_len;

	if (frame->type == CF_FRAME_GENERATION) {
		memcpy(standing->frames, frame->bytes, frame->len);
		standing->meta_len = frame->len;
		standing->cells_len = 0;
	} else if (frame->type == CF_FRAME_CELL && frame->len <= sizeof(standing->frames) - used) {
		memcpy(standing->frames + used, frame->bytes, frame->len);
		standing->cells_len += frame->len;
	} else if (frame->type == CF_FRAME_CLOCK) {
		memcpy(&standing->clock, frame->bytes, sizeof(standing->clock));
		standing->has_clock = 1;
	} else {
		return;
	}
	file->standing_changed = 1;
	file->is_due = 1;
}

static void note_told(struct cf_recorder_file *file, const struct cf_frame *frame)
{
	struct cf_frame_loss head;
	struct cf_loss loss;

	memcpy(&head, frame->bytes, sizeof(head));
	for (uint32_t i = 0; i < head.count; i++) {
		memcpy(&loss, frame->bytes + sizeof(head) + i * sizeof(loss), sizeof(loss));
		file->state.told[loss.what] += loss.lost;
	}
}

static uint64_t claimed_events(const struct cf_frame *frame)
{
	struct cf_frame_batch batch;

	if (frame->type != CF_FRAME_BATCH || frame->len < sizeof(batch))
		return 0;
	memcpy(&batch, frame->bytes, sizeof(batch));
	return batch.count < CF_BATCH_MAX ? batch.count : CF_BATCH_MAX;
}

/* Into the file as it is, or, for the first one of all, as what a file begins with. */
static int add_frame(struct cf_recorder_file *file, const struct cf_frame *frame, struct cf_error *error)
{
	uint64_t time = cf_frame_time(frame);

	if (file->recording.has_begun && add(file, frame->bytes, frame->len, error) < 0)
		return -1;
	keep(file, frame);
	if (!file->recording.has_begun && begin(file, 0, error) < 0)
		return -1;
	if (frame->type == CF_FRAME_LOSS)
		note_told(file, frame);
	file->state.batches += frame->type == CF_FRAME_BATCH;
	file->state.events += cf_frame_events(frame);
	file->state.raw_bytes += frame->len;
	file->state.last_ns = time > file->state.last_ns ? time : file->state.last_ns;
	return 0;
}

int cf_recorder_file_add(struct cf_recorder_file *file, const struct cf_frame *frame, uint64_t position,
			 struct cf_error *error)
{
	int is_wrong = cf_frame_check(frame) || frame->type >= CF_FRAME_END || frame->type == CF_FRAME_META ||
		       (!file->recording.has_begun && frame->type != CF_FRAME_GENERATION);

	if (is_wrong)
		file->state.given_up += claimed_events(frame);
	else if (add_frame(file, frame, error) < 0)
		return -1;
	file->state.position = position;
	return 0;
}

int cf_recorder_file_losses(struct cf_recorder_file *file, uint64_t now_ns, const uint64_t *totals, int is_last,
			    struct cf_error *error)
{
	struct cf_loss losses[CF_LOSSES];
	_Alignas(8) uint8_t bytes[sizeof(struct cf_frame_loss) + sizeof(losses)];
	struct cf_frame frame = { .bytes = bytes, .type = CF_FRAME_LOSS };
	uint32_t count = 0;

	if (!file->recording.has_begun)
		return 0;
	for (uint32_t what = 1; what < CF_LOSSES; what++) {
		uint64_t total = totals[what];

		if (what == CF_LOSS_UNRECORDED)
			total = is_last ? total + file->state.given_up : 0;
		if (total > file->state.told[what])
			losses[count++] = (struct cf_loss){ total - file->state.told[what], what, CF_LOSS_OF_NO_CELL };
	}
	if (count == 0)
		return 0;
	frame.len = (uint32_t)cf_frame_put_loss(bytes, sizeof(bytes), now_ns, losses, count);
	return cf_recorder_file_add(file, &frame, file->state.position, error);
}

int cf_recorder_file_flush(struct cf_recorder_file *file, struct cf_error *error)
{
	file->is_due = 0;
	return cf_recording_flush(&file->recording, error);
}

int cf_recorder_file_end(struct cf_recorder_file *file, uint64_t now_ns, uint32_t continues, struct cf_error *error)
{
	file->state.is_ended = 1;
	file->is_due = 0;
	return cf_recording_end(&file->recording, now_ns, continues, error);
}
