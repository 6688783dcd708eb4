/* SPDX-License-Identifier: MIT
 *
 * Reading a recording: frames out of a file that may hold anything, in memory for one block. A block is handed out when
 * all of it is known to be what was written, its frames included; at the first that is not, reading ends with an error
 * that says where, why, and how much there was before. What the frames mean is the caller's business.
 */
#ifndef CF_RECORDING_READ_H
#define CF_RECORDING_READ_H
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "frame.h"
#include "recording.h"

/* Compressed data of a block: no more than zstd makes of what cannot be compressed. */
enum { CF_READER_DATA_MAX = CF_BLOCK_RAW_MAX + CF_BLOCK_RAW_MAX / 128 };

/* Why there is nothing more to read. */
enum cf_damage {
	CF_DAMAGE_NONE = 0,
	CF_DAMAGE_FILE = 1, /* cannot be opened or read, or is no file */
	CF_DAMAGE_EMPTY = 2,
	CF_DAMAGE_FOREIGN = 3, /* no recording */
	CF_DAMAGE_VERSION = 4, /* a recording of another major version */
	CF_DAMAGE_CUT_OFF = 5, /* the file ends within a block */
	CF_DAMAGE_CHECKSUM = 6,
	CF_DAMAGE_CONTENT = 7, /* whole, but nothing that a writer makes */
};

/* Of what was handed out, but for file_bytes: blocks that are whole. */
struct cf_reader_numbers {
	uint64_t blocks;
	uint64_t frames;
	uint64_t batches;
	uint64_t events;
	uint64_t skipped; /* frames of a type that is not known, from a later minor version: not handed out */
	uint64_t raw_bytes;
	uint64_t file_bytes;
	uint64_t first_ns, last_ns; /* least and greatest time of a frame, boot clock; 0: none yet */
};

struct cf_reader {
	int fd; /* owned */
	char name[256]; /* of the file, in errors */
	struct cf_block_head block;
	uint8_t *data, *packed, *raw;
	void *zstd;
	size_t raw_at, raw_len;
	uint64_t block_batches; /* up to and with the block in hand, as END has to tell them */
	uint64_t block_events;
	int64_t first_offset_ns, offset_ns; /* of the first and the latest CLOCK */
	uint32_t has_clock;
	uint32_t is_ended; /* an END is in the block in hand or was handed out */
	uint32_t continues;
	enum cf_damage damage;
	struct cf_error error;
	struct cf_reader_numbers numbers;
};

/* Begin to read `path`, which must be a regular file: nothing else can hang us. 0, or -1 with CF_FAIL_RECORDING. To be
 * closed also after -1. */
int cf_reader_open(struct cf_reader *reader, const char *path, struct cf_error *error);
/* The same from a descriptor, whatever it is; it is owned from here on. `name` is for errors. */
int cf_reader_take(struct cf_reader *reader, int fd, const char *name, struct cf_error *error);
/* The next frame, which passed cf_frame_check and is 8-aligned; valid until the next call. 1; 0: the end, by END when
 * is_ended, else because the writer got no further than a whole block; -1: CF_FAIL_RECORDING, see `damage`. */
int cf_reader_next(struct cf_reader *reader, struct cf_frame *frame, struct cf_error *error);
void cf_reader_close(struct cf_reader *reader); /* idempotent */

/* RFC 3339 of a boot-clock stamp by a clock offset, into CF_TIME_TEXT_LEN bytes; the length. */
size_t cf_reader_time_text(uint64_t boot_ns, int64_t offset_ns, char *out);
#endif
