/* SPDX-License-Identifier: MIT
 *
 * Which interface of a cell's namespace is meant, and how long its link header is. Attaching is left to attach.h.
 */
#ifndef CF_INTERFACE_H
#define CF_INTERFACE_H
#include <stdint.h>
#include "plan.h"
struct cf_error;

struct cf_interface {
	int ifindex; /* in its namespace */
	uint32_t link_len; /* bytes before the network header: 14, or 0 on a layer-3 device */
	char name[CF_IFNAME_LEN];
};

/* cell->interface by name inside the namespace; when none is given, the only one that is up and no loopback.
 * Returns 0, or -1 with CF_FAIL_ATTACH (the text lists what is there) or CF_FAIL_SETNS. */
int cf_interface_look(int nsfd, const struct cf_plan_cell *cell, struct cf_interface *out, struct cf_error *err);
#endif
