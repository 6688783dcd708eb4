/* SPDX-License-Identifier: MIT
 * A ring in shared memory: see host_ring.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "host_ring.h"

int cf_host_ring_new(struct cf_host_ring *ring, size_t size, struct cf_error *error)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	*ring = (struct cf_host_ring){ .fd = memfd_create("cellflow-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING),
				       .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				       .size = size };
	/* Sealed: whoever maps it later must not find it shorter than it was. */
	if (ring->fd >= 0 && ring->event_fd >= 0 && ftruncate(ring->fd, (off_t)(2 * page + size)) == 0 &&
	    fcntl(ring->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return 0;
	cf_fail(error, CF_FAIL_RING_OPEN, errno, "ring open failed: %zu bytes of shared memory: %s", size,
		strerror(errno));
	cf_host_ring_close(ring);
	return -1;
}

void cf_host_ring_close(struct cf_host_ring *ring)
{
	if (ring->size > 0 && ring->fd >= 0)
		close(ring->fd);
	if (ring->size > 0 && ring->event_fd >= 0)
		close(ring->event_fd);
	*ring = (struct cf_host_ring){ .fd = -1, .event_fd = -1 };
}

uint8_t *cf_host_ring_map(int fd, size_t size, int prot)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *at = mmap(NULL, page + 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return NULL;
	if (mmap(at, page + size, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)page) == MAP_FAILED ||
	    mmap(at + page + size, size, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)(2 * page)) == MAP_FAILED) {
		int cause = errno;

		munmap(at, page + 2 * size);
		errno = cause;
		return NULL;
	}
	return at;
}

int cf_host_producer_open(struct cf_host_producer *producer, const struct cf_host_ring *ring, struct cf_error *error)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *consumer = mmap(NULL, page, PROT_READ, MAP_SHARED, ring->fd, 0);

	*producer = (struct cf_host_producer){ .size = ring->size, .page = page, .event_fd = ring->event_fd };
	if (consumer != MAP_FAILED)
		producer->consumer_page = consumer;
	producer->producer_page = cf_host_ring_map(ring->fd, ring->size, PROT_READ | PROT_WRITE);
	if (producer->consumer_page && producer->producer_page) {
		producer->is_due = 1; /* a predecessor may have died before it could wake anybody */
		return 0;
	}
	cf_fail(error, CF_FAIL_RING_OPEN, errno, "ring open failed: mapping %zu bytes: %s", ring->size,
		strerror(errno));
	cf_host_producer_close(producer);
	return -1;
}

void cf_host_producer_close(struct cf_host_producer *producer)
{
	if (producer->consumer_page)
		munmap(producer->consumer_page, producer->page);
	if (producer->producer_page)
		munmap(producer->producer_page, producer->page + 2 * producer->size);
	memset(producer, 0, sizeof(*producer));
	producer->event_fd = -1;
}

static _Atomic unsigned long *position(uint8_t *page)
{
	return (_Atomic unsigned long *)(void *)page;
}

uint64_t cf_host_ring_produced(const struct cf_host_producer *producer)
{
	return atomic_load_explicit(position(producer->producer_page), memory_order_relaxed);
}

size_t cf_host_ring_room(const struct cf_host_producer *producer)
{
	unsigned long consumed = atomic_load_explicit(position(producer->consumer_page), memory_order_acquire);
	unsigned long produced = atomic_load_explicit(position(producer->producer_page), memory_order_relaxed);

	/* The consumer is another process, and its page may say anything: then nothing fits. */
	return produced - consumed > producer->size ? 0 : producer->size - (produced - consumed);
}

/* Prefixes are short, commonly: the rest of theirs, which is zero, is left out. With the NUL, a multiple of 8. */
static uint32_t length_of(const struct cf_event *event)
{
	uint32_t prefix_len = (uint32_t)strnlen(event->prefix, CF_EVENT_PREFIX_LEN - 1);

	return CF_EVENT_RING_LEN + (prefix_len ? (prefix_len / 8 + 1) * 8 : 0);
}

int cf_host_ring_put(struct cf_host_producer *producer, const struct cf_event *event)
{
	uint32_t len = length_of(event);
	unsigned long produced = atomic_load_explicit(position(producer->producer_page), memory_order_relaxed);
	uint8_t *record = producer->producer_page + producer->page + (produced & (producer->size - 1));

	if (cf_host_ring_room(producer) < BPF_RINGBUF_HDR_SZ + len)
		return -1;
	memset(record, 0, BPF_RINGBUF_HDR_SZ);
	memcpy(record, &len, sizeof(len));
	memcpy(record + BPF_RINGBUF_HDR_SZ, event, len);
	/* Only now does the record exist: to die before it leaves nothing behind. */
	atomic_store_explicit(position(producer->producer_page), produced + BPF_RINGBUF_HDR_SZ + len,
			      memory_order_release);
	producer->is_due = 1;
	return 0;
}

void cf_host_ring_wake(struct cf_host_producer *producer)
{
	uint64_t one = 1;

	if (!producer->is_due)
		return;
	/* Full (EAGAIN) means that it was not read for 2^64 - 1 wakes: readable all the same. */
	if (write(producer->event_fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN)
		producer->is_due = 0;
}
