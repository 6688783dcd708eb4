/* SPDX-License-Identifier: MIT
 * Whether packets can be had from a log rule: a group is bound and given back, and the kernel must have a way from both
 * families' rules to it. Part of doctor.h. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_log/libnetfilter_log.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "doctor.h"

enum {
	GROUP = 0xcf00, /* any: nobody else is in the namespace */
	BUFFER_LEN = 8192,
};

/* 0, or -errno as the kernel answers. */
static int command(struct mnl_socket *nl, uint8_t what)
{
	char buffer[BUFFER_LEN];
	struct nlmsghdr *nlh = nflog_nlmsg_put_header(buffer, NFULNL_MSG_CONFIG, AF_UNSPEC, GROUP);
	ssize_t len;

	nlh->nlmsg_flags |= NLM_F_ACK;
	if (nflog_attr_put_cfg_cmd(nlh, what) < 0 || mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	len = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
	if (len < 0 || mnl_cb_run(buffer, (size_t)len, 0, mnl_socket_get_portid(nl), NULL, NULL) < 0)
		return -errno;
	return 0;
}

static int bind_group(void)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int ret;

	if (!nl)
		return -errno;
	ret = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : command(nl, NFULNL_CFG_CMD_BIND);
	if (!ret)
		ret = command(nl, NFULNL_CFG_CMD_UNBIND);
	mnl_socket_close(nl);
	return ret;
}

/* 1: a rule of that family can log to groups; 0: not; -errno. Lines are "FAMILY LOGGER (ALL,LOGGERS)". */
static int family_logs(int family)
{
	FILE *file = fopen("/proc/thread-self/net/netfilter/nf_log", "re");
	char line[256];
	int found = 0, number;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%d", &number) == 1 && number == family && strstr(line, "nfnetlink_log"))
			found = 1;
	fclose(file);
	return found;
}

static int tell_families(struct cf_doctor *doctor)
{
	int ipv4 = family_logs(NFPROTO_IPV4), ipv6 = family_logs(NFPROTO_IPV6);

	if (ipv4 < 0) {
		cf_doctor_add(
			doctor, CF_DOCTOR_WARN, "nflog",
			"a group can be bound; whether rules reach it is unknown (/proc/net/netfilter/nf_log: %s)",
			strerror(-ipv4));
		return 1;
	}
	if (ipv4 && ipv6) {
		cf_doctor_add(doctor, CF_DOCTOR_OK, "nflog",
			      "a group can be bound in a scratch namespace, for rules of IPv4 and IPv6");
		return 1;
	}
	cf_doctor_add(doctor, ipv4 || ipv6 ? CF_DOCTOR_WARN : CF_DOCTOR_FAIL, "nflog",
		      "a group can be bound, but rules of %s%s%s do not reach it", ipv4 ? "" : "IPv4",
		      ipv4 || ipv6 ? "" : " and ", ipv6 ? "" : "IPv6");
	cf_doctor_remedy(doctor, "modprobe nfnetlink_log (CONFIG_NETFILTER_NETLINK_LOG)");
	return ipv4 || ipv6;
}

void cf_doctor_nflog(struct cf_doctor *doctor)
{
	int ret = bind_group();

	if (ret == 0) {
		if (tell_families(doctor))
			doctor->works |= CF_DOCTOR_NFLOG;
		return;
	}
	cf_doctor_add(doctor, CF_DOCTOR_FAIL, "nflog", "binding a group: %s", strerror(-ret));
	if (ret == -EPERM)
		cf_doctor_remedy(doctor, "run as root, or with CAP_NET_ADMIN");
	else
		cf_doctor_remedy(doctor, "modprobe nfnetlink_log (CONFIG_NETFILTER_NETLINK_LOG)");
}
