/* SPDX-License-Identifier: MIT
 *
 * tcx links by bpf(2) itself: the libbpf that we build on (1.1) has no options for them. One descriptor is one
 * attachment; closing it detaches. Which interface and whether tcx at all is decided in attach.c.
 */
#ifndef CF_TCX_H
#define CF_TCX_H
#include <stdint.h>

/* Attach to the head of the interface's list, before every program that is there: one that ends the chain or
 * redirects would hide the packet from us. The calling thread must be in the interface's namespace.
 * direction: enum cf_flow_direction. Returns the link (O_CLOEXEC), or -errno (-EINVAL: no tcx in this kernel). */
int cf_tcx_attach(int prog_fd, int ifindex, int direction);

/* Put another program in the place of a link's own: no packet passes in between, and none is seen by both. 0 or -errno.
 */
int cf_tcx_replace(int link_fd, int prog_fd);

/* The interface a link is on, in its own namespace; 0: none any more; -errno. Works from every namespace. */
int cf_tcx_ifindex(int link_fd);
#endif
