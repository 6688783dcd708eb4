/* SPDX-License-Identifier: MIT
 * Reading a policy file: see policy_file.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "policy_file.h"

static int check(const char *path, const struct stat *st, const uid_t *worker, gid_t group, struct cf_error *error)
{
	if (S_ISDIR(st->st_mode))
		return cf_fail(error, CF_FAIL_POLICY, EISDIR, "%s: is a directory, want a policy file", path);
	if (!S_ISREG(st->st_mode))
		return cf_fail(error, CF_FAIL_POLICY, EINVAL, "%s: is %s, want a policy file", path,
			       S_ISFIFO(st->st_mode) ? "a FIFO" : "a device");
	if (st->st_size > CF_POLICY_MAX)
		return cf_fail(error, CF_FAIL_POLICY, EFBIG, "%s: has %lld bytes, a policy at most %d", path,
			       (long long)st->st_size, CF_POLICY_MAX);
	/* A worker that was taken over must not be able to write the policy of its successor. */
	if (worker && *worker != 0 && st->st_uid == *worker)
		return cf_fail(error, CF_FAIL_POLICY, EPERM,
			       "%s: belongs to uid %u, whom the policy runs as (chown root %s)", path, st->st_uid,
			       path);
	if (worker && *worker != 0 && (st->st_mode & S_IWOTH))
		return cf_fail(error, CF_FAIL_POLICY, EPERM, "%s: may be written by anyone (chmod o-w %s)", path, path);
	if (worker && *worker != 0 && (st->st_mode & S_IWGRP) && st->st_gid == group)
		return cf_fail(error, CF_FAIL_POLICY, EPERM,
			       "%s: may be written by group %u, which the policy runs with (chmod g-w %s)", path,
			       st->st_gid, path);
	return 0;
}

static int read_all(int fd, char *text, size_t size, size_t *len)
{
	ssize_t got;

	*len = 0;
	while (*len < size) {
		got = read(fd, text + *len, size - *len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			return 0;
		*len += (size_t)got;
	}
	return 0;
}

int cf_policy_read(const char *path, const uid_t *worker, gid_t group, char **text, size_t *len, struct cf_error *error)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* O_NONBLOCK: a FIFO must not hang us */

	*text = NULL;
	if (fd < 0)
		return cf_fail(error, CF_FAIL_POLICY, errno, "%s: cannot open the policy file: %s", path,
			       strerror(errno));
	if (fstat(fd, &st) < 0 || check(path, &st, worker, group, error) < 0)
		goto fail;
	*text = malloc((size_t)st.st_size + 1);
	if (!*text || read_all(fd, *text, (size_t)st.st_size, len) < 0) {
		cf_fail(error, CF_FAIL_POLICY, errno, "%s: cannot read the policy file: %s", path, strerror(errno));
		goto fail;
	}
	(*text)[*len] = '\0';
	close(fd);
	return 0;
fail:
	free(*text);
	*text = NULL;
	close(fd);
	return -1;
}
