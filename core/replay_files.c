/* SPDX-License-Identifier: MIT
 * Files of recordings as one row of frames: see replay_files.h. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include "log.h"
#include "replay_files.h"

int cf_replay_files_open(struct cf_replay_files *files, char *const *paths, int count, struct cf_error *error)
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
	return 0;
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
}

double cf_replay_files_part(const struct cf_replay_files *files)
{
	uint64_t bytes = files->bytes_before + (files->is_open ? files->reader.numbers.file_bytes : 0);

	return files->total_bytes && bytes < files->total_bytes ? (double)bytes / (double)files->total_bytes : 1;
}

uint64_t cf_replay_files_events(const struct cf_replay_files *files)
{
	return files->events_before + (files->is_open ? files->reader.numbers.events : 0);
}
