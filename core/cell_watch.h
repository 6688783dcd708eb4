/* SPDX-License-Identifier: MIT
 *
 * Learns that a cell's namespace or interface is gone, and keeps neither alive: no descriptor of the namespace and no
 * socket inside it stays open. What to do then is the supervisor's decision.
 *
 *   what goes                       is seen by                              when
 *   namespace (nothing uses it)     RTM_DELNSID on the watch's socket       at once; never while something pins it
 *   process of a pid cell           pidfd becomes readable                  at once
 *   interface, tcx                  cf_cell_check: the link has ifindex 0   at the next check
 *   interface, or name of the       cf_cell_check: the namespace is opened  at the next check
 *   namespace; by_name cells        again, compared, and closed
 *
 * A check by link is one system call for each hook (1.5 us measured), one by name about a dozen (45 us). Neither
 * blocks: a timer of some seconds is enough, with thousands of cells checked by name a part of them at a time.
 */
#ifndef CF_CELL_WATCH_H
#define CF_CELL_WATCH_H
#include <stdbool.h>
#include <stdint.h>
#include "attach.h"
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
	int pidfd; /* pid cells: poll for POLLIN, once: it stays readable; else -1 */
	bool by_name; /* check by name although there is a tcx link: something else of ours pins the namespace */
};

struct cf_cell_watch {
	int fd; /* poll for POLLIN, then cf_cell_watch_read */
	struct mnl_socket *events;
	struct mnl_socket *requests;
	struct cf_cell_watched *first;
};

/* Watches from the calling thread's namespace. 0, or -1 with CF_FAIL_UNSUPPORTED_HOST. */
int cf_cell_watch_open(struct cf_cell_watch *watch, struct cf_error *err);
void cf_cell_watch_close(struct cf_cell_watch *watch); /* idempotent; forgets all cells */

/* Watch a cell. `attachment` may be NULL, for a cell without one (then its interface is not checked); it and `cell`
 * must live until cf_cell_watch_remove. Gives the namespace an nsid where it has none. The caller keeps nsfd and closes
 * it. 0, or -1 with CF_FAIL_SETNS: the cell is gone already. */
int cf_cell_watch_add(struct cf_cell_watch *watch, int nsfd, const struct cf_plan_cell *cell,
		      const struct cf_attachment *attachment, struct cf_cell_watched *out, struct cf_error *err);
void cf_cell_watch_remove(struct cf_cell_watch *watch, struct cf_cell_watched *watched);

/* Take what the socket has, without blocking, and mark the cells whose namespace went; when messages were lost, check
 * every cell. Returns how many cells are not alive any more that were before: `state` says which. */
int cf_cell_watch_read(struct cf_cell_watch *watch);

/* Find out the state of one cell now, note it and return it. */
enum cf_cell_state cf_cell_check(struct cf_cell_watched *watched);
#endif
