/* SPDX-License-Identifier: MIT
 *
 * Learns that a cell's namespace or interface is gone, and keeps neither alive: no descriptor of the namespace and no
 * socket inside it stays open. What to do then is the supervisor's decision.
 *
 *   what goes                       is seen by                              when
 *   namespace (nothing uses it)     RTM_DELNSID                             at once; never while something pins it
 *   path of the namespace,          inotify on its directory                at once
 *   by_name and clsact cells
 *   process of a pid cell, or of    pidfd                                   at once
 *   a path /proc/PID/ns/net
 *   peer of the cell's interface,   RTM_DELLINK: links_went                 at once, then a check must say whose
 *   in our own namespace
 *   interface, tcx                  cf_cell_check: the link has ifindex 0   at the next check
 *   interface, or namespace,        cf_cell_check: the namespace is opened  at the next check
 *   otherwise                       again, compared, and closed
 *
 * News are a reason to look, no more: numbers and names are given again. A tcx cell that is not by_name lives as long
 * as its namespace, with or without a path.
 * A check by link is one system call for each hook (1.5 us measured), one by name about a dozen (45 us). Neither
 * blocks: a timer of some seconds is enough, with thousands of cells checked by name a part of them at a time.
 */
#ifndef CF_CELL_WATCH_H
#define CF_CELL_WATCH_H
#include <stdbool.h>
#include <stdint.h>
#include "attach.h"
#include "path_watch.h"
#include "plan.h"
struct cf_error;
struct mnl_socket;

enum cf_cell_state {
	CF_CELL_ALIVE = 0,
	CF_CELL_INTERFACE_GONE = 1, /* the namespace is still there */
	CF_CELL_NAMESPACE_GONE = 2, /* or the cell's path or process no longer leads to it */
};

/* One watched cell. Owned by the caller, who may not move it between add and remove. */
struct cf_cell_watched {
	struct cf_cell_watched *next;
	const struct cf_plan_cell *cell;
	const struct cf_attachment *attachment;
	struct cf_netns_id netns;
	uint32_t state; /* enum cf_cell_state; does not go back to alive */
	int32_t nsid; /* of the namespace, as our own namespace numbers it; -1: none could be had */
	int pidfd; /* of the cell's process, or of the one in its path; else -1 */
	struct cf_path_dir *dir; /* of its path; NULL: none, or not to be had */
	struct cf_interface inner; /* in the namespace, for checks by name; ifindex 0: do not look */
	bool by_name; /* check by name although there is a tcx link: something else of ours pins the namespace */
	bool suspect; /* there were news: to be looked at by name */
};

struct cf_cell_watch {
	int fd; /* poll for POLLIN, then cf_cell_watch_read: an epoll descriptor with all that brings news */
	bool is_open;
	bool links_went; /* some interface of our own namespace, a cell's peer perhaps; whoever looks clears it */
	int again_fd; /* eventfd: readable while there are suspects that nobody looked at */
	uint32_t suspects; /* cells marked so */
	struct cf_path_watch paths;
	int netlink_fd; /* of `events` */
	struct mnl_socket *events; /* of namespaces' numbers */
	struct mnl_socket *links; /* of our own namespace */
	struct mnl_socket *requests;
	struct cf_cell_watched *first;
};

/* Watches from the calling thread's namespace. 0, or -1 with CF_FAIL_UNSUPPORTED_HOST. */
int cf_cell_watch_open(struct cf_cell_watch *watch, struct cf_error *err);
void cf_cell_watch_close(struct cf_cell_watch *watch); /* idempotent; forgets all cells */

/* Watch a cell. `attachment` may be NULL, for a cell without one (then its interface is not checked); it and `cell`
 * must live until cf_cell_watch_remove. An attachment outside of the cell's namespace may be at the peer of an
 * interface inside: then put that into out->inner. Gives the namespace an nsid where it has none. The caller keeps nsfd
 * and closes it. 0, or -1 with CF_FAIL_SETNS: the cell is gone already. */
int cf_cell_watch_add(struct cf_cell_watch *watch, int nsfd, const struct cf_plan_cell *cell,
		      const struct cf_attachment *attachment, struct cf_cell_watched *out, struct cf_error *err);
void cf_cell_watch_remove(struct cf_cell_watch *watch, struct cf_cell_watched *watched);

/* Take what news there are, without blocking, and mark the cells that went; when news were lost, every cell is looked
 * at. Of both a bounded part: while something is left, `fd` stays readable. Returns how many cells are not alive any
 * more that were before: `state` says which. */
int cf_cell_watch_read(struct cf_cell_watch *watch);

/* Have `fd` be readable until the next cf_cell_watch_read. */
void cf_cell_watch_again(struct cf_cell_watch *watch);

/* What the cell's path or process leads to now, and whether `inner` is there; nothing is noted. */
enum cf_cell_state cf_cell_look(const struct cf_cell_watched *watched);
/* Find out the state of one cell now, by its link where that will do, note it and return it. */
enum cf_cell_state cf_cell_check(struct cf_cell_watched *watched);
#endif
