/* SPDX-License-Identifier: MIT
 * Numbers of namespaces: see nsid.h. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include "nsid.h"

enum {
	MESSAGE_LEN = 8192,
};

struct mnl_socket *cf_route_socket(int flags)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);

	if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		mnl_socket_close(nl);
		nl = NULL;
	}
	return nl;
}

static int attribute(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == NETNSA_NSID && mnl_attr_get_payload_len(attr) == sizeof(int32_t))
		memcpy(arg, mnl_attr_get_payload(attr), sizeof(int32_t));
	return MNL_CB_OK;
}

int32_t cf_nsid_of(const struct nlmsghdr *nlh)
{
	int32_t nsid = -1;

	mnl_attr_parse(nlh, sizeof(struct rtgenmsg), attribute, &nsid);
	return nsid;
}

static int answer(const struct nlmsghdr *nlh, void *arg)
{
	*(int32_t *)arg = cf_nsid_of(nlh);
	return MNL_CB_OK;
}

/* RTM_GETNSID or RTM_NEWNSID for a namespace; 0, or -errno. */
static int request(struct mnl_socket *nl, uint16_t type, int nsfd, int32_t *nsid)
{
	char buf[MESSAGE_LEN];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtgenmsg *gen;
	ssize_t len;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	gen->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(nlh, NETNSA_FD, (uint32_t)nsfd);
	if (type == RTM_NEWNSID)
		mnl_attr_put_u32(nlh, NETNSA_NSID, (uint32_t)-1); /* -1: the kernel chooses */
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		len = mnl_cb_run(buf, (size_t)len, 0, mnl_socket_get_portid(nl), answer, nsid);
	} while (len > MNL_CB_STOP);
	return len < 0 ? -errno : 0;
}

int32_t cf_nsid_get(struct mnl_socket *nl, int nsfd)
{
	int32_t nsid = -1;

	return request(nl, RTM_GETNSID, nsfd, &nsid) == 0 ? nsid : -1;
}

int32_t cf_nsid_give(struct mnl_socket *nl, int nsfd)
{
	int32_t ignored, nsid = cf_nsid_get(nl, nsfd);

	if (nsid >= 0)
		return nsid;
	/* Somebody else may number it between the two: then that number is as good. */
	request(nl, RTM_NEWNSID, nsfd, &ignored);
	return cf_nsid_get(nl, nsfd);
}
