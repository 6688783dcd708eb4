/* SPDX-License-Identifier: MIT
 * The interface of a cell: see interface.h. */
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "error.h"
#include "interface.h"
#include "netns.h"

#ifndef ARPHRD_RAWIP
#define ARPHRD_RAWIP 519
#endif
#ifndef ARPHRD_IP6GRE
#define ARPHRD_IP6GRE 823
#endif

struct look {
	const struct cf_plan_cell *cell;
	struct cf_interface *out;
	struct cf_error *err;
	int fd; /* for the ioctls, of the namespace */
};

/* "lo, eth0 (down)": what an operator can choose from. */
static void list_interfaces(const struct look *look, const struct if_nameindex *all, char *out, size_t size)
{
	struct ifreq req;
	size_t used = 0;
	int n;

	snprintf(out, size, "none");
	for (; all && all->if_index; all++) {
		memset(&req, 0, sizeof(req));
		snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", all->if_name);
		if (ioctl(look->fd, SIOCGIFFLAGS, &req) < 0)
			continue;
		n = snprintf(out + used, size - used, "%s%s%s", used ? ", " : "", req.ifr_name,
			     req.ifr_flags & IFF_UP ? "" : " (down)");
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

/* The bytes that skb->data is in front of the network header by, or -1. */
static int link_len(unsigned short type)
{
	switch (type) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return 14;
	case ARPHRD_NONE:
	case ARPHRD_RAWIP:
	case ARPHRD_PPP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case ARPHRD_IP6GRE:
		return 0;
	default:
		return -1;
	}
}

static int take(struct look *look, const char *name, unsigned int ifindex)
{
	struct ifreq req = { 0 };
	int len;

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (ioctl(look->fd, SIOCGIFHWADDR, &req) < 0)
		return cf_fail(look->err, CF_FAIL_ATTACH, errno, "cell \"%s\": interface %s: %s", look->cell->name,
			       name, strerror(errno));
	len = link_len(req.ifr_hwaddr.sa_family);
	if (len < 0)
		return cf_fail(look->err, CF_FAIL_ATTACH, EPROTONOSUPPORT,
			       "cell \"%s\": interface %s has link type %u; only Ethernet and layer-3 interfaces can "
			       "be watched",
			       look->cell->name, name, req.ifr_hwaddr.sa_family);
	snprintf(look->out->name, sizeof(look->out->name), "%s", name);
	look->out->ifindex = (int)ifindex;
	look->out->link_len = (uint32_t)len;
	return 0;
}

static int take_only(struct look *look, const struct if_nameindex *all, const char *list)
{
	const struct if_nameindex *only = NULL;
	struct ifreq req;
	int count = 0;

	for (; all && all->if_index; all++) {
		memset(&req, 0, sizeof(req));
		snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", all->if_name);
		if (ioctl(look->fd, SIOCGIFFLAGS, &req) < 0 || (req.ifr_flags & IFF_LOOPBACK) ||
		    !(req.ifr_flags & IFF_UP))
			continue;
		only = all;
		count++;
	}
	if (count == 1)
		return take(look, only->if_name, only->if_index);
	return cf_fail(look->err, CF_FAIL_ATTACH, count ? EINVAL : ENODEV,
		       "cell \"%s\": no interface given and %s is up besides loopback; give one: interface = \"...\" "
		       "(there are: %s)",
		       look->cell->name, count ? "more than one" : "none", list);
}

static int look_inside(void *arg)
{
	struct look *look = arg;
	const char *name = look->cell->interface;
	struct if_nameindex *all;
	unsigned int ifindex = 0;
	char list[512];
	int ret;

	look->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (look->fd < 0)
		return cf_fail(look->err, CF_FAIL_ATTACH, errno, "cell \"%s\": a socket in its namespace: %s",
			       look->cell->name, strerror(errno));
	all = if_nameindex();
	list_interfaces(look, all, list, sizeof(list));
	for (const struct if_nameindex *at = all; name[0] && at && at->if_index; at++)
		if (strcmp(at->if_name, name) == 0)
			ifindex = at->if_index;
	if (ifindex)
		ret = take(look, name, ifindex);
	else if (name[0])
		ret = cf_fail(look->err, CF_FAIL_ATTACH, ENODEV, "cell \"%s\": no interface %s (there are: %s)",
			      look->cell->name, name, list);
	else
		ret = take_only(look, all, list);
	if (all)
		if_freenameindex(all);
	close(look->fd);
	return ret;
}

int cf_interface_look(int nsfd, const struct cf_plan_cell *cell, struct cf_interface *out, struct cf_error *err)
{
	struct look look = { .cell = cell, .out = out, .err = err };

	memset(out, 0, sizeof(*out));
	return cf_netns_do(nsfd, look_inside, &look, err);
}
