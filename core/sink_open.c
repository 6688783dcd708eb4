/* SPDX-License-Identifier: MIT
 * Opening an output's target, in the privileged half: cf_sink_open_target of sink.h. What is written, when and
 * how much of it is lost is sink.c's business. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "sink.h"

/* O_NONBLOCK belongs to the open description, which stdout shares with the shell and other writers: setting it there
 * would break them. Opening the same pipe or terminal anew gives a description of our own. */
static int open_stdout(struct cf_error *error)
{
	struct stat st;
	int fd = -1;

	if (fstat(STDOUT_FILENO, &st) < 0 || (fcntl(STDOUT_FILENO, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return cf_fail(error, CF_FAIL_OUTPUT, EBADF,
			       "output \"-\": stdout is closed (send records elsewhere: > FILE, or output \"json\" "
			       "{ path = \"FILE\" })");
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return cf_fail(error, CF_FAIL_OUTPUT, errno, "output \"-\": %s", strerror(errno));
	return fd;
}

static int open_file(const struct cf_plan_output *output, struct cf_error *error)
{
	struct stat st;
	/* O_NONBLOCK: a FIFO without a reader must not hang us; meaningless for a regular file. */
	int fd = open(output->path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0640);

	if (fd < 0)
		return cf_fail(error, CF_FAIL_OUTPUT, errno, "%s: output \"%s\": cannot open: %s", output->place,
			       output->path, errno == ENXIO ? "a FIFO that nobody reads" : strerror(errno));
	if (fstat(fd, &st) < 0 || S_ISBLK(st.st_mode)) {
		close(fd);
		return cf_fail(error, CF_FAIL_OUTPUT, EINVAL, "%s: output \"%s\": is a block device, want a file",
			       output->place, output->path);
	}
	return fd;
}

static int open_unix(const struct cf_plan_output *output, struct cf_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(output->path) >= sizeof(address.sun_path))
		return cf_fail(error, CF_FAIL_OUTPUT, ENAMETOOLONG,
			       "%s: output \"unix:%s\": path longer than the %zu bytes of a socket address",
			       output->place, output->path, sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, output->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		cf_fail(error, CF_FAIL_OUTPUT, errno,
			"%s: output \"unix:%s\": cannot connect: %s (is its reader running?)", output->place,
			output->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

int cf_sink_open_target(const struct cf_plan_output *output, int *fd, struct cf_error *error)
{
	switch (output->kind) {
	case CF_OUTPUT_STDOUT:
		*fd = open_stdout(error);
		break;
	case CF_OUTPUT_FILE:
		*fd = open_file(output, error);
		break;
	case CF_OUTPUT_UNIX:
		*fd = open_unix(output, error);
		break;
	default:
		*fd = -1;
		return cf_fail(error, CF_FAIL_OUTPUT, EINVAL, "%s: output of unknown kind %u", output->place,
			       output->kind);
	}
	return *fd < 0 ? -1 : 0;
}
