/* SPDX-License-Identifier: MIT
 * Watching cells: see cell_watch.h. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cell_watch.h"
#include "error.h"
#include "nsid.h"

enum { /* of one call: others want their turn too */
       MESSAGE_LEN = 8192,
       READS_MAX = 512, /* more than an unread queue holds */
       NEWS_MAX = 64,
       LOOKS_MAX = 256,
};

/* What the epoll descriptor says is one of the watch's own members, or else a cell whose process ended. */
static int listen_to(const struct cf_cell_watch *watch, int fd, uint32_t events, void *what)
{
	struct epoll_event event = { .events = events, .data.ptr = what };

	return epoll_ctl(watch->fd, EPOLL_CTL_ADD, fd, &event);
}

static struct mnl_socket *open_group(int group)
{
	struct mnl_socket *nl = cf_route_socket(SOCK_NONBLOCK);

	if (nl && mnl_socket_setsockopt(nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
		mnl_socket_close(nl);
		nl = NULL;
	}
	return nl;
}

static int open_netlink(struct cf_cell_watch *watch)
{
	watch->requests = cf_route_socket(0);
	watch->events = open_group(RTNLGRP_NSID);
	watch->links = open_group(RTNLGRP_LINK);
	if (!watch->requests || !watch->events || !watch->links)
		return -1;
	watch->netlink_fd = mnl_socket_get_fd(watch->events);
	return 0;
}

static int listen_to_all(struct cf_cell_watch *watch)
{
	if (watch->fd < 0 || watch->again_fd < 0 || 
	    listen_to(watch, watch->netlink_fd, EPOLLIN, &watch->events) < 0 ||
	    listen_to(watch, mnl_socket_get_fd(watch->links), EPOLLIN, &watch->links) < 0 ||
	    listen_to(watch, watch->again_fd, EPOLLIN, &watch->again_fd) < 0)
		return -1;
	return watch->paths.fd < 0 ? 0 : listen_to(watch, watch->paths.fd, EPOLLIN, &watch->paths);
}

int cf_cell_watch_open(struct cf_cell_watch *watch, struct cf_error *err)
{
	int cause;

	memset(watch, 0, sizeof(*watch));
	watch->is_open = true;
	cf_path_watch_open(&watch->paths);
	watch->fd = epoll_create1(EPOLL_CLOEXEC);
	watch->again_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (open_netlink(watch) == 0 && listen_to_all(watch) == 0)
		return 0;
	cause = errno;
	cf_cell_watch_close(watch);
	return cf_fail(err, CF_FAIL_UNSUPPORTED_HOST, cause, "descriptors to watch namespaces with: %s",
		       strerror(cause));
}

void cf_cell_watch_close(struct cf_cell_watch *watch)
{
	while (watch->first)
		cf_cell_watch_remove(watch, watch->first);
	if (watch->events)
		mnl_socket_close(watch->events);
	if (watch->links)
		mnl_socket_close(watch->links);
	if (watch->requests)
		mnl_socket_close(watch->requests);
	if (watch->is_open) {
		cf_path_watch_close(&watch->paths);
		close(watch->again_fd);
		close(watch->fd);
	}
	memset(watch, 0, sizeof(*watch));
	watch->fd = -1;
}

/* The process that the cell is, or that its path goes through: /proc has no inotify. */
static int pid_of(const struct cf_plan_cell *cell)
{
	int pid = 0, len = 0;

	if (!cell->netns[0])
		return cell->pid;
	if (sscanf(cell->netns, "/proc/%d/ns/net%n", &pid, &len) < 1 || len == 0 || cell->netns[len])
		return 0;
	return pid;
}

static int watch_process(struct cf_cell_watch *watch, const struct cf_plan_cell *cell, struct cf_cell_watched *out,
			 struct cf_error *err)
{
	int pid = pid_of(cell);

	if (pid > 0)
		out->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	/* Once: it stays readable. */
	if (out->pidfd >= 0 && listen_to(watch, out->pidfd, EPOLLIN | EPOLLONESHOT, out) < 0) {
		close(out->pidfd);
		out->pidfd = -1;
	}
	if (out->pidfd >= 0 || cell->netns[0])
		return 0;
	return cf_fail(err, CF_FAIL_SETNS, errno, "cell \"%s\": process %d: %s", cell->name, pid, strerror(errno));
}

void cf_cell_watch_again(struct cf_cell_watch *watch)
{
	(void)!write(watch->again_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

static void suspect(struct cf_cell_watch *watch, struct cf_cell_watched *watched)
{
	if (watched->suspect || watched->state == CF_CELL_NAMESPACE_GONE)
		return;
	watched->suspect = true;
	watch->suspects++;
}

static int nsid_news(const struct nlmsghdr *nlh, void *arg)
{
	struct cf_cell_watch *watch = arg;
	int32_t nsid;

	if (nlh->nlmsg_type != RTM_DELNSID)
		return MNL_CB_OK;
	nsid = cf_nsid_of(nlh);
	for (struct cf_cell_watched *at = watch->first; nsid >= 0 && at; at = at->next)
		if (at->nsid == nsid)
			suspect(watch, at);
	return MNL_CB_OK;
}

static void read_netlink(struct cf_cell_watch *watch)
{
	char buf[MESSAGE_LEN];
	ssize_t len;

	for (int i = 0; i < READS_MAX; i++) {
		len = mnl_socket_recvfrom(watch->events, buf, sizeof(buf));
		if (len > 0) {
			mnl_cb_run(buf, (size_t)len, 0, 0, nsid_news, watch);
			continue;
		}
		if (len == 0 || errno != ENOBUFS)
			break;
		for (struct cf_cell_watched *at = watch->first; at; at = at->next)
			suspect(watch, at);
	}
}

static int link_news(const struct nlmsghdr *nlh, void *arg)
{
	struct cf_cell_watch *watch = arg;

	watch->links_went |= nlh->nlmsg_type == RTM_DELLINK;
	return MNL_CB_OK;
}

static void read_links(struct cf_cell_watch *watch)
{
	char buf[MESSAGE_LEN];
	ssize_t len;

	for (int i = 0; i < READS_MAX; i++) {
		len = mnl_socket_recvfrom(watch->links, buf, sizeof(buf));
		if (len > 0)
			mnl_cb_run(buf, (size_t)len, 0, 0, link_news, watch);
		else if (len < 0 && errno == ENOBUFS)
			watch->links_went = true;
		else
			break;
	}
}

/* A number is given again as soon as it is free: what is still unread is about whoever had it before, and would end the
 * one that has it now where its path is gone and something else keeps it. */
static int32_t number_of_its_own(struct cf_cell_watch *watch, int nsfd)
{
	int32_t nsid = cf_nsid_give(watch->requests, nsfd);

	read_netlink(watch);
	if (watch->suspects > 0)
		cf_cell_watch_again(watch);
	return nsid;
}

int cf_cell_watch_add(struct cf_cell_watch *watch, int nsfd, const struct cf_plan_cell *cell,
		      const struct cf_attachment *attachment, struct cf_cell_watched *out, struct cf_error *err)
{
	memset(out, 0, sizeof(*out));
	out->cell = cell;
	out->attachment = attachment;
	out->nsid = -1;
	out->pidfd = -1;
	if (cf_netns_identity(nsfd, &out->netns, err) < 0 || watch_process(watch, cell, out, err) < 0)
		return -1;
	if (attachment && attachment->mode != CF_ATTACH_AUTO && cf_netns_same(&attachment->netns, &out->netns))
		out->inner = attachment->interface;
	if (cell->netns[0])
		out->dir = cf_path_watch_add(&watch->paths, cell->netns);
	out->nsid = number_of_its_own(watch, nsfd);
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
	watch->suspects -= watched->suspect;
	cf_path_watch_remove(&watch->paths, watched->dir);
	if (watched->pidfd >= 0) {
		epoll_ctl(watch->fd, EPOLL_CTL_DEL, watched->pidfd, NULL); /* a forked child may have it open */
		close(watched->pidfd);
	}
	watched->pidfd = -1;
}

/* A path that goes is the end of a cell only where its namespace cannot tell its own. */
static bool goes_by_path(const struct cf_cell_watched *watched)
{
	return watched->by_name || !watched->attachment || watched->attachment->mode != CF_ATTACH_TCX;
}

static void path_news(void *context, const struct cf_path_dir *dir, const char *name)
{
	struct cf_cell_watch *watch = context;

	for (struct cf_cell_watched *at = watch->first; at; at = at->next) {
		bool concerned =
			!dir || (at->dir == dir && (!name || strcmp(name, cf_path_name(at->cell->netns)) == 0));

		if (concerned && goes_by_path(at))
			suspect(watch, at);
	}
}

static void take(struct cf_cell_watch *watch, void *what)
{
	struct cf_cell_watched *watched = what;
	uint64_t ignored;

	if (what == &watch->events)
		read_netlink(watch);
	else if (what == &watch->links)
		read_links(watch);
	else if (what == &watch->paths)
		cf_path_watch_read(&watch->paths, path_news, watch);
	else if (what == &watch->again_fd)
		(void)!read(watch->again_fd, &ignored, sizeof(ignored));
	else if (!watched->cell->netns[0] || goes_by_path(watched))
		suspect(watch, watched);
}

/* The news may be about an earlier owner of the number or the name: a namespace that can still be opened, and is the
 * same, did not go. */
static void look_at_suspects(struct cf_cell_watch *watch)
{
	uint32_t left = LOOKS_MAX;

	for (struct cf_cell_watched *at = watch->first; at && watch->suspects > 0 && left > 0; at = at->next) {
		enum cf_cell_state now;

		if (!at->suspect)
			continue;
		left--;
		at->suspect = false;
		watch->suspects--;
		now = cf_cell_look(at);
		at->state = now == CF_CELL_ALIVE ? at->state : now;
	}
	if (watch->suspects > 0)
		cf_cell_watch_again(watch);
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
	struct epoll_event news[NEWS_MAX];
	int count = epoll_wait(watch->fd, news, NEWS_MAX, 0);
	int before;

	if (count <= 0)
		return 0;
	before = count_gone(watch);
	for (int i = 0; i < count; i++)
		take(watch, news[i].data.ptr);
	look_at_suspects(watch);
	return count_gone(watch) - before;
}
