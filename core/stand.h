/* SPDX-License-Identifier: MIT
 *
 * Where a cell is watched from: inside, at the host-side end of its veth pair, or at a microVM's tap. Outside, what the
 * cell sends arrives: its egress is the interface's ingress. Finds the place and says how to load and attach for it;
 * which places a cell has is its plan's business, what is counted at two of them bypass.h's.
 */
#ifndef CF_STAND_H
#define CF_STAND_H
#include <stdbool.h>
#include "attach.h"
#include "bpf_object.h"
#include "interface.h"
#include "plan.h"
struct cf_error;

struct cf_stand {
	struct cf_plan_cell at; /* the cell's, but for namespace, interface and hooks, which are the place's: for
				   cf_netns_open and cf_detach */
	struct cf_interface interface; /* to attach to */
	struct cf_interface inner; /* in the cell's namespace; ifindex 0: none that must be there */
	bool outside; /* directions are flipped */
};

/* The place that makes the events, of all that cell->stand names: inside when that is one of them. */
uint32_t cf_stand_first(const struct cf_plan_cell *cell);

/* Find the place `stand` (one of enum cf_plan_stand) of the cell whose namespace is nsfd, as cell->netns or pid leads
 * to. 0, or -1 with CF_FAIL_ATTACH or CF_FAIL_SETNS. A peer is found in our own namespace, in the cell's, and in those
 * below /run/netns; a veth pair (or netkit) is needed. Nothing is kept open. */
int cf_stand_resolve(int nsfd, const struct cf_plan_cell *cell, uint32_t stand, struct cf_stand *out,
		     struct cf_error *err);

/* Set what the place says about a load: hooks, link_len and flags. options->path must be there already: an operator's
 * object knows nothing of places, so its programs are chosen by the cell's directions. */
void cf_stand_options(const struct cf_stand *stand, struct cf_bpf_options *options);

/* cf_attach_over there (from NULL: cf_attach), of an object that was loaded with those options. nsfd: the cell's
 * namespace. */
int cf_stand_attach(const struct cf_stand *stand, int nsfd, const struct cf_bpf_object *object,
		    const struct cf_attachment *from, struct cf_attachment *out, struct cf_error *err);
#endif
