/* SPDX-License-Identifier: MIT
 *
 * A cell's programs onto its interface, by tcx where the kernel has it, else by clsact, and off again. What is
 * loaded comes from bpf_object.h, where from interface.h; when to detach is the supervisor's decision.
 */
#ifndef CF_ATTACH_H
#define CF_ATTACH_H
#include "clsact.h"
#include "interface.h"
#include "netns.h"
#include "plan.h"
struct cf_error;

/* One cell's attachment. It holds no descriptor of the cell's namespace, so it does not keep that alive. */
struct cf_attachment {
	uint32_t mode; /* CF_ATTACH_TCX or CF_ATTACH_CLSACT; CF_ATTACH_AUTO: not attached */
	int link_fd[2]; /* tcx, by enum cf_flow_direction; -1: none */
	int prog_fd[2]; /* what is attached, as link_fd; their object's, which must outlive it */
	int is_shared[2]; /* the link is also the one's that it was taken over from */
	struct cf_interface interface;
	struct cf_netns_id netns;
	struct cf_clsact clsact;
};

void cf_attachment_init(struct cf_attachment *attachment);

/* Attach the programs (by enum cf_flow_direction; -1: not that one) in cell->attach's mode. The interface is looked
 * up by its name again and must still be the one that cf_interface_look found. Either all or nothing is attached.
 * Returns 0, or -1 with CF_FAIL_ATTACH, CF_FAIL_SETNS or CF_FAIL_UNSUPPORTED_HOST (no tcx, privileges).
 * tcx: before every other program. clsact: at preference 207, so a filter before it that ends the chain hides packets
 * from us. The caller keeps nsfd and should close it. */
int cf_attach(int nsfd, const struct cf_plan_cell *cell, const struct cf_interface *interface, const int prog_fd[2],
	      struct cf_attachment *out, struct cf_error *err);

/* The same, where `from` may be attached to the same interface: of links that it has there, both have a descriptor, and
 * the programs are replaced in them, so that no packet is counted by both or by none. cf_attach_return undoes it. */
int cf_attach_over(int nsfd, const struct cf_plan_cell *cell, const struct cf_interface *interface,
		   const int prog_fd[2], const struct cf_attachment *from, struct cf_attachment *out,
		   struct cf_error *err);
/* `attachment` was attached over `from`, which is to go on: its programs come back. Before cf_detach of `attachment`.
 */
void cf_attach_return(const struct cf_attachment *attachment, const struct cf_attachment *from);

/* Whether what was attached is still there: 1, 0 (somebody took a clsact filter off), or -1: it cannot be told, as when
 * the namespace or the interface is gone. A tcx link goes with its interface only. `cell` as for cf_detach. */
int cf_attachment_holds(const struct cf_attachment *attachment, const struct cf_plan_cell *cell);

/* Take everything off again; idempotent, also when nothing was attached or the namespace is gone. Returns 0, or -1
 * when filters of clsact may have been left: `cell` no longer leads to the namespace, or the kernel refused. */
int cf_detach(struct cf_attachment *attachment, const struct cf_plan_cell *cell, struct cf_error *err);
#endif
