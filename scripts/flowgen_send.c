/* SPDX-License-Identifier: MIT
 *
 * flowgen's sender. A flow is a source port and a destination port nobody used before in this run: each source
 * port visits every destination port once, then the next one is taken. Source ports are bound, never left to the
 * kernel, so that the list of flows is known. Connections are flowgen_tcp.c's, the sink is flowgen_serve.c.
 */
#include "flowgen_sender.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint16_t fg_source_port(const struct sender *s, const struct kind *k)
{
	return FG_SOURCE_PORT_FIRST + ((uint64_t)s->o->seed * 7919 + k->source_index) % FG_SOURCE_PORTS;
}

/* Which address the kernel would send from: a connected UDP socket knows, and sends nothing. */
static int source_find(struct kind *k)
{
	socklen_t len = k->len;
	int fd = socket(k->family, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = 0;

	fg_port_set(&k->to, 9);
	if (fd < 0 || connect(fd, &k->to.any, k->len) || getsockname(fd, &k->from.any, &len))
		rc = fg_fail(errno, "%s: no way to %s", k->name, k->to_text);
	else
		inet_ntop(k->family,
			  k->family == AF_INET ? (void *)&k->from.in.sin_addr : (void *)&k->from.in6.sin6_addr,
			  k->from_text, sizeof(k->from_text));
	if (fd >= 0)
		close(fd);
	return rc;
}

static int kind_init(struct kind *k, enum fg_kind kind, const struct fg_options *o)
{
	static const char *const names[] = { "tcp4", "udp4", "tcp6", "udp6" };
	bool six = kind == FG_TCP6 || kind == FG_UDP6;
	const char *text = six ? o->to6 : o->to4;

	*k = (struct kind){ .name = names[kind],
			    .fd = -1,
			    .family = six ? AF_INET6 : AF_INET,
			    .tcp = kind == FG_TCP4 || kind == FG_TCP6,
			    .len = six ? sizeof(k->to.in6) : sizeof(k->to.in) };
	k->to.any.sa_family = k->family;
	if (inet_pton(k->family, text, six ? (void *)&k->to.in6.sin6_addr : (void *)&k->to.in.sin_addr) != 1)
		return fg_fail(0, "--to%c: \"%s\" is not an address", six ? '6' : '4', text);
	snprintf(k->to_text, sizeof(k->to_text), "%s", text);
	return source_find(k);
}

/* A socket bound to the kind's current source port, or to the next that is free. */
int fg_source_open(const struct sender *s, struct kind *k)
{
	int fd = socket(k->family, (k->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return fg_fail(errno, "%s: socket", k->name);
	/* TCP comes back to a source port whose last connection is in TIME_WAIT. UDP must not share a port. */
	if (k->tcp) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	for (; k->source_index < FG_SOURCE_PORTS; k->source_index++, k->visited = 0) {
		fg_port_set(&k->from, fg_source_port(s, k));
		if (!bind(fd, &k->from.any, k->len))
			return fd;
		if (errno != EADDRINUSE)
			break;
	}
	fg_fail(errno, "%s: no source port left at %s", k->name, k->from_text);
	close(fd);
	return -1;
}

void fg_source_next(struct kind *k)
{
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	k->visited = 0;
	k->source_index++;
}

void fg_flow_done(const struct sender *s, struct kind *k, uint16_t port)
{
	const struct fg_options *o = s->o;

	k->flows++;
	k->packets += o->packets;
	k->bytes += (uint64_t)o->packets * o->payload;
	if (o->list)
		fprintf(o->list, "%.3s %s %u %s %u %u\n", k->name, k->from_text, fg_source_port(s, k), k->to_text, port,
			o->packets);
}

/* `count` flows of one source port, one packet of each in one call. */
static int udp_send(struct sender *s, struct kind *k, uint32_t count)
{
	const struct fg_options *o = s->o;
	struct iovec iov = { .iov_base = s->payload, .iov_len = o->payload };

	if (k->fd < 0 && (k->fd = fg_source_open(s, k)) < 0)
		return -1;
	for (uint32_t i = 0; i < count; i++) {
		s->to[i] = k->to;
		fg_port_set(&s->to[i], o->port_base + k->visited + i);
		s->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &s->to[i], .msg_namelen = k->len, .msg_iov = &iov, .msg_iovlen = 1
		};
	}
	for (uint32_t packet = 0; packet < o->packets; packet++)
		for (uint32_t done = 0; done < count;) {
			int n = sendmmsg(k->fd, s->messages + done, count - done, 0);

			if (n < 0 && errno == EPERM && o->firewalled)
				n = 1;
			if (n < 0 && errno != EINTR)
				return fg_fail(errno, "%s: send from port %u", k->name, fg_source_port(s, k));
			done += n > 0 ? n : 0;
		}
	for (uint32_t i = 0; i < count; i++)
		fg_flow_done(s, k, o->port_base + k->visited + i);
	k->visited += count;
	return 0;
}

static int kind_send(struct sender *s, struct kind *k, uint32_t count)
{
	int rc = 0;

	for (uint32_t i = 0; i < count && !rc; i += k->tcp ? 1 : count) {
		if (k->visited == s->o->ports)
			fg_source_next(k);
		rc = k->tcp ? fg_tcp_send(s, k) : udp_send(s, k, count);
	}
	return rc;
}

/* 0, or -1 when the time is over. */
static int pace(const struct sender *s)
{
	const struct fg_options *o = s->o;
	uint64_t due = s->started_ns + (o->rate ? s->sent * 1000000000u / o->rate : 0), now = fg_now_ns();
	struct timespec ts = { .tv_sec = due / 1000000000u, .tv_nsec = due % 1000000000u };

	if (now - s->started_ns > o->seconds * UINT64_C(1000000000))
		return fg_fail(0, "gave up after %u seconds", o->seconds);
	if (due > now)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	return 0;
}

/* Rounds over the kinds, so that they stay even from the first flow on. */
static int flows_send(struct sender *s)
{
	const struct fg_options *o = s->o;
	uint32_t burst = o->rate && o->rate < 10000 ? 1 : o->ports;

	while (s->sent < o->flows) {
		for (uint32_t i = 0; i < o->kinds && s->sent < o->flows; i++) {
			struct kind *k = &s->kinds[i];
			uint64_t share = o->flows / o->kinds + (i < o->flows % o->kinds), left = share - k->flows;
			uint32_t room = k->visited == o->ports ? o->ports : o->ports - k->visited;
			uint32_t count = burst < room ? burst : room;

			count = count < left ? count : left;
			if (!count)
				continue;
			if (pace(s) || kind_send(s, k, count))
				return -1;
			s->sent += count;
		}
	}
	return 0;
}

static void report(const struct sender *s)
{
	printf("{\"flows\":%llu,\"seconds\":%.6f", (unsigned long long)s->sent,
	       (double)(fg_now_ns() - s->started_ns) / 1e9);
	for (uint32_t i = 0; i < s->o->kinds; i++) {
		const struct kind *k = &s->kinds[i];

		printf(",\"%s\":{\"flows\":%llu,\"packets\":%llu,\"bytes\":%llu}", k->name,
		       (unsigned long long)k->flows, (unsigned long long)k->packets, (unsigned long long)k->bytes);
	}
	puts("}");
}

int fg_send(const struct fg_options *options)
{
	static struct sender sender;
	uint64_t random = options->seed + UINT64_C(0x9e3779b97f4a7c15);
	int rc;

	sender.o = options;
	for (size_t i = 0; i < sizeof(sender.payload); i++) {
		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		sender.payload[i] = (char)(random >> 56);
	}
	for (uint32_t i = 0; i < options->kinds; i++)
		if (kind_init(&sender.kinds[i], options->mix[i], options))
			return 1;
	sender.started_ns = fg_now_ns();
	rc = flows_send(&sender);
	report(&sender);
	if (!rc && (options->end == FG_END_HOLD || options->end == FG_END_UNANSWERED)) {
		fflush(NULL);
		sleep(options->seconds);
	}
	for (uint32_t i = 0; i < options->kinds; i++)
		if (sender.kinds[i].fd >= 0)
			close(sender.kinds[i].fd);
	return rc ? 1 : 0;
}
