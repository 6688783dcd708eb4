/* SPDX-License-Identifier: MIT
 *
 * How far the recorder has got, in memory that it shares with the supervisor and that outlives it. There are two copies
 * of everything; a block's write makes the other one valid, and a write that was cut off is told from a whole one by
 * the file's length. So a successor goes on exactly behind the last block that is in a file, and nothing is recorded
 * twice.
 *
 *   recorded (outcome.h) = events + given_up + what is still in the record ring, once the recorder has ended
 */
#ifndef CF_RECORDED_H
#define CF_RECORDED_H
#include <stdatomic.h>
#include <stdint.h>
#include "frame.h"

struct cf_recorder_state {
	uint64_t position; /* of the record ring: everything before it is in a file, or was given up */
	uint64_t last_ns; /* time of the latest frame that has one */
	uint64_t blocks, batches, events, raw_bytes, file_bytes; /* of all parts */
	uint64_t part_bytes; /* of the latest part */
	uint64_t given_up; /* events that no reader would take, or that could not be written at the end */
	uint64_t told[CF_LOSSES]; /* by enum cf_recorded_loss: what LOSS frames have said, in all */
	uint32_t part; /* the latest one */
	uint32_t standing; /* which of the two copies */
	uint32_t is_ended; /* 1: the latest part has its END */
	uint32_t pad0;
};

/* What a new part has to begin with. */
struct cf_recorder_standing {
	uint32_t meta_len; /* 0: no worker has said who it is */
	uint32_t cells_len;
	uint32_t has_clock;
	uint32_t pad0;
	struct cf_frame_clock clock;
	uint8_t frames[CF_FRAME_MAX + CF_CELLS_MAX * sizeof(struct cf_frame_cell)]; /* META, then CELLs */
};

struct cf_recorded {
	struct cf_recorder_state states[2];
	_Atomic uint32_t current; /* which of them is valid */
	_Atomic uint32_t
		is_flying; /* 1: a block is being written; the other state is what holds once it is in the file */
	uint64_t flying_len; /* of the file, once it is */
	_Atomic uint64_t errors; /* failed writes, each tried again */
	struct cf_recorder_standing standing[2];
};

struct cf_recorded *cf_recorded_new(void); /* NULL: no memory */
void cf_recorded_free(struct cf_recorded *recorded);

/* What is in the files. Stable only while no recorder runs, or within it. */
const struct cf_recorder_state *cf_recorded_current(const struct cf_recorded *recorded);
/* After a recorder has ended, however: find out what its last write did. A block that is not whole is cut off.
 * `fds`: of the latest two parts, by the lowest bit of their numbers; -1: none. */
void cf_recorded_recover(struct cf_recorded *recorded, const int fds[2]);
#endif
