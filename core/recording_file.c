/* SPDX-License-Identifier: MIT
 * The file that a recording is written to: see recording_write.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "recording_write.h"

static int refuse(const char *path, int err, struct cf_error *error)
{
	if (err == EEXIST)
		return cf_fail(
			error, CF_FAIL_OUTPUT, err,
			"%s: exists already, and a recording is not written over (give another name, or --force)",
			path);
	return cf_fail(error, CF_FAIL_OUTPUT, err, "%s: cannot make the recording: %s", path, strerror(err));
}

int cf_recording_create(const char *path, int replace, int *fd, struct cf_error *error)
{
	/* O_NONBLOCK: a FIFO must not hang us. Not O_TRUNC: it is not yet known what would be emptied. */
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK;
	struct stat st;
	int err;

	*fd = open(path, replace ? flags : flags | O_EXCL, 0600);
	if (*fd < 0)
		return refuse(path, errno, error);
	if (fstat(*fd, &st) < 0)
		goto fail;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		goto fail;
	}
	if (ftruncate(*fd, 0) < 0 || fchmod(*fd, 0600) < 0)
		goto fail;
	return 0;
fail:
	err = errno;
	close(*fd);
	*fd = -1;
	if (err == EINVAL)
		return cf_fail(error, CF_FAIL_OUTPUT, err,
			       "%s: is no regular file, and nothing to write a recording to", path);
	return refuse(path, err, error);
}

/* Half a block is worth nothing; without it the file ends as if nothing more had come. */
static void take_back(int fd, size_t len)
{
	off_t end = lseek(fd, 0, SEEK_CUR);

	if (end >= (off_t)len && ftruncate(fd, end - (off_t)len) == 0)
		lseek(fd, end - (off_t)len, SEEK_SET);
}

int cf_recording_write_fd(void *context, const void *bytes, size_t len)
{
	int fd = *(const int *)context;
	size_t done = 0;

	while (done < len) {
		ssize_t put = write(fd, (const uint8_t *)bytes + done, len - done);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0) {
			int err = errno;

			take_back(fd, done);
			return -err;
		}
		done += (size_t)put;
	}
	return 0;
}
