/* SPDX-License-Identifier: MIT
 * mmap'ed ring consumer: see ring.h. Layout of a record: 8-byte header (u32 length with two flag bits, u32 page
 * offset), then the data, rounded up to 8 bytes. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "event.h"
#include "host_ring.h"
#include "ring.h"

int cf_ring_open(struct cf_ring *ring, int fd, size_t size, struct cf_error *error)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *map;

	memset(ring, 0, sizeof(*ring));
	ring->fd = fd;
	ring->size = size;
	ring->page = page;
	ring->longest = CF_EVENT_RING_LEN;
	map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return cf_fail(error, CF_FAIL_RING_OPEN, errno, "ring open failed: mapping the consumer page: %s",
			       strerror(errno));
	ring->consumer_page = map;
	map = mmap(NULL, page + 2 * size, PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (map == MAP_FAILED) {
		cf_fail(error, CF_FAIL_RING_OPEN, errno, "ring open failed: mapping %zu bytes of data: %s", size,
			strerror(errno));
		cf_ring_close(ring);
		return -1;
	}
	ring->producer_page = map;
	return 0;
}

int cf_ring_open_host(struct cf_ring *ring, const struct cf_host_ring *host, struct cf_error *error)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, host->fd, 0);

	*ring = (struct cf_ring){
		.fd = host->event_fd, .size = host->size, .page = page, .longest = CF_EVENT_FULL_LEN
	};
	if (consumer != MAP_FAILED)
		ring->consumer_page = consumer;
	ring->producer_page = cf_host_ring_map(host->fd, host->size, PROT_READ);
	if (ring->consumer_page && ring->producer_page)
		return 0;
	cf_fail(error, CF_FAIL_RING_OPEN, errno, "ring open failed: mapping the host ring: %s", strerror(errno));
	cf_ring_close(ring);
	return -1;
}

void cf_ring_close(struct cf_ring *ring)
{
	if (ring->consumer_page)
		munmap(ring->consumer_page, ring->page);
	if (ring->producer_page)
		munmap(ring->producer_page, ring->page + 2 * ring->size);
	memset(ring, 0, sizeof(*ring));
	ring->fd = -1;
}

uint64_t cf_ring_position(const struct cf_ring *ring)
{
	return atomic_load_explicit((_Atomic unsigned long *)ring->consumer_page, memory_order_relaxed);
}

void cf_ring_release(struct cf_ring *ring, uint64_t position)
{
	/* Release: our reads of the records must be over before a producer may overwrite them. */
	atomic_store_explicit((_Atomic unsigned long *)ring->consumer_page, (unsigned long)position,
			      memory_order_release);
}

/* Header of the record at `position`, or NULL when there is none or its producer has not finished it. */
static const uint8_t *record_at(const struct cf_ring *ring, uint64_t position, uint64_t producer, uint32_t *len)
{
	const uint8_t *record = ring->producer_page + ring->page + (position & (ring->size - 1));

	if (position >= producer)
		return NULL;
	*len = atomic_load_explicit((const _Atomic uint32_t *)(const void *)record, memory_order_acquire);
	return *len & BPF_RINGBUF_BUSY_BIT ? NULL : record;
}

uint64_t cf_ring_producer(const struct cf_ring *ring)
{
	return atomic_load_explicit((const _Atomic unsigned long *)(const void *)ring->producer_page,
				    memory_order_acquire);
}

static uint64_t record_span(uint32_t len)
{
	len &= ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
	return (BPF_RINGBUF_HDR_SZ + (uint64_t)len + 7) & ~7ULL;
}

/* Of an event, and of as much of its prefix as there is. */
static int is_length(const struct cf_ring *ring, uint32_t len)
{
	return len == CF_EVENT_RING_LEN || (len > CF_EVENT_RING_LEN && len <= ring->longest && len % 8 == 0);
}

static void take_event(struct cf_event *event, const uint8_t *data, uint32_t len)
{
	uint32_t prefix_len = len - CF_EVENT_RING_LEN;

	/* A length that the compiler knows: a few moves in place of a call. */
	memcpy(event, data, CF_EVENT_RING_LEN);
	event->prefix[0] = '\0';
	if (!prefix_len)
		return;
	memset(event->prefix, 0, sizeof(event->prefix));
	memcpy(event->prefix, data + CF_EVENT_RING_LEN, prefix_len);
	event->prefix[CF_EVENT_PREFIX_LEN - 1] = '\0';
}

uint32_t cf_ring_take(const struct cf_ring *ring, uint64_t *position, struct cf_batch *batch, uint32_t max,
		      uint32_t *refused, uint32_t *refused_len)
{
	uint64_t producer = cf_ring_producer(ring);
	const uint8_t *record;
	uint32_t passed = 0;
	uint32_t len;

	batch->count = 0;
	while (passed < max && (record = record_at(ring, *position, producer, &len))) {
		*position += record_span(len);
		if (len & BPF_RINGBUF_DISCARD_BIT)
			continue;
		passed++;
		if (!is_length(ring, len)) {
			(*refused)++;
			*refused_len = len;
			continue;
		}
		take_event(&batch->events[batch->count++], record + BPF_RINGBUF_HDR_SZ, len);
	}
	return passed;
}

const void *cf_ring_next(const struct cf_ring *ring, uint64_t *position, uint32_t *len)
{
	uint64_t producer = cf_ring_producer(ring);
	const uint8_t *record;

	while ((record = record_at(ring, *position, producer, len))) {
		*position += record_span(*len);
		if (!(*len & BPF_RINGBUF_DISCARD_BIT))
			return record + BPF_RINGBUF_HDR_SZ;
	}
	return NULL;
}

uint64_t cf_ring_used(const struct cf_ring *ring)
{
	uint64_t position = cf_ring_position(ring);

	return cf_ring_producer(ring) - position;
}

uint64_t cf_ring_count(const struct cf_ring *ring, uint64_t position)
{
	uint64_t producer = cf_ring_producer(ring);
	uint64_t count = 0;
	uint32_t len;

	if (producer - position > ring->size)
		return 0;
	while (record_at(ring, position, producer, &len)) {
		position += record_span(len);
		if (!(len & BPF_RINGBUF_DISCARD_BIT))
			count++;
	}
	return count;
}
