// SPDX-License-Identifier: MIT
/*
 * Reading an NFLOG socket: large reads, bounded, whoever else writes to it. Decoding is nflog_message.c's.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include "nflog.h"

/* The kernel fills a datagram up to the buffer size that was asked for, rounded up by its allocator: 128 KiB become
 * 256. */
enum { READ_LEN = 256 * 1024 };

static uint8_t read_buffer[READ_LEN] __attribute__((aligned(16)));

void cf_nflog_init(struct cf_nflog *nflog, int fd, uint32_t cell, uint32_t cell_ifindex)
{
	memset(nflog, 0, sizeof(*nflog));
	nflog->fd = fd;
	nflog->cell = cell;
	nflog->cell_ifindex = cell_ifindex;
	nflog->egress_link_len = ETH_HLEN;
}

/* Late by as much as the packet waited in the kernel's batch; packets of one batch have one time. */
static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* One datagram. Returns its length (it may be more than the buffer holds), 0 for one to be left out, or -errno. */
static ssize_t datagram_read(struct cf_nflog *nflog)
{
	struct sockaddr_nl from = { 0 };
	socklen_t from_len = sizeof(from);
	ssize_t len;

	len = recvfrom(nflog->fd, read_buffer, sizeof(read_buffer), MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from,
		       &from_len);
	if (len < 0 && errno == ENOBUFS) {
		nflog->numbers.overruns++;
		nflog->numbers.unsettled++;
		nflog->is_drained = 0;
		return 0;
	}
	if (len < 0)
		return errno == EINTR ? 0 : -errno;
	/* Who is root in the cell may send to this socket, too; the kernel's port is 0 and cannot be had. */
	if (!len || from_len < sizeof(from) || from.nl_pid != 0) {
		nflog->numbers.refused++;
		return 0;
	}
	return len;
}

int cf_nflog_read(struct cf_nflog *nflog, uint32_t max_messages, cf_nflog_fn *each, void *context)
{
	uint32_t got = 0;
	ssize_t len;

	/* Reads are bounded, too: what others send brings no packet and must not keep us here. */
	for (uint32_t reads = 0; got < max_messages && reads < max_messages; reads++) {
		len = datagram_read(nflog);
		if (len == -EAGAIN) {
			nflog->is_drained = 1;
			break;
		}
		if (len < 0)
			return got ? (int)got : (int)len;
		if (!len)
			continue;
		if ((size_t)len >
		    sizeof(read_buffer)) /* cut: what is whole is decoded, the rest is one refused message */
			len = sizeof(read_buffer);
		got += cf_nflog_decode(nflog, read_buffer, len, now_ns(), each, context);
	}
	return (int)got;
}
