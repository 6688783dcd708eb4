/* SPDX-License-Identifier: MIT
 * Network namespaces: see netns.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "error.h"
#include "log.h"
#include "netns.h"
#include "plan.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static const char *file_kind(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return "a file that cannot be looked at";
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	default:
		return "a device";
	}
}

static int path_fail(const struct cf_plan_cell *cell, int err, struct cf_error *error)
{
	const char *slash = strrchr(cell->netns, '/');

	if (err == ENOENT && strstr(cell->netns, "/run/netns/") && slash[1])
		return cf_fail(error, CF_FAIL_SETNS, err,
			       "cell \"%s\": no network namespace at %s (create it with: ip netns add %s)", cell->name,
			       cell->netns, slash + 1);
	return cf_fail(error, CF_FAIL_SETNS, err, "cell \"%s\": network namespace %s: %s%s", cell->name, cell->netns,
		       strerror(err),
		       err == ENOENT   ? " (is the cell running?)"
		       : err == EACCES ? " (needs root)"
				       : "");
}

/* O_PATH first: a plain open would block on a FIFO and could have effects on a device. */
static int path_open(const struct cf_plan_cell *cell, struct cf_error *err)
{
	int path_fd, fd = -1, ret;
	struct statfs fs;
	char link[32];

	path_fd = open(cell->netns, O_PATH | O_CLOEXEC);
	if (path_fd < 0)
		return path_fail(cell, errno, err);
	if (fstatfs(path_fd, &fs) < 0 || fs.f_type != NSFS_MAGIC) {
		ret = cf_fail(err, CF_FAIL_SETNS, EINVAL,
			      "cell \"%s\": %s is %s, not a network namespace (a path below /run/netns, or "
			      "/proc/PID/ns/net)",
			      cell->name, cell->netns, file_kind(path_fd));
		goto out;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
	fd = open(link, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		ret = path_fail(cell, errno, err);
	else if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		ret = cf_fail(err, CF_FAIL_SETNS, EINVAL,
			      "cell \"%s\": %s is a namespace of another type, not a network namespace", cell->name,
			      cell->netns);
	else
		ret = fd;
out:
	if (ret < 0 && fd >= 0)
		close(fd);
	close(path_fd);
	return ret;
}

/* The pidfd proves that the process whose /proc entry was opened is the one that had the pid at the start: the
 * number cannot pass to another process before this one was waited for. */
static int pid_open(const struct cf_plan_cell *cell, struct cf_error *err)
{
	int pidfd, fd = -1, cause = 0;
	char path[32];

	pidfd = (int)syscall(SYS_pidfd_open, cell->pid, 0);
	if (pidfd < 0) {
		cause = errno;
		goto out;
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)cell->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		cause = errno;
	} else if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0) {
		cause = errno;
		close(fd);
		fd = -1;
	}
	close(pidfd);
out:
	if (fd >= 0)
		return fd;
	if (cause == ESRCH || cause == ENOENT)
		return cf_fail(err, CF_FAIL_SETNS, ESRCH,
			       "cell \"%s\": no process %d, so no network namespace of it (is the cell running?)",
			       cell->name, (int)cell->pid);
	return cf_fail(err, CF_FAIL_SETNS, cause, "cell \"%s\": network namespace of process %d: %s", cell->name,
		       (int)cell->pid, strerror(cause));
}

int cf_netns_open(const struct cf_plan_cell *cell, struct cf_error *err)
{
	if (cell->netns[0])
		return path_open(cell, err);
	if (cell->pid > 0)
		return pid_open(cell, err);
	return cf_fail(err, CF_FAIL_SETNS, EINVAL,
		       "cell \"%s\": neither netns nor pid is given (example: netns = \"/run/netns/%s\")", cell->name,
		       cell->name);
}

static int is_same_file(int a, int b)
{
	struct stat one, other;

	return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

int cf_netns_do(int nsfd, int (*fn)(void *arg), void *arg, struct cf_error *err)
{
	int home, ret, cause;

	home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return cf_fail(err, CF_FAIL_SETNS, errno, "own network namespace: /proc/thread-self/ns/net: %s",
			       strerror(errno));
	if (is_same_file(home, nsfd)) { /* to enter it would need CAP_SYS_ADMIN for nothing */
		close(home);
		return fn(arg);
	}
	if (setns(nsfd, CLONE_NEWNET) < 0) {
		cause = errno;
		close(home);
		return cf_fail(err, CF_FAIL_SETNS, cause, "entering the network namespace: %s%s", strerror(cause),
			       cause == EPERM ? " (needs root, or CAP_SYS_ADMIN)" : "");
	}
	ret = fn(arg);
	cause = errno;
	if (setns(home, CLONE_NEWNET) < 0) {
		cf_error_log("returning to the own network namespace: %s; giving up", strerror(errno));
		abort();
	}
	close(home);
	errno = cause;
	return ret;
}

struct cookie {
	uint64_t value;
	int cause; /* errno value */
};

/* The socket lives for this call only: it would pin the namespace. */
static int cookie_read(void *arg)
{
	struct cookie *cookie = arg;
	socklen_t len = sizeof(cookie->value);
	int fd;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		cookie->cause = errno;
		return 0;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie->value, &len) < 0) {
		cookie->value = 0;
		cookie->cause = errno == ENOPROTOOPT ? 0 : errno;
	}
	close(fd);
	return 0;
}

int cf_netns_identity(int nsfd, struct cf_netns_id *id, struct cf_error *err)
{
	struct cookie cookie = { 0 };
	struct stat st;

	memset(id, 0, sizeof(*id));
	if (fstat(nsfd, &st) < 0)
		return cf_fail(err, CF_FAIL_SETNS, errno, "looking at the network namespace: %s", strerror(errno));
	id->dev = st.st_dev;
	id->ino = st.st_ino;
	if (cf_netns_do(nsfd, cookie_read, &cookie, err) < 0)
		return -1;
	if (cookie.cause)
		return cf_fail(err, CF_FAIL_SETNS, cookie.cause, "cookie of the network namespace: %s",
			       strerror(cookie.cause));
	id->cookie = cookie.value;
	return 0;
}

int cf_netns_same(const struct cf_netns_id *a, const struct cf_netns_id *b)
{
	return a->cookie == b->cookie && a->dev == b->dev && a->ino == b->ino;
}
