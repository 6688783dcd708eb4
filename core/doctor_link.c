/* SPDX-License-Identifier: MIT
 * A link and its filters by rtnetlink: see doctor_link.h. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include "doctor_link.h"
#include "flow.h"

enum {
	ANSWER_LEN = 32768, /* what the kernel fills at most for one read of a dump */
	REQUEST_LEN = 256,
};

struct cf_doctor_program *cf_doctor_hook_place(struct cf_doctor_hook *hook)
{
	if (hook->count < CF_DOCTOR_PROGRAMS_MAX)
		return &hook->programs[hook->count++];
	hook->left_out++;
	return NULL;
}

/* Send the request and give every message of the answer to `take`. */
static int ask(struct nlmsghdr *nlh, mnl_cb_t take, void *arg)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	static char answer[ANSWER_LEN];
	ssize_t len;
	int ret = -1;

	if (!nl)
		return -errno;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0 && mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) >= 0)
		do {
			len = mnl_socket_recvfrom(nl, answer, sizeof(answer));
			ret = len < 0 ? -1
				      : mnl_cb_run(answer, (size_t)len, nlh->nlmsg_seq, mnl_socket_get_portid(nl), take,
						   arg);
		} while (ret > MNL_CB_STOP);
	ret = ret < 0 ? -errno : 0;
	mnl_socket_close(nl);
	return ret;
}

static void copy_text(char *to, const struct nlattr *attr)
{
	int len = mnl_attr_get_payload_len(attr);

	snprintf(to, CF_DOCTOR_WORD_LEN, "%.*s", len, (const char *)mnl_attr_get_payload(attr));
}

static void take_xdp(struct cf_doctor_link *link, const struct nlattr *xdp)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, xdp) if (mnl_attr_get_type(attr) == IFLA_XDP_PROG_ID) link->xdp_id =
		mnl_attr_get_u32(attr);
}

static int take_link(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct cf_doctor_link *link = arg;
	const struct nlattr *attr, *inner;

	link->flags = ifi->ifi_flags;
	link->type = ifi->ifi_type;
	mnl_attr_for_each(attr, nlh, sizeof(*ifi))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_LINK:
			link->under = (int)mnl_attr_get_u32(attr);
			break;
		case IFLA_LINK_NETNSID:
			link->under_netns = (int)mnl_attr_get_u32(attr);
			break;
		case IFLA_LINKINFO:
			mnl_attr_for_each_nested(inner, attr) if (mnl_attr_get_type(inner) == IFLA_INFO_KIND)
				copy_text(link->kind, inner);
			break;
		case IFLA_XDP:
			take_xdp(link, attr);
			break;
		}
	}
	return MNL_CB_STOP;
}

struct qdisc_list {
	int ifindex;
	char *text;
};

static int take_qdisc(const struct nlmsghdr *nlh, void *arg)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);
	const struct qdisc_list *list = arg;
	const struct nlattr *attr;
	char kind[CF_DOCTOR_WORD_LEN];
	size_t used = strlen(list->text);

	/* Older kernels tell the qdiscs of every interface. Only the root one and clsact say anything here. */
	if (tcm->tcm_ifindex != list->ifindex || (tcm->tcm_parent != TC_H_ROOT && tcm->tcm_parent != TC_H_CLSACT))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*tcm)) if (mnl_attr_get_type(attr) == TCA_KIND)
	{
		copy_text(kind, attr);
		snprintf(list->text + used, CF_DOCTOR_WORD_LEN - used, "%s%s", used ? ", " : "", kind);
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *put_tc(char *request, uint16_t type, int ifindex, uint32_t parent)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	struct tcmsg *tcm;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = type;
	tcm = mnl_nlmsg_put_extra_header(nlh, sizeof(*tcm));
	tcm->tcm_ifindex = ifindex;
	tcm->tcm_parent = parent;
	return nlh;
}

int cf_doctor_link_get(int ifindex, struct cf_doctor_link *link)
{
	char request[REQUEST_LEN] __attribute__((aligned(4)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	struct qdisc_list list = { ifindex, link->qdiscs };
	struct ifinfomsg *ifi;
	int ret;

	memset(link, 0, sizeof(*link));
	link->under_netns = -1;
	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = RTM_GETLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = ifindex;
	ret = ask(nlh, take_link, link);
	return ret ? ret : ask(put_tc(request, RTM_GETQDISC, ifindex, 0), take_qdisc, &list);
}

static void take_bpf(struct cf_doctor_program *program, const struct nlattr *options)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, options)
	{
		if (mnl_attr_get_type(attr) == TCA_BPF_NAME)
			copy_text(program->name, attr);
		else if (mnl_attr_get_type(attr) == TCA_BPF_ID)
			program->id = mnl_attr_get_u32(attr);
	}
}

static int take_filter(const struct nlmsghdr *nlh, void *arg)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr, *options = NULL;
	struct cf_doctor_program *program;

	/* Without a handle it is the head of a list, told before what is in it. */
	if (nlh->nlmsg_type != RTM_NEWTFILTER || tcm->tcm_handle == 0)
		return MNL_CB_OK;
	program = cf_doctor_hook_place(arg);
	if (!program)
		return MNL_CB_OK;
	memset(program, 0, sizeof(*program));
	program->kind = CF_DOCTOR_CLSACT;
	program->preference = TC_H_MAJ(tcm->tcm_info) >> 16;
	program->handle = tcm->tcm_handle;
	mnl_attr_for_each(attr, nlh, sizeof(*tcm))
	{
		if (mnl_attr_get_type(attr) == TCA_KIND)
			copy_text(program->filter, attr);
		else if (mnl_attr_get_type(attr) == TCA_CHAIN)
			program->chain = mnl_attr_get_u32(attr);
		else if (mnl_attr_get_type(attr) == TCA_OPTIONS)
			options = attr;
	}
	if (options && strcmp(program->filter, "bpf") == 0)
		take_bpf(program, options);
	return MNL_CB_OK;
}

int cf_doctor_link_filters(int ifindex, struct cf_doctor_hook *hook)
{
	char request[REQUEST_LEN] __attribute__((aligned(4)));
	uint32_t side = hook->direction == CF_FLOW_EGRESS ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS;

	return ask(put_tc(request, RTM_GETTFILTER, ifindex, TC_H_MAKE(TC_H_CLSACT, side)), take_filter, hook);
}
