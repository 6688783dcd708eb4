/* SPDX-License-Identifier: MIT
 * Files of recordings as one row of frames: see replay_files.h. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include "log.h"
#include "replay_files.h"

/* All of them are captures, or none is. */
static int open_captures(struct cf_replay_files *files, const struct cf_capture_options *options,
			 struct cf_error *error)
{
	int captures = 0;

	for (int i = 0; i < files->count; i++)
		captures += cf_capture_is(files->paths[i]);
	if (captures == 0 && options)
		return cf_fail(error, CF_FAIL_USAGE, 0,
			       "--cell-net, --cell-mac, --cell-name and --events are for captures, and %s is none",
			       files->paths[0]);
	if (captures == 0)
		return 0;
	if (captures < files->count)
		return cf_fail(error, CF_FAIL_USAGE, 0, "captures and other files do not go together");
	files->capture = cf_capture_open((const char *const *)files->paths, (uint32_t)files->count, options, error);
	return files->capture ? 0 : -1;
}

int cf_replay_files_open(struct cf_replay_files *files, char *const *paths, int count, struct cf_error *error)
{
	return cf_replay_files_open_as(files, paths, count, NULL, error);
}

int cf_replay_files_open_as(struct cf_replay_files *files, char *const *paths, int count,
			    const struct cf_capture_options *options, struct cf_error *error)
{
	struct stat st;

	memset(files, 0, sizeof(*files));
	files->paths = paths;
	files->count = count;
	for (int i = 0; i < count; i++) {
		if (stat(paths[i], &st) < 0)
			return cf_fail(error, CF_FAIL_RECORDING, errno, "%s: cannot be opened: %s", paths[i],
				       strerror(errno));
		files->total_bytes += (uint64_t)st.st_size;
	}
	return open_captures(files, options, error);
}

void cf_replay_files_times(struct cf_replay_files *files, const struct cf_frame *frame, const struct cf_plan *plan)
{
	if (files->capture && frame->type == CF_FRAME_META && plan)
		cf_capture_times(files->capture, &plan->flows);
}

void cf_replay_files_log(const struct cf_replay_files *files)
{
	if (files->capture)
		cf_capture_log(files->capture);
}

static int next_of_captures(struct cf_replay_files *files, struct cf_frame *frame, struct cf_error *error)
{
	int rc = cf_capture_next(files->capture, frame, error);

	files->is_damaged |= rc < 0;
	if (rc <= 0)
		files->at = files->count;
	return rc;
}

static void leave(struct cf_replay_files *files)
{
	const struct cf_reader *reader = &files->reader;

	files->bytes_before += reader->numbers.file_bytes;
	files->events_before += reader->numbers.events;
	files->skipped += reader->numbers.skipped;
	files->has_no_end = !reader->is_ended;
	files->continues = reader->is_ended && reader->continues;
	cf_reader_close(&files->reader);
	files->is_open = 0;
}

static void damaged(struct cf_replay_files *files)
{
	files->is_damaged = 1;
	leave(files);
	files->at = files->count;
}

int cf_replay_files_next(void *context, struct cf_frame *frame, struct cf_error *error)
{
	struct cf_replay_files *files = context;

	if (files->capture)
		return next_of_captures(files, frame, error);
	while (files->at < files->count) {
		int rc;

		if (!files->is_open && cf_reader_open(&files->reader, files->paths[files->at], error) < 0) {
			damaged(files);
			return -1;
		}
		files->is_open = 1;
		rc = cf_reader_next(&files->reader, frame, error);
		if (rc > 0)
			return 1;
		if (rc < 0) {
			damaged(files);
			return -1;
		}
		leave(files);
		if (files->has_no_end)
			cf_warn("%s: has no end: its writer was killed, or still writes", files->paths[files->at]);
		files->at++;
	}
	return 0;
}

void cf_replay_files_close(struct cf_replay_files *files)
{
	if (files->is_open)
		leave(files);
	cf_capture_close(files->capture);
	files->capture = NULL;
}

double cf_replay_files_part(const struct cf_replay_files *files)
{
	uint64_t bytes = files->bytes_before + (files->is_open ? files->reader.numbers.file_bytes : 0);

	if (files->capture)
		bytes = cf_capture_position(files->capture);

	return files->total_bytes && bytes < files->total_bytes ? (double)bytes / (double)files->total_bytes : 1;
}

uint64_t cf_replay_files_events(const struct cf_replay_files *files)
{
	if (files->capture)
		return cf_capture_numbers(files->capture)->events;
	return files->events_before + (files->is_open ? files->reader.numbers.events : 0);
}
