/* SPDX-License-Identifier: MIT
 *
 * The other end of a veth pair: which namespace it is in, by a path that leads there, and its name. Attaching to it is
 * left to stand.h.
 */
#ifndef CF_PEER_H
#define CF_PEER_H
#include "interface.h"
#include "plan.h"
struct cf_error;

/* The peer of `inner`, an interface of the cell's namespace nsfd. Sets at->interface and, unless the peer is in the
 * cell's namespace too, at->netns (and at->pid to 0): "/proc/self/ns/net" or a path below /run/netns. `at` comes as a
 * copy of the cell. 0, or -1 with CF_FAIL_ATTACH or CF_FAIL_SETNS and the remedy. */
int cf_peer_find(int nsfd, const struct cf_interface *inner, struct cf_plan_cell *at, struct cf_error *err);
#endif
