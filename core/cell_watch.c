/* SPDX-License-Identifier: MIT
 * Watching cells: see cell_watch.h. */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cell_watch.h"
#include "error.h"
#include "tcx.h"

enum {
	MESSAGE_LEN = 8192,
	READS_MAX = 64, /* of one call: others want their turn too */
};

static int nsid_attribute(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == NETNSA_NSID && mnl_attr_get_payload_len(attr) == sizeof(int32_t))
		memcpy(arg, mnl_attr_get_payload(attr), sizeof(int32_t));
	return MNL_CB_OK;
}

static int nsid_answer(const struct nlmsghdr *nlh, void *arg)
{
	mnl_attr_parse(nlh, sizeof(struct rtgenmsg), nsid_attribute, arg);
	return MNL_CB_OK;
}

/* RTM_GETNSID or RTM_NEWNSID for a namespace; 0, or -errno. */
static int nsid_request(struct mnl_socket *nl, uint16_t type, int nsfd, int32_t *nsid)
{
	char buf[MESSAGE_LEN];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtgenmsg *gen;
	ssize_t len;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	gen->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(nlh, NETNSA_FD, (uint32_t)nsfd);
	if (type == RTM_NEWNSID)
		mnl_attr_put_u32(nlh, NETNSA_NSID, (uint32_t)-1); /* -1: the kernel chooses */
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		len = mnl_cb_run(buf, (size_t)len, 0, mnl_socket_get_portid(nl), nsid_answer, nsid);
	} while (len > MNL_CB_STOP);
	return len < 0 ? -errno : 0;
}

static int32_t nsid_get(struct mnl_socket *nl, int nsfd)
{
	int32_t nsid = -1;

	if (nsid_request(nl, RTM_GETNSID, nsfd, &nsid) == 0 && nsid >= 0)
		return nsid;
	/* Somebody else may number it between the two: then that number is as good. */
	nsid_request(nl, RTM_NEWNSID, nsfd, &nsid);
	nsid = -1;
	nsid_request(nl, RTM_GETNSID, nsfd, &nsid);
	return nsid;
}

static struct mnl_socket *route_socket(int flags)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);

	if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(nl);
		nl = NULL;
	}
	return nl;
}

int cf_cell_watch_open(struct cf_cell_watch *watch, struct cf_error *err)
{
	int group = RTNLGRP_NSID, cause;

	memset(watch, 0, sizeof(*watch));
	watch->fd = -1;
	watch->requests = route_socket(0);
	watch->events = watch->requests ? route_socket(SOCK_NONBLOCK) : NULL;
	if (!watch->events || mnl_socket_setsockopt(watch->events, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
		cause = errno;
		cf_cell_watch_close(watch);
		return cf_fail(err, CF_FAIL_UNSUPPORTED_HOST, cause, "rtnetlink socket that watches namespaces: %s",
			       strerror(cause));
	}
	watch->fd = mnl_socket_get_fd(watch->events);
	return 0;
}

void cf_cell_watch_close(struct cf_cell_watch *watch)
{
	while (watch->first)
		cf_cell_watch_remove(watch, watch->first);
	if (watch->events)
		mnl_socket_close(watch->events);
	if (watch->requests)
		mnl_socket_close(watch->requests);
	memset(watch, 0, sizeof(*watch));
	watch->fd = -1;
}

int cf_cell_watch_add(struct cf_cell_watch *watch, int nsfd, const struct cf_plan_cell *cell,
		      const struct cf_attachment *attachment, struct cf_cell_watched *out, struct cf_error *err)
{
	memset(out, 0, sizeof(*out));
	out->cell = cell;
	out->attachment = attachment;
	out->nsid = -1;
	out->pidfd = -1;
	if (cf_netns_identity(nsfd, &out->netns, err) < 0)
		return -1;
	if (!cell->netns[0]) {
		out->pidfd = (int)syscall(SYS_pidfd_open, cell->pid, 0);
		if (out->pidfd < 0)
			return cf_fail(err, CF_FAIL_SETNS, errno, "cell \"%s\": process %d: %s", cell->name,
				       (int)cell->pid, strerror(errno));
	}
	out->nsid = nsid_get(watch->requests, nsfd);
	out->next = watch->first;
	watch->first = out;
	return 0;
}

void cf_cell_watch_remove(struct cf_cell_watch *watch, struct cf_cell_watched *watched)
{
	struct cf_cell_watched **at = &watch->first;

	while (*at && *at != watched)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = watched->next;
	if (watched->pidfd >= 0)
		close(watched->pidfd);
	watched->pidfd = -1;
}

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

	return watched->pidfd >= 0 && poll(&exited, 1, 0) > 0;
}

static enum cf_cell_state check_by_name(const struct cf_cell_watched *watched)
{
	const struct cf_attachment *attachment = watched->attachment;
	enum cf_cell_state state = CF_CELL_ALIVE;
	struct there there = { 0 };
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
		} else if (attachment && attachment->mode != CF_ATTACH_AUTO) {
			there.interface = &attachment->interface;
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
		watched->state = check_by_name(watched);
	/* A link that lost its interface is final, even where another one has the name and index by now. */
	if (gone && watched->state == CF_CELL_ALIVE)
		watched->state = CF_CELL_INTERFACE_GONE;
	return watched->state;
}

static int gone_mark(const struct nlmsghdr *nlh, void *arg)
{
	struct cf_cell_watch *watch = arg;
	int32_t nsid = -1;

	if (nlh->nlmsg_type != RTM_DELNSID)
		return MNL_CB_OK;
	mnl_attr_parse(nlh, sizeof(struct rtgenmsg), nsid_attribute, &nsid);
	for (struct cf_cell_watched *at = watch->first; at; at = at->next) {
		/* Numbers are given again, and the message may be about an earlier owner: a namespace that can still
		 * be opened did not go. */
		if (nsid < 0 || at->nsid != nsid || check_by_name(at) != CF_CELL_NAMESPACE_GONE)
			continue;
		at->state = CF_CELL_NAMESPACE_GONE;
		at->nsid = -1;
	}
	return MNL_CB_OK;
}

static int count_gone(const struct cf_cell_watch *watch)
{
	int count = 0;

	for (const struct cf_cell_watched *at = watch->first; at; at = at->next)
		count += at->state != CF_CELL_ALIVE;
	return count;
}

int cf_cell_watch_read(struct cf_cell_watch *watch)
{
	int before = count_gone(watch);
	char buf[MESSAGE_LEN];
	ssize_t len;

	for (int i = 0; i < READS_MAX; i++) {
		len = mnl_socket_recvfrom(watch->events, buf, sizeof(buf));
		if (len > 0) {
			mnl_cb_run(buf, (size_t)len, 0, 0, gone_mark, watch);
			continue;
		}
		if (len == 0 || errno != ENOBUFS)
			break;
		for (struct cf_cell_watched *at = watch->first; at; at = at->next)
			cf_cell_check(at);
	}
	return count_gone(watch) - before;
}
