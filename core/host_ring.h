/* SPDX-License-Identifier: MIT
 *
 * A ring made of ordinary shared memory, in the layout of a BPF ring buffer, for events that are made in user space:
 * one producer (the collector), one consumer (the worker, which reads it by ring.h as it reads the kernel's). The
 * descriptors are made before either process begins, and the memory outlives both.
 */
#ifndef CF_HOST_RING_H
#define CF_HOST_RING_H
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "event.h"

enum {
	CF_HOST_RING_BYTES = 4 << 20, /* data area; a power of two. About 25,000 events whose prefix has 20 bytes */
};

struct cf_host_ring {
	int fd; /* memfd: consumer's page, producer's page, data */
	int event_fd; /* readable: something was put in since it was last read */
	size_t size; /* of the data in bytes */
};

/* 0, or -1 with CF_FAIL_RING_OPEN. The descriptors are the caller's, closed by cf_host_ring_close. */
int cf_host_ring_new(struct cf_host_ring *ring, size_t size, struct cf_error *error);
void cf_host_ring_close(struct cf_host_ring *ring); /* idempotent */

/* The producing end. A dead predecessor's records are kept, and what it had begun is not seen. */
struct cf_host_producer {
	uint8_t *consumer_page;
	uint8_t *producer_page; /* and behind it the data, twice in a row */
	size_t size;
	size_t page;
	int event_fd; /* not owned */
	int is_due; /* something was put in since the last wake */
};

int cf_host_producer_open(struct cf_host_producer *producer, const struct cf_host_ring *ring, struct cf_error *error);
void cf_host_producer_close(struct cf_host_producer *producer);

/* Bytes that are free. */
/* Where the next record goes: moves with each put, and says to a successor whether a put was done. */
uint64_t cf_host_ring_produced(const struct cf_host_producer *producer);
size_t cf_host_ring_room(const struct cf_host_producer *producer);
/* One event, with its prefix (zero behind its NUL) when that is not empty. 0, or -1: no room now. */
int cf_host_ring_put(struct cf_host_producer *producer, const struct cf_event *event);
/* Wake the consumer if anything was put in since the last time. Once for a batch: it costs more than the events do. */
void cf_host_ring_wake(struct cf_host_producer *producer);

/* Map the two pages and, behind them, the data twice in a row, as the kernel does for its rings: used by ring.c.
 * NULL with errno. `prot` as of mmap(2), for the producer's page and the data. */
uint8_t *cf_host_ring_map(int fd, size_t size, int prot);
#endif
