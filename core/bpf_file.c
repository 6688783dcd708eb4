/* SPDX-License-Identifier: MIT
 * An operator's BPF object as bytes: see bpf_file.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bpf_file.h"
#include "error.h"

static int open_fail(const char *path, int cause, struct cf_error *err)
{
	const char *words = strerror(cause), *advice = "";

	if (cause == ENOENT)
		advice = " (build it or correct the path; without one the built-in object is used)";
	else if (cause == ELOOP)
		words = "is a symbolic link; give the path of the file itself";
	return cf_fail(err, CF_FAIL_OBJECT_MISSING, cause, "BPF object %s: %s%s", path, words, advice);
}

static int file_check(const char *path, const struct stat *st, struct cf_error *err)
{
	if (!S_ISREG(st->st_mode))
		return cf_fail(err, CF_FAIL_OBJECT_MISSING, EINVAL, "BPF object %s: is %s, not a regular file", path,
			       S_ISDIR(st->st_mode)    ? "a directory"
			       : S_ISFIFO(st->st_mode) ? "a FIFO"
						       : "a device or socket");
	if (st->st_uid != 0)
		return cf_fail(err, CF_FAIL_OBJECT_MISSING, EPERM,
			       "BPF object %s: belongs to uid %u, not to root (chown root %s)", path, st->st_uid, path);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return cf_fail(err, CF_FAIL_OBJECT_MISSING, EPERM,
			       "BPF object %s: may be written by others than its owner (chmod go-w %s)", path, path);
	if (st->st_size <= 0 || st->st_size > CF_BPF_FILE_MAX)
		return cf_fail(err, CF_FAIL_OBJECT_MISSING, EFBIG, "BPF object %s: has %lld bytes; 1 to %d are taken",
			       path, (long long)st->st_size, CF_BPF_FILE_MAX);
	return 0;
}

static void *file_take(int fd, const char *path, size_t len, struct cf_error *err)
{
	char *bytes = malloc(len);
	size_t used = 0;
	ssize_t n;

	if (!bytes) {
		cf_fail(err, CF_FAIL_INTERNAL, ENOMEM, "BPF object %s: out of memory", path);
		return NULL;
	}
	while (used < len) {
		n = read(fd, bytes + used, len - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			cf_fail(err, CF_FAIL_OBJECT_MISSING, n ? errno : EIO, "BPF object %s: %s", path,
				n ? strerror(errno) : "became shorter while it was read");
			free(bytes);
			return NULL;
		}
		used += (size_t)n;
	}
	return bytes;
}

void *cf_bpf_file_read(const char *path, size_t *len, struct cf_error *err)
{
	void *bytes = NULL;
	struct stat st;
	int fd;

	/* O_NONBLOCK: the open of a FIFO would wait for a writer. */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0) {
		open_fail(path, errno, err);
	} else if (file_check(path, &st, err) == 0) {
		*len = (size_t)st.st_size;
		bytes = file_take(fd, path, *len, err);
	}
	if (fd >= 0)
		close(fd);
	return bytes;
}
