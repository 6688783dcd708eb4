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
#include "flow.h"
#include "host_ring.h"
#include "ring.h"

enum {
	SLOTS_MIN = 64,
	SLOTS_MAX = 1 << 24,
};

_Static_assert(sizeof(struct cf_slot) == 8 + CF_EVENT_RING_LEN, "a slot is a record with its header");

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
	ring->produced = map;
	return 0;
}

uint32_t cf_ring_slots(uint32_t bytes)
{
	uint32_t slots = SLOTS_MIN;

	if (!bytes)
		return CF_SLOTS;
	while (slots < SLOTS_MAX && slots < bytes / CF_EVENT_RING_LEN)
		slots *= 2;
	return slots;
}

/* Between seeing that there is room and drawing a number one CPU can be in one program, and in another that interrupted
 * it. */
uint32_t cf_ring_slot_limit(uint32_t slots)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	uint32_t ahead = cpus > 0 ? 2 * (uint32_t)cpus : 2;

	return ahead < slots / 2 ? slots - ahead : slots / 2;
}

static size_t slots_size(const struct cf_ring *ring)
{
	return (CF_SLOT_FIRST + (size_t)ring->slot_count) * sizeof(struct cf_slot);
}

static void *map_at(int fd, size_t from, size_t size, int prot)
{
	void *map = mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)from);

	return map == MAP_FAILED ? NULL : map;
}

int cf_ring_open_slots(struct cf_ring *ring, int fd, int bell_fd, size_t size, struct cf_error *error)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (bell_fd < 0)
		return cf_ring_open(ring, fd, size, error);
	*ring = (struct cf_ring){ .fd = bell_fd,
				  .size = size,
				  .page = page,
				  .longest = CF_EVENT_RING_LEN,
				  .slot_count = cf_ring_slots((uint32_t)size) };
	ring->consumer_page = map_at(fd, 0, page, PROT_READ | PROT_WRITE);
	ring->producer_page = map_at(fd, 0, slots_size(ring), PROT_READ);
	ring->bell[0] = map_at(bell_fd, 0, page, PROT_READ | PROT_WRITE);
	ring->bell[1] = map_at(bell_fd, page, page, PROT_READ);
	if (ring->consumer_page && ring->producer_page && ring->bell[0] && ring->bell[1]) {
		const struct cf_slot *all = (const struct cf_slot *)(const void *)ring->producer_page;

		ring->slots = all + CF_SLOT_FIRST;
		ring->produced = &all[CF_SLOT_PRODUCER].number;
		return 0;
	}
	cf_fail(error, CF_FAIL_RING_OPEN, errno, "ring open failed: mapping %u slots for events: %s", ring->slot_count,
		strerror(errno));
	cf_ring_close(ring);
	return -1;
}

void cf_ring_hear(const struct cf_ring *ring)
{
	if (ring->bell[0])
		__atomic_store_n(ring->bell[0], __atomic_load_n(ring->bell[1], __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
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
	ring->produced = (const uint64_t *)(const void *)ring->producer_page;
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
		munmap(ring->producer_page, ring->slot_count ? slots_size(ring) : ring->page + 2 * ring->size);
	for (int i = 0; i < 2; i++)
		if (ring->bell[i])
			munmap(ring->bell[i], ring->page);
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

/* One whose number is of a later round was overwritten before it was read, which its refused length says. */
static const uint8_t *slot_at(const struct cf_ring *ring, uint64_t position, uint32_t *len)
{
	const struct cf_slot *slot = &ring->slots[position & (ring->slot_count - 1)];
	uint64_t number = __atomic_load_n(&slot->number, __ATOMIC_ACQUIRE), wanted = position + 1;

	if ((number & ~CF_SLOT_EMPTY) < wanted)
		return NULL;
	*len = number == wanted ? CF_EVENT_RING_LEN : number == (wanted | CF_SLOT_EMPTY) ? BPF_RINGBUF_DISCARD_BIT : 0;
	return (const uint8_t *)slot;
}

/* Header of the record at `position`, or NULL when there is none or its producer has not finished it. */
static const uint8_t *record_at(const struct cf_ring *ring, uint64_t position, uint64_t producer, uint32_t *len)
{
	const uint8_t *record = ring->producer_page + ring->page + (position & (ring->size - 1));

	if (position >= producer)
		return NULL;
	if (ring->slot_count)
		return slot_at(ring, position, len);
	*len = atomic_load_explicit((const _Atomic uint32_t *)(const void *)record, memory_order_acquire);
	return *len & BPF_RINGBUF_BUSY_BIT ? NULL : record;
}

uint64_t cf_ring_producer(const struct cf_ring *ring)
{
	return __atomic_load_n(ring->produced, __ATOMIC_ACQUIRE);
}

/* How far it is to the next one: slots are counted, else bytes. */
static uint64_t record_span(const struct cf_ring *ring, uint32_t len)
{
	if (ring->slot_count)
		return 1;
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
		*position += record_span(ring, len);
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
		*position += record_span(ring, *len);
		if (!(*len & BPF_RINGBUF_DISCARD_BIT))
			return record + BPF_RINGBUF_HDR_SZ;
	}
	return NULL;
}

uint64_t cf_ring_used(const struct cf_ring *ring)
{
	uint64_t used = cf_ring_position(ring);

	used = cf_ring_producer(ring) - used;
	return ring->slot_count ? used * CF_EVENT_RING_LEN : used;
}

uint64_t cf_ring_count(const struct cf_ring *ring, uint64_t position)
{
	uint64_t producer = cf_ring_producer(ring);
	uint64_t count = 0;
	uint32_t len;

	if (producer - position > ring->size)
		return 0;
	while (record_at(ring, position, producer, &len)) {
		position += record_span(ring, len);
		if (!(len & BPF_RINGBUF_DISCARD_BIT))
			count++;
	}
	return count;
}
