/* SPDX-License-Identifier: MIT
 *
 * Attaching by a clsact qdisc, for kernels without tcx. Unlike a tcx link, qdisc and filter outlive the process, so
 * they say themselves whose they are: our filters have preference 207 (0xcf), and their handle says whether the
 * qdisc is ours too. Nothing of others is ever removed. When to use it is decided in attach.c.
 */
#ifndef CF_CLSACT_H
#define CF_CLSACT_H
#include <stdint.h>
struct cf_error;

enum {
	CF_CLSACT_PRIORITY = 207,
};

enum cf_clsact_handle { /* read back by a later start, after a kill */
			CF_CLSACT_OWN_QDISC = 0xcf000001, /* we created the qdisc */
			CF_CLSACT_FOREIGN_QDISC = 0xcf000002, /* it was there before */
};

struct cf_clsact {
	int lock_fd[2]; /* by enum cf_flow_direction; -1: none */
	uint32_t prog_id[2]; /* of our filters; 0: none */
	uint32_t handle; /* enum cf_clsact_handle */
};

struct cf_clsact_target {
	const char *cell; /* for messages, as ifname */
	const char *ifname;
	uint64_t netns; /* what names the namespace on this machine: its cookie */
	int ifindex;
};

void cf_clsact_init(struct cf_clsact *clsact);

/* One cellflow for each interface and direction: while it lives it holds an abstract unix socket of that name, in
 * the network namespace where this is called (not the cell's: that would pin it). Cellflows that run in different
 * network namespaces do not see each other's; any process in ours could take the name first, and then we refuse to
 * attach, naming it. prog_fd: by enum cf_flow_direction, -1: not that one.
 * Returns 0, or -1 with CF_FAIL_ATTACH. Given up by cf_clsact_unlock (idempotent). */
int cf_clsact_lock(struct cf_clsact *clsact, const struct cf_clsact_target *target, const int prog_fd[2],
		   struct cf_error *err);
void cf_clsact_unlock(struct cf_clsact *clsact);

/* These four are called inside the cell's namespace, with the lock held.
 * attach: removes what a killed cellflow left (a filter of ours with the same program name and tag), then attaches.
 * A qdisc that it had created is ours again. 0, or -1 with CF_FAIL_ATTACH or CF_FAIL_UNSUPPORTED_HOST and nothing
 * left behind. */
int cf_clsact_attach(struct cf_clsact *clsact, const struct cf_clsact_target *target, const int prog_fd[2],
		     struct cf_error *err);
/* Removes our filters, if they still are ours, and the qdisc if it is ours and nobody else uses it. 0, or -1. */
int cf_clsact_detach(struct cf_clsact *clsact, const struct cf_clsact_target *target, struct cf_error *err);
/* Whether our filters are there: 1, 0, or -1 when that cannot be told. */
int cf_clsact_holds(const struct cf_clsact *clsact, const struct cf_clsact_target *target);
/* Only what a killed cellflow left, for when we attach by tcx. */
void cf_clsact_purge(const struct cf_clsact_target *target, const int prog_fd[2]);
#endif
