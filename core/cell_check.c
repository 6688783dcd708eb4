/* SPDX-License-Identifier: MIT
 * Whether a watched cell is still there, by looking: see cell_watch.h. When to look is cell_watch.c's and its callers'
 * to know. */
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <unistd.h>
#include "cell_watch.h"
#include "error.h"
#include "tcx.h"

struct there {
	const struct cf_interface *interface;
	bool gone;
};

static int interface_look(void *arg)
{
	struct there *there = arg;
	unsigned int ifindex = if_nametoindex(there->interface->name);

	there->gone = ifindex ? ifindex != (unsigned int)there->interface->ifindex : errno == ENODEV;
	return 0;
}

/* Short of descriptors or memory we know nothing: that must not end the watch of a cell that lives. */
static bool means_gone(int cause)
{
	return cause == ENOENT || cause == ENOTDIR || cause == ESRCH || cause == EINVAL;
}

/* The pid may belong to another process by now: the pidfd knows. */
static bool has_exited(const struct cf_cell_watched *watched)
{
	struct pollfd exited = { .fd = watched->pidfd, .events = POLLIN };

	return watched->pidfd >= 0 && !watched->cell->netns[0] && poll(&exited, 1, 0) > 0;
}

enum cf_cell_state cf_cell_look(const struct cf_cell_watched *watched)
{
	enum cf_cell_state state = CF_CELL_ALIVE;
	struct there there = { .interface = &watched->inner };
	struct cf_netns_id now;
	struct cf_error why;
	int nsfd;

	if (has_exited(watched))
		return CF_CELL_NAMESPACE_GONE;
	nsfd = cf_netns_open(watched->cell, &why);
	if (nsfd < 0)
		return means_gone(why.err) ? CF_CELL_NAMESPACE_GONE : CF_CELL_ALIVE;
	if (cf_netns_identity(nsfd, &now, NULL) == 0) {
		if (!cf_netns_same(&now, &watched->netns)) {
			state = CF_CELL_NAMESPACE_GONE;
		} else if (watched->inner.ifindex) {
			cf_netns_do(nsfd, interface_look, &there, NULL);
			state = there.gone ? CF_CELL_INTERFACE_GONE : CF_CELL_ALIVE;
		}
	}
	close(nsfd);
	return state;
}

static bool link_gone(const struct cf_attachment *attachment)
{
	for (int i = 0; i < 2; i++)
		if (attachment->link_fd[i] >= 0 && cf_tcx_ifindex(attachment->link_fd[i]) == 0)
			return true;
	return false;
}

enum cf_cell_state cf_cell_check(struct cf_cell_watched *watched)
{
	const struct cf_attachment *attachment = watched->attachment;
	bool tcx = attachment && attachment->mode == CF_ATTACH_TCX;
	bool gone = tcx && link_gone(attachment);

	if (watched->state != CF_CELL_ALIVE)
		return watched->state;
	if (has_exited(watched)) /* also where another process keeps the namespace: the cell was that one */
		return watched->state = CF_CELL_NAMESPACE_GONE;
	if (!tcx || gone || watched->by_name)
		watched->state = cf_cell_look(watched);
	/* A link that lost its interface is final, even where another one has the name and index by now. */
	if (gone && watched->state == CF_CELL_ALIVE)
		watched->state = CF_CELL_INTERFACE_GONE;
	return watched->state;
}
