/* SPDX-License-Identifier: MIT
 *
 * What the recorder does with a frame: into the block in hand, and, with what has to be said again at the beginning of
 * each part, into the file. Keeps recorded.h true. Where frames come from, and when a block is to leave or a part to
 * end, is recorder.c's.
 */
#ifndef CF_RECORDER_FILE_H
#define CF_RECORDER_FILE_H
#include <stddef.h>
#include "recorded.h"
#include "recording_write.h"

/* A write failed with `err`: 1 to try again, after a pause of its own; 0 to give up. */
typedef int cf_recorder_patience_fn(void *context, int err);

struct cf_recorder_file {
	struct cf_recorded *recorded;
	struct cf_recording recording;
	struct cf_recorder_state state; /* what will hold once the block in hand is in the file */
	struct cf_recorder_standing *standing; /* the same; owned */
	int standing_changed; /* since the last block */
	uint64_t id; /* of the recording */
	int fd; /* owned; -1: no part yet */
	int is_due; /* 1: something is in the block that should not wait */
	cf_recorder_patience_fn *patience;
	void *context;
};

/* Take up where a predecessor ended. 0, or -1: no memory. */
int cf_recorder_file_open(struct cf_recorder_file *file, struct cf_recorded *recorded, uint64_t id,
			  struct cf_error *error);
void cf_recorder_file_close(struct cf_recorder_file *file);

/* Go on in another part, an empty file; the one before is ended, if it has begun. The descriptor is owned from here
 * on. The functions below return 0, or -1 when a write was given up: nothing can be written any more. */
int cf_recorder_file_part(struct cf_recorder_file *file, int fd, uint32_t part, struct cf_error *error);
/* One frame in memory that nobody else can change, which ends at `position` of the record ring. One that no reader
 * would take is given up, and counted. */
int cf_recorder_file_add(struct cf_recorder_file *file, const struct cf_frame *frame, uint64_t position,
			 struct cf_error *error);
/* A LOSS frame of what `totals` (by enum cf_recorded_loss) says more than was told; `is_last`: CF_LOSS_UNRECORDED as
 * well, which the worker tells until then. Nothing before the first part has begun. */
int cf_recorder_file_losses(struct cf_recorder_file *file, uint64_t now_ns, const uint64_t *totals, int is_last,
			    struct cf_error *error);
int cf_recorder_file_flush(struct cf_recorder_file *file, struct cf_error *error);
int cf_recorder_file_end(struct cf_recorder_file *file, uint64_t now_ns, uint32_t continues, struct cf_error *error);
#endif
