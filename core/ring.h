/* SPDX-License-Identifier: MIT
 *
 * Consumer side of a ring of events, straight from its mmap'ed pages: bounded bites into a batch, and a position
 * that the caller releases when the batch is done. libbpf's own consumer drains greedily through a callback, and
 * releases each record before anything is known of its fate; a worker that may be killed needs the opposite.
 * Needs only descriptors, no privilege. There are two layouts: the slots of the tc program (flow.h), and that of the
 * kernel's ring buffer, which operators' objects have and the host ring (host_ring.h).
 */
#ifndef CF_RING_H
#define CF_RING_H
#include <stddef.h>
#include <stdint.h>
#include "api.h"
#include "error.h"

struct cf_ring {
	int fd; /* to poll for new records, and cf_ring_hear when there are; not owned */
	size_t size; /* of the events there is room for, in bytes, a power of two */
	size_t page; /* bytes */
	uint32_t longest; /* bytes of a record: CF_EVENT_RING_LEN, or CF_EVENT_FULL_LEN where there are prefixes */
	uint32_t slot_count; /* 0: it has the layout of the kernel's ring buffer */
	void *consumer_page; /* position, shared with the kernel and with the next worker */
	uint8_t *producer_page; /* position, and after one page the data, mapped twice in a row; of slots the whole map
				 */
	const struct cf_slot *slots; /* the first one */
	const uint64_t *produced; /* the producers' position */
	uint64_t *bell[2]; /* of slots: the positions of the ring buffer that wakes us, the consumer's and the
			      producers' */
};

/* Map a ring buffer; `size` is the map's max_entries. The caller keeps `fd` open while the ring is in use. */
int cf_ring_open(struct cf_ring *ring, int fd, size_t size, struct cf_error *error);
/* Map slots for `size` bytes of events (cf_ring_slots) and their bell, which the caller keeps open; the map itself need
 * not stay open. A negative bell: `fd` is a ring buffer after all. */
int cf_ring_open_slots(struct cf_ring *ring, int fd, int bell_fd, size_t size, struct cf_error *error);
/* The same for a host ring (host_ring.h). */
struct cf_host_ring;
int cf_ring_open_host(struct cf_ring *ring, const struct cf_host_ring *host, struct cf_error *error);
void cf_ring_close(struct cf_ring *ring);

/* How many slots a ring has in which `bytes` of events fit, a power of two; 0: as many as by default. */
uint32_t cf_ring_slots(uint32_t bytes);
/* How many events may wait in so many, so that the CPUs of this machine cannot be ahead of each other by all of them.
 */
uint32_t cf_ring_slot_limit(uint32_t slots);

/* Be silent until something new comes: before looking at a ring whose fd was found readable. */
void cf_ring_hear(const struct cf_ring *ring);

uint64_t cf_ring_position(const struct cf_ring *ring);
/* Give everything before `position` back to the producers. */
void cf_ring_release(struct cf_ring *ring, uint64_t position);

/* Behind the latest record, finished or not, at this moment. */
uint64_t cf_ring_producer(const struct cf_ring *ring);

/* Copy up to `max` complete records from *position on into batch->events[0..], set batch->count, move *position
 * behind the last one. Records of other lengths than CF_EVENT_RING_LEN (and, of a host ring, by multiples of 8 up to
 * CF_EVENT_FULL_LEN: with a prefix) are passed over and counted in *refused (the latest such length in *refused_len).
 * Nothing is released. Returns the number of records passed, refused ones included. */
uint32_t cf_ring_take(const struct cf_ring *ring, uint64_t *position, struct cf_batch *batch, uint32_t max,
		      uint32_t *refused, uint32_t *refused_len);

/* The next complete record of any length from *position on: its bytes, *len of them, readable until they are released.
 * *position moves behind it, and behind discarded ones before it. NULL: there is none now. */
const void *cf_ring_next(const struct cf_ring *ring, uint64_t *position, uint32_t *len);

/* Bytes between the consumer's position and the producers': of slots without, else with the records' headers. */
uint64_t cf_ring_used(const struct cf_ring *ring);
/* Complete records from `position` on to the producers' position: what is still in the ring for who has committed as
 * far as that. The consumer's page is not asked, a worker can write it. A position that cannot be: 0. */
uint64_t cf_ring_count(const struct cf_ring *ring, uint64_t position);
#endif
