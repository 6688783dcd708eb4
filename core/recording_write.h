/* SPDX-License-Identifier: MIT
 *
 * Writing a recording: frames in, blocks out. A block leaves as one write and is complete then, so that whatever ends
 * the process costs what had not left yet, and a file never holds more than its last block in vain. When a block is to
 * leave early (every second, say), into which file, and when into another one, is the caller's business.
 */
#ifndef CF_RECORDING_WRITE_H
#define CF_RECORDING_WRITE_H
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "recording.h"

/* Take all of the bytes; 0 or -errno, after which nothing more is written. */
typedef int cf_recording_write_fn(void *context, const void *bytes, size_t len);

struct cf_recording_numbers {
	uint64_t blocks;
	uint64_t frames;
	uint64_t batches;
	uint64_t events;
	uint64_t raw_bytes; /* of frames */
	uint64_t file_bytes; /* of blocks with their heads */
	uint64_t refused; /* frames that no reader would take, left out */
};

/* The numbers count what has left; what is on its way is in `block`. */
struct cf_recording {
	cf_recording_write_fn *write;
	void *context;
	void *zstd;
	uint8_t *raw, *packed, *data;
	size_t raw_len;
	struct cf_block_head block;
	uint64_t block_batches;
	uint32_t has_begun; /* META was added */
	uint32_t is_over; /* END was, or a write failed */
	struct cf_recording_numbers numbers;
};

/* What is used where nothing else is asked for: faster than events can come, see docs/recordings.md. */
enum { CF_RECORDING_LEVEL = 1 };

/* Make ready to write; `level` of compression as of zstd. 0, or -1: no memory. To be freed also after -1. */
int cf_recording_begin(struct cf_recording *recording, cf_recording_write_fn *write, void *context, int level,
		       struct cf_error *error);
/* Add the frames in `len` bytes, 8-aligned, as frame.h writes them; the first one ever must be META, and END is not for
 * the caller to add. What would make the file unreadable is left out and counted as refused. 0, or -1: a block could
 * not be written, now or earlier. */
int cf_recording_add(struct cf_recording *recording, const void *frames, size_t len, struct cf_error *error);
/* Let the block leave as far as it is. */
int cf_recording_flush(struct cf_recording *recording, struct cf_error *error);
/* The clean end. `continues`: 1 when there is another part. Nothing can be added any more. */
int cf_recording_end(struct cf_recording *recording, uint64_t now_ns, uint32_t continues, struct cf_error *error);
void cf_recording_free(struct cf_recording *recording); /* writes nothing; idempotent */

/* A new file for a recording, mode 0600, to be written only. A file that exists is an error, so that no recording is
 * lost to another one; `replace`: a regular file is emptied instead. 0 and *fd, or -1 with CF_FAIL_OUTPUT. */
int cf_recording_create(const char *path, int replace, int *fd, struct cf_error *error);
/* A cf_recording_write_fn; `context` points to the descriptor. A block that does not get in whole is taken back from a
 * regular file, so that what is in it stays readable to its end. */
int cf_recording_write_fd(void *context, const void *bytes, size_t len);
#endif
