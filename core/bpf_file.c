/* SPDX-License-Identifier: MIT
 * An operator's BPF object as bytes: see bpf_file.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
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

/* A path on its way to being opened: nothing that was checked can be changed for something else, it is held. */
struct walk {
	const char *path;
	const char *at; /* what is left of it */
	int fd; /* what the part before `at` names */
	int len; /* bytes of that part */
	bool done;
	struct cf_error *err;
};

/* Who may write a directory may put another file in that one's place; in a sticky one (/tmp) only what is his own. */
static int directory_check(const struct walk *walk)
{
	const char *name = walk->len ? walk->path : ".";
	int len = walk->len ? walk->len : 1;
	struct stat st;

	if (fstat(walk->fd, &st) < 0)
		return open_fail(walk->path, errno, walk->err);
	if (S_ISLNK(st.st_mode))
		return cf_fail(walk->err, CF_FAIL_OBJECT_MISSING, ELOOP,
			       "BPF object %s: %.*s is a symbolic link; give the path without it", walk->path, len,
			       name);
	if (!S_ISDIR(st.st_mode))
		return open_fail(walk->path, ENOTDIR, walk->err);
	if (st.st_uid != 0)
		return cf_fail(walk->err, CF_FAIL_OBJECT_MISSING, EPERM,
			       "BPF object %s: directory %.*s belongs to uid %u, not to root (chown root %.*s)",
			       walk->path, len, name, st.st_uid, len, name);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
		return cf_fail(
			walk->err, CF_FAIL_OBJECT_MISSING, EPERM,
			"BPF object %s: directory %.*s may be written by others than its owner (chmod go-w %.*s)",
			walk->path, len, name, len, name);
	return 0;
}

static int walk_on(struct walk *walk)
{
	const char *end = walk->at + strcspn(walk->at, "/");
	size_t len = (size_t)(end - walk->at);
	/* O_NONBLOCK: the open of a FIFO would wait for a writer. */
	int flags = *end ? O_PATH : O_RDONLY | O_NONBLOCK | O_NOCTTY;
	char name[NAME_MAX + 1];
	int next;

	if (directory_check(walk) < 0)
		return -1;
	if (len == 0 || len > NAME_MAX)
		return open_fail(walk->path, len ? ENAMETOOLONG : EISDIR, walk->err);
	memcpy(name, walk->at, len);
	name[len] = '\0';
	next = openat(walk->fd, name, flags | O_NOFOLLOW | O_CLOEXEC);
	if (next < 0)
		return open_fail(walk->path, errno, walk->err);
	close(walk->fd);
	walk->fd = next;
	walk->len = (int)(end - walk->path);
	walk->at = end + strspn(end, "/");
	walk->done = *end == '\0';
	return 0;
}

static int open_along(const char *path, struct cf_error *err)
{
	struct walk walk = { .path = path, .at = path + strspn(path, "/"), .len = *path == '/', .err = err };

	walk.fd = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (walk.fd < 0)
		return open_fail(path, errno, err);
	while (!walk.done) {
		if (walk_on(&walk) < 0) {
			close(walk.fd);
			return -1;
		}
	}
	return walk.fd;
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

	fd = open_along(path, err);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0) {
		open_fail(path, errno, err);
	} else if (file_check(path, &st, err) == 0) {
		*len = (size_t)st.st_size;
		bytes = file_take(fd, path, *len, err);
	}
	close(fd);
	return bytes;
}
