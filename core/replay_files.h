/* SPDX-License-Identifier: MIT
 *
 * The frames of recordings in files, one file behind the other, or of captures, merged by time. Ends at the first file
 * that cannot be read to its end, since what comes later would be decided without what is missing. Which files go
 * together is replay.h's to say.
 */
#ifndef CF_REPLAY_FILES_H
#define CF_REPLAY_FILES_H
#include "capture.h"
#include "recording_read.h"
#include "replay.h"

struct cf_replay_files {
	char *const *paths; /* not owned */
	int count;
	int at; /* the file in hand */
	int is_open;
	struct cf_reader reader;
	struct cf_capture *capture; /* of all files; NULL: they are recordings */
	uint64_t total_bytes; /* of all files */
	uint64_t bytes_before; /* of the files before the one in hand */
	uint64_t events_before;
	uint64_t skipped; /* frames of later versions */
	int is_damaged; /* 1: one could not be read to its end, whatever was read of it */
	int has_no_end; /* 1: the latest file that was read ends without an end: its writer was killed, or still writes
			 */
	int continues; /* 1: the latest file goes on in another one */
};

/* Looks at every file, so that a name that is wrong is told before anything is written. -1: CF_FAIL_RECORDING, or
 * CF_FAIL_USAGE for captures among recordings. Captures are read as by default. */
int cf_replay_files_open(struct cf_replay_files *files, char *const *paths, int count, struct cf_error *error);
/* The same, and how captures are to be read; NULL: nothing was said. Refused when the files are recordings. */
int cf_replay_files_open_as(struct cf_replay_files *files, char *const *paths, int count,
			    const struct cf_capture_options *options, struct cf_error *error);
/* `frame` was taken by the replay, whose plan is now `plan`: with META, the policy's timeouts hold for captures. */
void cf_replay_files_times(struct cf_replay_files *files, const struct cf_frame *frame, const struct cf_plan *plan);
/* What became of the packets of captures, in the log; of recordings nothing. */
void cf_replay_files_log(const struct cf_replay_files *files);
/* A cf_frames' next: *context is a struct cf_replay_files. */
int cf_replay_files_next(void *context, struct cf_frame *frame, struct cf_error *error);
void cf_replay_files_close(struct cf_replay_files *files);

/* How much was read so far, 0..1, and how many events were in it. */
double cf_replay_files_part(const struct cf_replay_files *files);
uint64_t cf_replay_files_events(const struct cf_replay_files *files);
#endif
