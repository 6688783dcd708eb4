/* SPDX-License-Identifier: MIT
 * That two live cellflows do not take each other's filters for leftovers: see cf_clsact_lock in clsact.h. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "clsact.h"
#include "error.h"
#include "flow.h"

static const char *const words[2] = { [CF_FLOW_EGRESS] = "egress", [CF_FLOW_INGRESS] = "ingress" };

static socklen_t lock_name(struct sockaddr_un *addr, const struct cf_clsact_target *target, int direction)
{
	int len;

	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	/* A first byte of 0: no file, and the kernel frees the name when the last holder dies. */
	len = snprintf(addr->sun_path + 1, sizeof(addr->sun_path) - 1, "cellflow/clsact/%" PRIu64 "/%d/%s",
		       target->netns, target->ifindex, words[direction]);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

/* The process that listens on the name; 0: unknown. */
static int lock_holder(const struct sockaddr_un *addr, socklen_t len)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	int fd;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return 0;
	if (connect(fd, (const struct sockaddr *)addr, len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		peer.pid = 0;
	close(fd);
	return peer.pid;
}

static int lock_one(const struct cf_clsact_target *target, int direction, struct cf_error *err)
{
	struct sockaddr_un addr;
	socklen_t len = lock_name(&addr, target, direction);
	int fd, cause, holder;
	char who[48] = "";

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, len) == 0 && listen(fd, 64) == 0)
		return fd;
	cause = errno;
	if (fd >= 0)
		close(fd);
	if (cause != EADDRINUSE)
		return cf_fail(err, CF_FAIL_ATTACH, cause, "cell \"%s\": interface %s: lock for clsact: %s",
			       target->cell, target->ifname, strerror(cause));
	holder = lock_holder(&addr, len);
	if (holder > 0)
		snprintf(who, sizeof(who), " (process %d)", holder);
	return cf_fail(err, CF_FAIL_ATTACH, cause,
		       "cell \"%s\": interface %s: another cellflow%s is attached to its %s hook by clsact; stop that "
		       "one first",
		       target->cell, target->ifname, who, words[direction]);
}

void cf_clsact_init(struct cf_clsact *clsact)
{
	*clsact = (struct cf_clsact){ .lock_fd = { -1, -1 } };
}

int cf_clsact_lock(struct cf_clsact *clsact, const struct cf_clsact_target *target, const int prog_fd[2],
		   struct cf_error *err)
{
	for (int i = 0; i < 2; i++) {
		if (prog_fd[i] < 0)
			continue;
		clsact->lock_fd[i] = lock_one(target, i, err);
		if (clsact->lock_fd[i] < 0) {
			cf_clsact_unlock(clsact);
			return -1;
		}
	}
	return 0;
}

void cf_clsact_unlock(struct cf_clsact *clsact)
{
	for (int i = 0; i < 2; i++) {
		if (clsact->lock_fd[i] >= 0)
			close(clsact->lock_fd[i]);
		clsact->lock_fd[i] = -1;
	}
}
