/* SPDX-License-Identifier: MIT
 *
 * The numbers by which one network namespace knows others, over rtnetlink. A socket asks for the namespace in which it
 * was opened. What the numbers are good for is the callers' business.
 */
#ifndef CF_NSID_H
#define CF_NSID_H
#include <stdint.h>
struct mnl_socket;
struct nlmsghdr;

/* A bound NETLINK_ROUTE socket of the calling thread's namespace (O_CLOEXEC; `flags`: SOCK_NONBLOCK or 0), closed by
 * mnl_socket_close; NULL with errno. */
struct mnl_socket *cf_route_socket(int flags);

/* The number of the namespace `nsfd`; -1: it has none, or none could be had. `give` has one given. */
int32_t cf_nsid_get(struct mnl_socket *nl, int nsfd);
int32_t cf_nsid_give(struct mnl_socket *nl, int nsfd);

/* The number that a message about numbers (RTM_NEWNSID, RTM_DELNSID) is about; -1: none. */
int32_t cf_nsid_of(const struct nlmsghdr *nlh);
#endif
