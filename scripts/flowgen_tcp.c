/* SPDX-License-Identifier: MIT
 *
 * flowgen's TCP connections: opened, filled, and ended as --end says. Which ports they have is flowgen_send.c's.
 */
#include "flowgen_sender.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { REFUSED = -2 }; /* by the cell's own firewall */

/* Connected, from a tuple that no earlier run left in TIME_WAIT. */
static int tcp_open(struct sender *s, struct kind *k)
{
	static const struct timeval patience = { .tv_sec = 5 };

	for (;;) {
		int fd = fg_source_open(s, k), err;

		if (fd < 0)
			return -1;
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		fg_port_set(&k->to, s->o->port_base + k->visited);
		if (!connect(fd, &k->to.any, k->len))
			return fd;
		err = errno;
		close(fd);
		if (s->o->firewalled && (err == ECONNREFUSED || err == EPERM))
			return REFUSED;
		if (err != EADDRNOTAVAIL)
			return fg_fail(err, "%s: connect to %s port %u (is the sink there?)", k->name, k->to_text,
				       s->o->port_base + k->visited);
		fg_source_next(k);
	}
}

static int tcp_end(const struct sender *s, const struct kind *k, int fd)
{
	static const struct linger at_once = { .l_onoff = 1 };
	char end;

	switch (s->o->end) {
	case FG_END_FIN:
		/* Closing waits for the sink's own end, which comes after it has read everything: no reset. */
		if (!shutdown(fd, SHUT_WR) && recv(fd, &end, 1, 0) == 0)
			break;
		return fg_fail(errno, "%s: the sink did not close %s port %u", k->name, k->to_text,
			       s->o->port_base + k->visited);
	case FG_END_RST:
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		break;
	case FG_END_SINK:
		if (recv(fd, &end, 1, 0) < 0 && errno == ECONNRESET)
			break;
		return fg_fail(errno, "%s: the sink did not reset %s port %u", k->name, k->to_text,
			       s->o->port_base + k->visited);
	case FG_END_HOLD:
	case FG_END_UNANSWERED:
		return 0; /* the process's end closes it */
	}
	close(fd);
	return 0;
}

/* A SYN, and again one now and then, until the process ends: a firewall that drops says nothing. */
static int tcp_knock(struct sender *s, struct kind *k)
{
	int fd = fg_source_open(s, k);

	if (fd < 0)
		return -1;
	fg_port_set(&k->to, s->o->port_base + k->visited);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) || (connect(fd, &k->to.any, k->len) && errno != EINPROGRESS))
		return fg_fail(errno, "%s: SYN to %s port %u", k->name, k->to_text, s->o->port_base + k->visited);
	return 0;
}

static int tcp_once(struct sender *s, struct kind *k)
{
	const struct fg_options *o = s->o;
	int fd;

	if (o->end == FG_END_UNANSWERED)
		return tcp_knock(s, k);
	fd = tcp_open(s, k);
	if (fd < 0)
		return fd == REFUSED ? 0 : -1;
	/* MSG_EOR: the kernel may not join this chunk with the next, so each one is a packet of its own. */
	for (uint32_t i = 0; i < o->packets; i++)
		if (send(fd, s->payload, o->payload, MSG_EOR | MSG_NOSIGNAL) != (ssize_t)o->payload)
			return fg_fail(errno, "%s: send", k->name);
	return tcp_end(s, k, fd);
}

int fg_tcp_send(struct sender *s, struct kind *k)
{
	for (uint32_t i = 0; i < s->o->repeat; i++)
		if (tcp_once(s, k))
			return -1;
	fg_flow_done(s, k, s->o->port_base + k->visited++);
	return 0;
}
