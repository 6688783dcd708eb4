/* SPDX-License-Identifier: MIT
 * Messages and descriptors over a socket pair: see channel.h. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "channel.h"

struct header {
	uint32_t type;
	uint32_t len;
};

int cf_channel_pair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

size_t cf_message_len(uint32_t type)
{
	switch (type) {
	case CF_MSG_FAILED:
	case CF_MSG_MISUSED:
	case CF_MSG_INCLUDE_FAILED:
		return sizeof(struct cf_message_text);
	case CF_MSG_INCLUDE:
		return sizeof(struct cf_message_path);
	case CF_MSG_PLAN_LIMITS:
		return sizeof(struct cf_plan_limits);
	case CF_MSG_PLAN_FLOWS:
		return sizeof(struct cf_plan_flows);
	case CF_MSG_PLAN_METADATA:
		return sizeof(struct cf_plan_metadata);
	case CF_MSG_PLAN_OUTPUT:
		return sizeof(struct cf_plan_output);
	case CF_MSG_PLAN_CELL:
		return sizeof(struct cf_plan_cell);
	case CF_MSG_SLOT:
		return sizeof(struct cf_message_slot);
	case CF_MSG_TIMES:
		return sizeof(struct cf_plan_flows);
	case CF_MSG_SOURCE:
		return sizeof(struct cf_message_source);
	case CF_MSG_SOURCE_GONE:
		return sizeof(struct cf_message_gone);
	case CF_MSG_LOSSES:
		return sizeof(struct cf_message_losses);
	case CF_MSG_PART:
	case CF_MSG_PART_WANTED:
	case CF_MSG_RECORD_RING:
	case CF_MSG_FLOWS:
	case CF_MSG_OUTPUT_GONE:
	case CF_MSG_OUTPUT:
	case CF_MSG_RING:
	case CF_MSG_HOST_RING:
	case CF_MSG_START:
	case CF_MSG_FINISH:
	case CF_MSG_LEAVE:
	case CF_MSG_INCLUDED:
	case CF_MSG_LOST:
	case CF_MSG_DRAINING:
		return sizeof(struct cf_message_number);
	default:
		return 0;
	}
}

int cf_channel_send(int fd, uint32_t type, const void *body, size_t len, const int *fds, int fd_count)
{
	struct header header = { .type = type, .len = (uint32_t)len };
	struct iovec parts[2] = { { &header, sizeof(header) }, { (void *)(uintptr_t)body, len } };
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = len ? 2 : 1 };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * CF_CHANNEL_FDS_MAX)] = { 0 };
	struct cmsghdr *cmsg;
	ssize_t sent;

	if (fd_count > 0) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * (size_t)fd_count);
	}
	do
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int cf_channel_try_send(int fd, uint32_t type, const void *body, size_t len)
{
	struct header header = { .type = type, .len = (uint32_t)len };
	struct iovec parts[2] = { { &header, sizeof(header) }, { (void *)(uintptr_t)body, len } };
	struct msghdr msg = { .msg_iov = parts, .msg_iovlen = 2 };

	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* Returns how many came: alignment has room for more than a message may have. */
static int take_fds(struct msghdr *msg, struct cf_message *message)
{
	int count = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t bytes = cmsg->cmsg_len - CMSG_LEN(0);

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + at, sizeof(fd));
			if (count < CF_CHANNEL_FDS_MAX)
				message->fds[count] = fd;
			else
				close(fd);
			count++;
		}
	}
	return count;
}

void cf_message_close_fds(struct cf_message *message)
{
	for (int i = 0; i < CF_CHANNEL_FDS_MAX; i++) {
		if (message->fds[i] >= 0)
			close(message->fds[i]);
		message->fds[i] = -1;
	}
}

int cf_channel_receive(int fd, struct cf_message *message, int timeout_ms)
{
	struct header header;
	struct iovec parts[2] = { { &header, sizeof(header) }, { &message->body, sizeof(message->body) } };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * CF_CHANNEL_FDS_MAX)];
	struct msghdr msg = {
		.msg_iov = parts, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	ssize_t got;
	int fds;

	for (int i = 0; i < CF_CHANNEL_FDS_MAX; i++)
		message->fds[i] = -1;
	do
		got = poll(&ready, 1, timeout_ms);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return -EAGAIN;
	do
		got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (got == 0)
		return 0;
	fds = take_fds(&msg, message);
	if (fds > CF_CHANNEL_FDS_MAX || (size_t)got < sizeof(header) || (size_t)got != sizeof(header) + header.len ||
	    header.len != cf_message_len(header.type) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		cf_message_close_fds(message);
		return -EBADMSG;
	}
	message->type = header.type;
	message->len = header.len;
	return 1;
}
