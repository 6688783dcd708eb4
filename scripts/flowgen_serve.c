/* SPDX-License-Identifier: MIT
 *
 * flowgen's sink: listens with TCP and UDP on every port, over IPv4 and IPv6 at once, reads and forgets. With it
 * there is no port-unreachable and no reset on the wire. It ends by itself; see --help for when.
 */
#include "flowgen.h"
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UDP_BATCH = 64, EVENTS = 64 };
enum role { ROLE_LISTENER, ROLE_TCP, ROLE_UDP, ROLE_SIGNAL, ROLE_STDIN };

struct sink {
	int epoll;
	bool stop, reset;
	uint64_t connections, tcp_bytes, packets, udp_bytes;
};

static int watch(struct sink *s, int fd, enum role role)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)role << 32 | (uint32_t)fd };

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) ? fg_fail(errno, "epoll_ctl") : 0;
}

static int port_open(struct sink *s, uint16_t port, bool tcp)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, off = 0;

	if (fd < 0)
		return fg_fail(errno, "socket");
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (tcp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || (tcp && listen(fd, 4096)))
		return fg_fail(errno, "listen on %s port %u", tcp ? "tcp" : "udp", port);
	return watch(s, fd, tcp ? ROLE_LISTENER : ROLE_UDP);
}

static int connections_accept(struct sink *s, int fd)
{
	int one;

	while ((one = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		s->connections++;
		if (watch(s, one, ROLE_TCP))
			return -1;
	}
	return 0;
}

static void connection_read(struct sink *s, int fd)
{
	static const struct linger at_once = { .l_onoff = 1 };
	uint64_t before = s->tcp_bytes;
	char data[65536];
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		s->tcp_bytes += n;
	if (s->reset && s->tcp_bytes > before)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	if (n == 0 || (s->reset && s->tcp_bytes > before) || (errno != EAGAIN && errno != EINTR))
		close(fd);
}

static void datagrams_read(struct sink *s, int fd)
{
	struct mmsghdr messages[UDP_BATCH];
	struct iovec none = { 0 };
	int n;

	do {
		memset(messages, 0, sizeof(messages));
		for (int i = 0; i < UDP_BATCH; i++)
			messages[i].msg_hdr = (struct msghdr){ .msg_iov = &none, .msg_iovlen = 1 };
		/* MSG_TRUNC returns the datagram's length though none of it is copied. */
		n = recvmmsg(fd, messages, UDP_BATCH, MSG_TRUNC | MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			s->udp_bytes += messages[i].msg_len;
		s->packets += n > 0 ? n : 0;
	} while (n == UDP_BATCH);
}

static int event_handle(struct sink *s, const struct epoll_event *event)
{
	int fd = (int)(uint32_t)event->data.u64;
	char data[512];

	switch ((enum role)(event->data.u64 >> 32)) {
	case ROLE_LISTENER:
		return connections_accept(s, fd);
	case ROLE_TCP:
		connection_read(s, fd);
		return 0;
	case ROLE_UDP:
		datagrams_read(s, fd);
		return 0;
	case ROLE_STDIN:
		s->stop = read(fd, data, sizeof(data)) <= 0;
		return 0;
	case ROLE_SIGNAL:
		s->stop = true;
		return 0;
	}
	return 0;
}

static int sink_open(struct sink *s, const struct fg_options *o)
{
	struct stat stat;
	sigset_t set;
	int fd;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return fg_fail(errno, "epoll_create1");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0 || watch(s, fd, ROLE_SIGNAL))
		return -1;
	/* A shell gives its background jobs /dev/null, which is always at its end: only a pipe speaks of a parent. */
	if (!fstat(STDIN_FILENO, &stat) && (S_ISFIFO(stat.st_mode) || S_ISSOCK(stat.st_mode)) &&
	    watch(s, STDIN_FILENO, ROLE_STDIN))
		return -1;
	for (uint32_t i = 0; i < o->ports; i++)
		if (port_open(s, o->port_base + i, true) || port_open(s, o->port_base + i, false))
			return -1;
	return 0;
}

int fg_serve(const struct fg_options *o)
{
	struct sink sink = { .reset = o->reset };
	uint64_t deadline = fg_now_ns() + o->seconds * UINT64_C(1000000000), now;

	if (sink_open(&sink, o))
		return 1;
	printf("flowgen: serving ports %u to %u\n", o->port_base, o->port_base + o->ports - 1);
	fflush(stdout);
	while (!sink.stop && (now = fg_now_ns()) < deadline) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(sink.epoll, events, EVENTS, (int)((deadline - now) / 1000000u) + 1);

		for (int i = 0; i < n; i++)
			if (event_handle(&sink, &events[i]))
				return 1;
	}
	printf("{\"tcp\":{\"connections\":%llu,\"bytes\":%llu},\"udp\":{\"packets\":%llu,\"bytes\":%llu}}\n",
	       (unsigned long long)sink.connections, (unsigned long long)sink.tcp_bytes,
	       (unsigned long long)sink.packets, (unsigned long long)sink.udp_bytes);
	return 0;
}
