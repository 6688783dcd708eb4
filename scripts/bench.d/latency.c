/* SPDX-License-Identifier: MIT
 *
 * From a packet to its line: sends one UDP packet of a new flow at a time from the namespace it runs in, and waits for
 * the next complete line in a FIFO. Pauses in between are 5 to 9 ms, at no beat. Prints the 50th and 99th percentile
 * in microseconds, and how many lines never came.
 *   latency FIFO COUNT SEED
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	COUNT_MAX = 10000,
	PATIENCE_MS = 500,
	WARM = 20,
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* 1: what came ends with a newline; 0: nothing within the time. */
static int line_wait(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char text[65536];

	while (poll(&ready, 1, PATIENCE_MS) > 0) {
		ssize_t n = read(fd, text, sizeof(text));

		if (n > 0 && text[n - 1] == '\n')
			return 1;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	static uint64_t took[COUNT_MAX];
	struct sockaddr_in to = { .sin_family = AF_INET };
	int count = argc == 4 ? atoi(argv[2]) : 0, got = 0, lost = 0;
	uint32_t seed = argc == 4 ? (uint32_t)atoi(argv[3]) : 0;
	int fifo, fd;

	if (count < 1 || count > COUNT_MAX)
		return fputs("usage: latency FIFO COUNT SEED\n", stderr), 2;
	fifo = open(argv[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fifo < 0 || fd < 0)
		return perror("latency"), 1;
	srand(seed);
	for (int i = -WARM; i < count; i++) {
		uint64_t began;

		usleep((useconds_t)(5000 + rand() % 4000));
		to.sin_addr.s_addr = htonl(0x0a800000 | (seed & 0x7f) << 16 | (uint32_t)(i + WARM));
		to.sin_port = htons(9000);
		began = now_ns();
		if (sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) != 1)
			return perror("latency: send"), 1;
		if (!line_wait(fifo))
			lost++;
		else if (i >= 0)
			took[got++] = now_ns() - began;
	}
	qsort(took, (size_t)got, sizeof(took[0]), compare);
	printf("%.1f %.1f %d\n", got ? took[got / 2] / 1e3 : 0, got ? took[got * 99 / 100] / 1e3 : 0, lost);
	return 0;
}
