/* SPDX-License-Identifier: MIT
 * Filters on a clsact qdisc: see tc_dump.h. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include "tc_dump.h"

enum {
	DUMP_LEN = 32768, /* what the kernel fills at most for one read of a dump */
};

static int note_filter(const struct nlmsghdr *nlh, void *arg)
{
	int *used = arg;

	if (nlh->nlmsg_type == RTM_NEWTFILTER)
		*used = 1;
	return MNL_CB_OK;
}

static int side_used(struct mnl_socket *nl, int ifindex, uint32_t side, int *used)
{
	static _Thread_local char buf[DUMP_LEN];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct tcmsg *tcm;
	ssize_t len;
	int ret;

	nlh->nlmsg_type = RTM_GETTFILTER;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = side;
	tcm = mnl_nlmsg_put_extra_header(nlh, sizeof(*tcm));
	tcm->tcm_family = AF_UNSPEC;
	tcm->tcm_ifindex = ifindex;
	tcm->tcm_parent = TC_H_MAKE(TC_H_CLSACT, side);
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		ret = mnl_cb_run(buf, (size_t)len, side, mnl_socket_get_portid(nl), note_filter, used);
	} while (ret > MNL_CB_STOP);
	return ret < 0 ? -errno : 0;
}

int cf_tc_clsact_used(int ifindex)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int ret, used = 0;

	if (!nl)
		return -errno;
	ret = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (!ret)
		ret = side_used(nl, ifindex, TC_H_MIN_INGRESS, &used);
	if (!ret)
		ret = side_used(nl, ifindex, TC_H_MIN_EGRESS, &used);
	mnl_socket_close(nl);
	return ret ? ret : used;
}
