// SPDX-License-Identifier: MIT
/*
 * An NFLOG socket in a cell's namespace: opened, bound to its group and told how to batch, in one netlink message, so
 * that no packet is logged in between by other rules than ours. Says who has the group when it is taken. Reading is
 * nflog.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_log/libnetfilter_log.h>
#include "error.h"
#include "netns.h"
#include "nflog.h"

enum {
	/* Headers only. The longest that are usual: IPv6, 8 extension headers (most have 8 bytes, AH 24) and TCP's 20.
	 * The kernel copies no more than the packet has, so a small one costs what it did. Longer chains can be made on
	 * purpose: they are counted as truncated, where copying the 16 KiB that they may have would make the batches of
	 * every payload packet a hundred times smaller. */
	COPY_RANGE = 256,
	/* A batch is sent when one of these is reached. 512 packets a read cost 8 times less than 100. */
	BATCH_PACKETS = 512,
	BATCH_BYTES = 128 * 1024, /* the most that the kernel takes */
	BATCH_TIME = 1, /* 1/100 s: a lone packet waits so long; and at most 100 wake-ups a second, none when quiet */
	RECEIVE_BUFFER = 8 * 1024 * 1024,
	ANSWER_MS = 2000,
	MESSAGE_LEN = 8192,
};

struct opening {
	uint32_t group;
	int fd;
	struct cf_error *error;
};

/* Netlink port of the socket that has the group, in the namespace of this thread; 0: nobody's. */
static uint32_t group_owner(uint32_t group)
{
	unsigned int listed, port, owner = 0;
	char line[256];
	FILE *file;

	file = fopen("/proc/thread-self/net/netfilter/nfnetlink_log", "re");
	if (!file)
		return 0;
	while (!owner && fgets(line, sizeof(line), file))
		if (sscanf(line, "%u %u", &listed, &port) == 2 && listed == group)
			owner = port;
	fclose(file);
	return owner;
}

/* A group that is taken is refused with EPERM, as is a caller without privileges: ask which. */
static int refusal(struct opening *opening, int cause)
{
	uint32_t owner = group_owner(opening->group);

	if (owner && (cause == EPERM || cause == EBUSY || cause == EEXIST))
		return cf_fail(
			opening->error, CF_FAIL_ATTACH, EBUSY,
			"NFLOG group %u: taken in this namespace by netlink port %u (usually the id of the process, "
			"see /proc/%u): end that program, or give this cell and its rules another group (nflog_group)",
			opening->group, owner, owner);
	if (cause == EPERM)
		return cf_fail(opening->error, CF_FAIL_UNSUPPORTED_HOST, cause,
			       "NFLOG group %u: binding needs CAP_NET_ADMIN in the cell's namespace: run as root",
			       opening->group);
	if (cause == EINVAL || cause == EOPNOTSUPP)
		return cf_fail(opening->error, CF_FAIL_UNSUPPORTED_HOST, cause,
			       "NFLOG group %u: the kernel has no nfnetlink_log (%s): modprobe nfnetlink_log",
			       opening->group, strerror(cause));
	return cf_fail(opening->error, CF_FAIL_ATTACH, cause, "NFLOG group %u: %s", opening->group, strerror(cause));
}

static struct nlmsghdr *request_make(char *buffer, uint32_t group, uint32_t seq)
{
	struct nlmsghdr *message = nflog_nlmsg_put_header(buffer, NFULNL_MSG_CONFIG, AF_UNSPEC, group);

	message->nlmsg_flags |= NLM_F_ACK;
	message->nlmsg_seq = seq;
	nflog_attr_put_cfg_cmd(message, NFULNL_CFG_CMD_BIND);
	nflog_attr_put_cfg_mode(message, NFULNL_COPY_PACKET, COPY_RANGE);
	mnl_attr_put_u32(message, NFULA_CFG_TIMEOUT, htonl(BATCH_TIME));
	mnl_attr_put_u32(message, NFULA_CFG_NLBUFSIZ, htonl(BATCH_BYTES));
	mnl_attr_put_u32(message, NFULA_CFG_QTHRESH, htonl(BATCH_PACKETS));
	mnl_attr_put_u16(message, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
	return message;
}

static int answer_cb(const struct nlmsghdr *message, void *data)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);
	int *cause = data;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*answer))
		return MNL_CB_OK;
	*cause = -answer->error;
	return MNL_CB_STOP;
}

/* An errno value, or 0. Packets may be logged before we have read the answer: batches that come in between are dropped
 * here (cut, mostly: ENOSPC), and the gap in their numbers counts them as lost. */
static int answer_await(struct mnl_socket *socket, uint32_t seq)
{
	mnl_cb_t callbacks[NLMSG_MIN_TYPE] = { [NLMSG_ERROR] = answer_cb };
	struct pollfd ready = { .fd = mnl_socket_get_fd(socket), .events = POLLIN };
	char buffer[MESSAGE_LEN];
	int cause = -1;
	ssize_t len;

	for (int tries = 0; cause < 0 && tries < 1000; tries++) {
		if (poll(&ready, 1, ANSWER_MS) == 0)
			return ETIMEDOUT;
		len = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (len < 0 && errno != ENOBUFS && errno != EINTR && errno != EAGAIN && errno != ENOSPC)
			return errno;
		if (len > 0)
			mnl_cb_run2(buffer, len, seq, mnl_socket_get_portid(socket), NULL, &cause, callbacks,
				    NLMSG_MIN_TYPE);
	}
	return cause < 0 ? ETIMEDOUT : cause;
}

static int configure(struct mnl_socket *socket, struct opening *opening)
{
	uint32_t seq = (uint32_t)time(NULL) | 1;
	char buffer[MESSAGE_LEN];
	struct nlmsghdr *request = request_make(buffer, opening->group, seq);
	int cause;

	if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return refusal(opening, errno);
	cause = answer_await(socket, seq);
	return cause ? refusal(opening, cause) : 0;
}

/* Without CAP_NET_ADMIN over the namespace the host's limit (net.core.rmem_max) holds: less room, still counted. */
static void enlarge(int fd)
{
	int size = RECEIVE_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* In the cell's namespace. libmnl's socket keeps its descriptor to itself: the caller gets a copy. */
static int open_inside(void *arg)
{
	struct opening *opening = arg;
	struct mnl_socket *socket;
	int ret = -1;

	socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!socket)
		return cf_fail(opening->error, CF_FAIL_UNSUPPORTED_HOST, errno,
			       "NFLOG group %u: the kernel has no netfilter netlink (%s): modprobe nfnetlink_log",
			       opening->group, strerror(errno));
	enlarge(mnl_socket_get_fd(socket));
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		cf_fail(opening->error, CF_FAIL_ATTACH, errno, "NFLOG group %u: socket: %s", opening->group,
			strerror(errno));
		goto out;
	}
	if (configure(socket, opening))
		goto out;
	opening->fd = fcntl(mnl_socket_get_fd(socket), F_DUPFD_CLOEXEC, 0);
	if (opening->fd < 0)
		cf_fail(opening->error, CF_FAIL_ATTACH, errno, "NFLOG group %u: descriptor: %s", opening->group,
			strerror(errno));
	else
		ret = 0;
out:
	mnl_socket_close(socket);
	return ret;
}

int cf_nflog_open(int nsfd, uint32_t group, int *fd, struct cf_error *error)
{
	struct opening opening = { .group = group, .fd = -1, .error = error };

	*fd = -1;
	if (group == 0)
		return cf_fail(
			error, CF_FAIL_USAGE, 0,
			"NFLOG group 0 is refused: the kernel's own messages and rules without a group are logged "
			"there; give the cell and its rules another (1 to 65535)");
	if (group > 65535)
		return cf_fail(error, CF_FAIL_USAGE, 0, "NFLOG group %u: the highest is 65535", group);
	if (cf_netns_do(nsfd, open_inside, &opening, error) < 0)
		return -1;
	*fd = opening.fd;
	return 0;
}

/* Without asking for an answer: it would stand among the packets, and somebody else reads those. */
void cf_nflog_end(int fd, uint32_t group)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	char buffer[MESSAGE_LEN];
	struct nlmsghdr *message = nflog_nlmsg_put_header(buffer, NFULNL_MSG_CONFIG, AF_UNSPEC, group);

	nflog_attr_put_cfg_cmd(message, NFULNL_CFG_CMD_UNBIND);
	sendto(fd, message, message->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
}
