/* SPDX-License-Identifier: MIT
 * Peers of veth interfaces: see peer.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "error.h"
#include "netns.h"
#include "nsid.h"
#include "peer.h"

#define NAMED "/run/netns"

enum {
	MESSAGE_LEN = 32768, /* a link's description, with the statistics of all its kinds */
};

struct search {
	const struct cf_interface *inner;
	struct cf_plan_cell *at;
	struct cf_error *err;
	int home; /* our own namespace */
	char kind[16]; /* of the interface; "": nothing that has one */
	int32_t ifindex; /* of the peer, in its namespace; 0: none */
	int32_t nsid; /* of its namespace, as the cell's numbers it; -1: the same namespace */
};

static int kind_attribute(const struct nlattr *attr, void *arg)
{
	struct search *search = arg;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		snprintf(search->kind, sizeof(search->kind), "%.*s", (int)mnl_attr_get_payload_len(attr),
			 mnl_attr_get_str(attr));
	return MNL_CB_OK;
}

static int link_attribute(const struct nlattr *attr, void *arg)
{
	struct search *search = arg;
	uint16_t type = mnl_attr_get_type(attr);

	if (type == IFLA_LINKINFO)
		mnl_attr_parse_nested(attr, kind_attribute, search);
	else if (type == IFLA_LINK && mnl_attr_get_payload_len(attr) == sizeof(int32_t))
		memcpy(&search->ifindex, mnl_attr_get_payload(attr), sizeof(int32_t));
	else if (type == IFLA_LINK_NETNSID && mnl_attr_get_payload_len(attr) == sizeof(int32_t))
		memcpy(&search->nsid, mnl_attr_get_payload(attr), sizeof(int32_t));
	return MNL_CB_OK;
}

static int link_answer(const struct nlmsghdr *nlh, void *arg)
{
	mnl_attr_parse(nlh, sizeof(struct ifinfomsg), link_attribute, arg);
	return MNL_CB_OK;
}

/* 0, or -errno. */
static int ask_link(struct mnl_socket *nl, struct search *search)
{
	char buf[MESSAGE_LEN];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *info;
	ssize_t len;

	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = search->inner->ifindex;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		len = mnl_cb_run(buf, (size_t)len, 0, mnl_socket_get_portid(nl), link_answer, search);
	} while (len > MNL_CB_STOP);
	return len < 0 ? -errno : 0;
}

/* A number cannot be opened; a namespace that has a name can be asked for its number. */
static bool find_named(struct mnl_socket *nl, struct search *search)
{
	DIR *dir = opendir(NAMED);
	struct dirent *entry;
	bool found = false;
	int fd;

	while (dir && !found && (entry = readdir(dir))) {
		fd = entry->d_name[0] == '.' ? -1
					     : openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			continue;
		found = cf_nsid_get(nl, fd) == search->nsid;
		close(fd);
		if (found)
			found = snprintf(search->at->netns, sizeof(search->at->netns), "%s/%s", NAMED, entry->d_name) <
				(int)sizeof(search->at->netns);
	}
	if (dir)
		closedir(dir);
	return found;
}

static int find_namespace(struct mnl_socket *nl, struct search *search)
{
	if (search->nsid < 0)
		return 0;
	search->at->pid = 0;
	if (cf_nsid_get(nl, search->home) == search->nsid) {
		snprintf(search->at->netns, sizeof(search->at->netns), "/proc/self/ns/net");
		return 0;
	}
	if (find_named(nl, search))
		return 0;
	return cf_fail(search->err, CF_FAIL_ATTACH, ENOENT,
		       "cell \"%s\": the peer of interface %s is in a network namespace that is neither cellflow's own "
		       "nor has a name below " NAMED " (name it: ip netns attach NAME PID, run cellflow in it, or use "
		       "attach = \"inside\")",
		       search->at->name, search->inner->name);
}

static int search_inside(void *arg)
{
	struct search *search = arg;
	struct mnl_socket *nl = cf_route_socket(0);
	int rc = nl ? ask_link(nl, search) : -errno;

	if (rc < 0)
		rc = cf_fail(search->err, CF_FAIL_ATTACH, -rc, "cell \"%s\": peer of interface %s: %s",
			     search->at->name, search->inner->name, strerror(-rc));
	else if (search->ifindex <= 0 || (strcmp(search->kind, "veth") != 0 && strcmp(search->kind, "netkit") != 0))
		rc = cf_fail(search->err, CF_FAIL_ATTACH, EPROTONOSUPPORT,
			     "cell \"%s\": interface %s is %s%s, not one end of a veth pair, so it has no peer (use "
			     "attach = \"inside\", or \"tap\" for a microVM)",
			     search->at->name, search->inner->name, search->kind[0] ? "of kind " : "of no kind",
			     search->kind);
	else
		rc = find_namespace(nl, search);
	if (nl)
		mnl_socket_close(nl);
	return rc;
}

static int name_inside(void *arg)
{
	struct search *search = arg;

	if (if_indextoname((unsigned int)search->ifindex, search->at->interface))
		return 0;
	return cf_fail(search->err, CF_FAIL_ATTACH, errno, "cell \"%s\": the peer of interface %s went away; try again",
		       search->at->name, search->inner->name);
}

int cf_peer_find(int nsfd, const struct cf_interface *inner, struct cf_plan_cell *at, struct cf_error *err)
{
	struct search search = { .inner = inner, .at = at, .err = err, .nsid = -1 };
	int there, rc;

	search.home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (search.home < 0)
		return cf_fail(err, CF_FAIL_SETNS, errno, "own network namespace: %s", strerror(errno));
	rc = cf_netns_do(nsfd, search_inside, &search, err);
	close(search.home);
	if (rc < 0)
		return -1;
	there = cf_netns_open(at, err);
	if (there < 0)
		return -1;
	rc = cf_netns_do(there, name_inside, &search, err);
	close(there);
	return rc;
}
