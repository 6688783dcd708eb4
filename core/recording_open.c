/* SPDX-License-Identifier: MIT
 * A recording is opened, its reader given memory, and its times turned into text: see recording_read.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include "clock.h"
#include "recording_pack.h"
#include "recording_read.h"

_Static_assert((int)CF_READER_DATA_MAX >= (int)ZSTD_COMPRESSBOUND(CF_BLOCK_RAW_MAX + CF_PACK_HEAD), "any block fits");

#define NS_PER_SECOND 1000000000

size_t cf_reader_time_text(uint64_t boot_ns, int64_t offset_ns, char *out)
{
	int64_t seconds = (int64_t)(boot_ns / NS_PER_SECOND) + offset_ns / NS_PER_SECOND;
	int64_t ns = (int64_t)(boot_ns % NS_PER_SECOND) + offset_ns % NS_PER_SECOND;

	if (ns < 0) {
		seconds--;
		ns += NS_PER_SECOND;
	} else if (ns >= NS_PER_SECOND) {
		seconds++;
		ns -= NS_PER_SECOND;
	}
	return cf_clock_format(seconds, (uint32_t)ns, out);
}

int cf_reader_take(struct cf_reader *reader, int fd, const char *name, struct cf_error *error)
{
	memset(reader, 0, sizeof(*reader));
	reader->fd = fd;
	snprintf(reader->name, sizeof(reader->name), "%s", name);
	reader->data = malloc(CF_READER_DATA_MAX);
	reader->packed = malloc(CF_BLOCK_RAW_MAX + CF_PACK_HEAD);
	reader->raw = malloc(CF_BLOCK_RAW_MAX);
	reader->zstd = ZSTD_createDCtx();
	if (reader->data && reader->packed && reader->raw && reader->zstd)
		return 0;
	reader->damage = CF_DAMAGE_FILE;
	cf_fail(&reader->error, CF_FAIL_INTERNAL, 0, "%s: no memory to read the recording with", name);
	if (error)
		*error = reader->error;
	return -1;
}

static int refuse(struct cf_reader *reader, int err, const char *what, struct cf_error *error)
{
	reader->damage = CF_DAMAGE_FILE;
	cf_fail(&reader->error, CF_FAIL_RECORDING, err, "%s: %s", reader->name, what);
	if (error)
		*error = reader->error;
	return -1;
}

int cf_reader_open(struct cf_reader *reader, const char *path, struct cf_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* O_NONBLOCK: a FIFO must not hang us */
	int err = errno;
	struct stat st;

	if (cf_reader_take(reader, fd, path, error) < 0)
		return -1;
	if (fd < 0 || fstat(fd, &st) < 0)
		return refuse(reader, fd < 0 ? err : errno, strerror(fd < 0 ? err : errno), error);
	if (S_ISDIR(st.st_mode))
		return refuse(reader, EISDIR, "is a directory, want a recording", error);
	if (S_ISFIFO(st.st_mode))
		return refuse(reader, EINVAL, "is a FIFO, want a recording", error);
	if (!S_ISREG(st.st_mode))
		return refuse(reader, EINVAL, "is no regular file, want a recording", error);
	return 0;
}

void cf_reader_close(struct cf_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	free(reader->data);
	free(reader->packed);
	free(reader->raw);
	ZSTD_freeDCtx(reader->zstd);
	reader->data = reader->packed = reader->raw = NULL;
	reader->zstd = NULL;
	reader->fd = -1;
	reader->raw_at = reader->raw_len = 0;
	if (!reader->damage)
		reader->damage = CF_DAMAGE_FILE;
}
