/* SPDX-License-Identifier: MIT
 *
 * Sends UDP packets of many flows from the namespace it runs in, at a rate or as fast as it goes, and prints exactly
 * what left: through a packet socket (straight to the interface, the highest rate) or a raw one (by way of netfilter).
 * Flow n of a seed is always the same, no two are alike, and every fourth is IPv6. Receives nothing.
 *   blast packet|raw INTERFACE FLOWS PACKETS_PER_FLOW RATE SEED     (RATE: packets a second; 0: no limit)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 32,
	PAYLOAD = 18,
	PORTS = 50000, /* source ports from 1024 on; then comes another destination */
	GIVE_UP_S = 60,
};

struct blast {
	int fd[2]; /* IPv4, IPv6 */
	int raw, ifindex;
	uint32_t seed;
	uint64_t packets[2], sent, errors;
	uint8_t bytes[BATCH][128];
	union {
		struct sockaddr_ll link;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} to[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr messages[BATCH];
};

/* scripts/lab's peer. */
static const uint8_t peer_mac[6] = { 2, 0x77, 0, 0, 0, 1 };

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "blast: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int socket_open(const struct blast *b, int six)
{
	int size = 4 << 20;
	int fd = b->raw ? socket(six ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)
			: socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket (root needed)");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return fd;
}

static size_t udp_put(uint8_t *at, uint32_t flow)
{
	struct udphdr udp = { .source = htons(1024 + flow % PORTS),
			      .dest = htons(9000 + flow % 8),
			      .len = htons(sizeof(udp) + PAYLOAD) };

	memcpy(at, &udp, sizeof(udp));
	memset(at + sizeof(udp), 'x', PAYLOAD);
	return sizeof(udp) + PAYLOAD;
}

static size_t ipv4_put(uint8_t *at, uint32_t other, uint32_t flow, struct sockaddr_in *to)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP };
	size_t len = sizeof(ip) + udp_put(at + sizeof(ip), flow);
	uint32_t sum = 0;
	uint16_t words[sizeof(ip) / 2];

	ip.tot_len = htons(len);
	ip.saddr = htonl(0x0a4d0002);
	ip.daddr = htonl(0x0a800000 | other);
	memcpy(words, &ip, sizeof(ip));
	for (size_t i = 0; i < sizeof(ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	ip.check = ~((sum & 0xffff) + (sum >> 16));
	memcpy(at, &ip, sizeof(ip));
	*to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = ip.daddr };
	return len;
}

static size_t ipv6_put(uint8_t *at, uint32_t other, uint32_t flow, struct sockaddr_in6 *to)
{
	struct ip6_hdr ip = { .ip6_flow = htonl(6u << 28), .ip6_nxt = IPPROTO_UDP, .ip6_hlim = 64 };
	size_t len = udp_put(at + sizeof(ip), flow);
	uint32_t last = htonl(other);

	ip.ip6_plen = htons(len);
	inet_pton(AF_INET6, "fd77::2", &ip.ip6_src);
	inet_pton(AF_INET6, "fd78::", &ip.ip6_dst);
	memcpy((uint8_t *)&ip.ip6_dst + 12, &last, sizeof(last));
	memcpy(at, &ip, sizeof(ip));
	*to = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = ip.ip6_dst };
	return len + sizeof(ip);
}

static void message_make(struct blast *b, uint32_t i, uint32_t flow, int six)
{
	uint32_t other = (flow / PORTS + b->seed * 4096) & 0x7fffff;
	size_t len = six ? ipv6_put(b->bytes[i], other, flow, &b->to[i].in6)
			 : ipv4_put(b->bytes[i], other, flow, &b->to[i].in);

	if (!b->raw) {
		b->to[i].link = (struct sockaddr_ll){ .sll_family = AF_PACKET,
						      .sll_protocol = htons(six ? ETH_P_IPV6 : ETH_P_IP),
						      .sll_ifindex = b->ifindex,
						      .sll_halen = sizeof(peer_mac) };
		memcpy(b->to[i].link.sll_addr, peer_mac, sizeof(peer_mac));
	}
	b->iov[i] = (struct iovec){ b->bytes[i], len };
	b->messages[i].msg_hdr = (struct msghdr){
		.msg_name = &b->to[i],
		.msg_namelen = !b->raw ? sizeof(b->to[i].link)
			       : six   ? sizeof(b->to[i].in6)
				       : sizeof(b->to[i].in),
		.msg_iov = &b->iov[i],
		.msg_iovlen = 1,
	};
}

static void batch_send(struct blast *b, int six, uint32_t count)
{
	for (uint32_t done = 0; done < count;) {
		int n = sendmmsg(b->fd[six], b->messages + done, count - done, 0);

		if (n < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			die("sendmmsg");
		b->errors += n < 0;
		done += n > 0 ? (uint32_t)n : 0;
		b->packets[six] += n > 0 ? (uint64_t)n : 0;
		b->sent += n > 0 ? (uint64_t)n : 0;
	}
}

int main(int argc, char **argv)
{
	static struct blast b;
	uint64_t flows, made = 0;
	uint32_t each, rate;
	double began;
	struct rusage usage;

	if (argc != 7 || (strcmp(argv[1], "packet") && strcmp(argv[1], "raw")))
		return fputs("usage: blast packet|raw INTERFACE FLOWS PACKETS_PER_FLOW RATE SEED\n", stderr), 2;
	b.raw = argv[1][0] == 'r';
	b.ifindex = (int)if_nametoindex(argv[2]);
	flows = strtoull(argv[3], NULL, 10);
	each = (uint32_t)atoi(argv[4]);
	rate = (uint32_t)atoi(argv[5]);
	b.seed = (uint32_t)atoi(argv[6]);
	if (!b.ifindex || !flows || !each)
		die("arguments");
	b.fd[0] = socket_open(&b, 0);
	b.fd[1] = socket_open(&b, 1);
	began = now_s();
	for (uint64_t batch = 0; made < flows; batch++) {
		uint32_t count = flows - made < BATCH ? (uint32_t)(flows - made) : BATCH;
		double early = rate ? began + (double)b.sent / rate - now_s() : 0;
		int six = batch % 4 == 3;

		if (early > 0)
			usleep((useconds_t)(early * 1e6));
		if (now_s() - began > GIVE_UP_S)
			break;
		for (uint32_t i = 0; i < count; i++)
			message_make(&b, i, (uint32_t)made + i, six);
		for (uint32_t i = 0; i < each; i++)
			batch_send(&b, six, count);
		made += count;
	}
	began = now_s() - began;
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"flows\":%llu,\"packets\":%llu,\"ipv4\":%llu,\"ipv6\":%llu,\"retries\":%llu,\"seconds\":%.6f,"
	       "\"cpu_seconds\":%.6f}\n",
	       (unsigned long long)made, (unsigned long long)b.sent, (unsigned long long)b.packets[0],
	       (unsigned long long)b.packets[1], (unsigned long long)b.errors, began,
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	return 0;
}
