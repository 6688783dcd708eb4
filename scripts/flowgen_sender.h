/* SPDX-License-Identifier: MIT
 *
 * What the files of flowgen's sender share: how far each kind of flow has come, and the source ports.
 */
#ifndef FLOWGEN_SENDER_H
#define FLOWGEN_SENDER_H
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "flowgen.h"

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct kind {
	const char *name;
	bool tcp;
	int family;
	union address to, from;
	socklen_t len;
	char to_text[INET6_ADDRSTRLEN], from_text[INET6_ADDRSTRLEN];
	int fd; /* udp: the current source port's socket; -1: none */
	uint32_t source_index; /* counts source ports taken */
	uint32_t visited; /* destination ports the current source port has visited */
	uint64_t flows, packets, bytes;
};

struct sender {
	const struct fg_options *o;
	struct kind kinds[FG_KINDS];
	uint64_t started_ns, sent;
	char payload[FG_PAYLOAD_MAX];
	union address to[FG_PORTS_MAX];
	struct mmsghdr messages[FG_PORTS_MAX];
};

static inline void fg_port_set(union address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET)
		address->in.sin_port = htons(port);
	else
		address->in6.sin6_port = htons(port);
}

/* The kind's current source port. */
uint16_t fg_source_port(const struct sender *s, const struct kind *k);
/* A socket bound to it, or to the next one that is free; -1, and said why. */
int fg_source_open(const struct sender *s, struct kind *k);
void fg_source_next(struct kind *k);
/* The flow to that destination port is sent: count and list it. */
void fg_flow_done(const struct sender *s, struct kind *k, uint16_t port);

/* All connections of the next flow; 0, or -1 and said why. */
int fg_tcp_send(struct sender *s, struct kind *k);
#endif
