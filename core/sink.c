/* SPDX-License-Identifier: MIT
 * Buffered, recoverable output: see sink.h. Taking up after another writer is sink_recover.c's. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>
#include "api.h"
#include "log.h"
#include "sink.h"
#include "sink_parts.h"

enum {
	DOUBTFUL_MAX = 65536, /* bytes that one death can leave in doubt; a pipe takes no more at once anyway */
};

static const size_t buffer_len = CF_SINK_BUFFER_LEN;

static int map_buffer(struct cf_sink *sink)
{
	uint8_t *twice = mmap(NULL, 2 * buffer_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (twice == MAP_FAILED)
		return -1;
	for (int half = 0; half < 2; half++)
		if (mmap(twice + half * buffer_len, buffer_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 sink->buffer_fd, 0) == MAP_FAILED) {
			munmap(twice, 2 * buffer_len);
			return -1;
		}
	sink->buffer = twice;
	return 0;
}

static void look_at_target(struct cf_sink *sink)
{
	struct stat st;
	int flags = fcntl(sink->fd, F_GETFL);

	if (fstat(sink->fd, &st) == 0) {
		sink->is_regular = S_ISREG(st.st_mode);
		sink->is_socket = S_ISSOCK(st.st_mode);
	}
	sink->is_appending = flags >= 0 && (flags & O_APPEND) != 0;
	/* A pipe or terminal that we could not make non-blocking: poll(2) promises room for PIPE_BUF, no more. */
	sink->may_block = !sink->is_regular && !sink->is_socket && !(flags & O_NONBLOCK);
	/* Of a file it can be found out afterwards what a killed worker had written; of the others it cannot. */
	sink->write_max = sink->may_block ? PIPE_BUF : sink->is_regular ? buffer_len : DOUBTFUL_MAX;
}

int cf_sink_open(struct cf_sink *sink, int fd, int buffer_fd, struct cf_output_progress *progress,
		 struct cf_error *error)
{
	memset(sink, 0, sizeof(*sink));
	sink->fd = fd;
	sink->progress = progress;
	sink->buffer_fd = buffer_fd;
	if (buffer_fd < 0) {
		sink->buffer_fd = memfd_create("cellflow-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		/* Sealed: a worker that shrank it would have its supervisor killed by SIGBUS. */
		if (sink->buffer_fd < 0 || ftruncate(sink->buffer_fd, CF_SINK_BUFFER_LEN) < 0 ||
		    fcntl(sink->buffer_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
			goto no_buffer;
	}
	if (map_buffer(sink) < 0)
		goto no_buffer;
	look_at_target(sink);
	return 0;
no_buffer:
	cf_fail(error, CF_FAIL_OUTPUT, errno, "output: no memory for its buffer: %s", strerror(errno));
	cf_sink_close(sink);
	return -1;
}

void cf_sink_close(struct cf_sink *sink)
{
	if (sink->buffer)
		munmap(sink->buffer, 2 * buffer_len);
	if (sink->buffer_fd >= 0)
		close(sink->buffer_fd);
	if (sink->fd >= 0)
		close(sink->fd);
	memset(sink, 0, sizeof(*sink));
	sink->fd = sink->buffer_fd = -1;
}

uint8_t *cf_sink_space(const struct cf_sink *sink, uint64_t head, size_t *room)
{
	uint64_t used = head - cf_sink_tail(sink);

	*room = used <= buffer_len ? buffer_len - used : 0;
	return cf_sink_at(sink, head);
}

uint64_t cf_sink_buffered(const struct cf_sink *sink, uint64_t head)
{
	return cf_sink_lines(sink, cf_sink_tail(sink), head);
}

static ssize_t send_bytes(const struct cf_sink *sink, const void *at, size_t len)
{
	return sink->is_socket ? send(sink->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL) : write(sink->fd, at, len);
}

static ssize_t write_once(struct cf_sink *sink, uint64_t tail, size_t len)
{
	struct cf_output_progress *progress = sink->progress;
	ssize_t written;

	if (sink->is_regular)
		progress->flying_base = cf_sink_position(sink);
	progress->flying_tail = tail;
	atomic_store_explicit(&progress->flying, len, memory_order_release);
	written = send_bytes(sink, cf_sink_at(sink, tail), len);
	if (written > 0)
		atomic_store_explicit(&progress->tail, tail + (uint64_t)written, memory_order_release);
	atomic_store_explicit(&progress->flying, 0, memory_order_release);
	if (written > 0)
		cf_sink_count(sink);
	return written;
}

/* A full disk may be over some time, and the buffer bounds the wait. Of anything else an error is the end: poll(2)
 * would call it writable for ever (a terminal that hung up), and the next try would be at once. */
static int may_pass(const struct cf_sink *sink, int cause)
{
	return (sink->is_regular && cause != EBADF) || cause == ENOBUFS || cause == ENOMEM;
}

static int flush_failed(struct cf_sink *sink)
{
	struct cf_output_progress *progress = sink->progress;

	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return 1;
	progress->errors++;
	progress->last_errno = (uint32_t)errno;
	if (may_pass(sink, errno))
		return 1;
	atomic_store_explicit(&progress->broken, 1, memory_order_release);
	return -1;
}

/* A descriptor that blocks: poll(2) promises room for one PIPE_BUF, or an error that the write will meet. */
static int has_room(const struct cf_sink *sink)
{
	struct pollfd ready = { .fd = sink->fd, .events = POLLOUT };

	return poll(&ready, 1, 0) != 0;
}

/* The newline that keeps a predecessor's half line apart. */
static int flush_guard(struct cf_sink *sink)
{
	if (!atomic_load_explicit(&sink->progress->guard, memory_order_relaxed))
		return 0;
	if (sink->may_block && !has_room(sink))
		return 1;
	if (send_bytes(sink, "\n", 1) < 0)
		return errno == EINTR ? 1 : flush_failed(sink);
	atomic_store_explicit(&sink->progress->guard, 0, memory_order_relaxed);
	return 0;
}

int cf_sink_flush(struct cf_sink *sink, uint64_t head)
{
	uint64_t tail;
	size_t len;
	int rc;

	if (atomic_load_explicit(&sink->progress->broken, memory_order_relaxed))
		return -1;
	rc = flush_guard(sink);
	if (rc)
		return rc;
	while ((tail = cf_sink_tail(sink)) < head) {
		len = head - tail < sink->write_max ? head - tail : sink->write_max;
		if (sink->may_block && !has_room(sink))
			return 1;
		if (write_once(sink, tail, len) < 0) {
			if (errno == EINTR)
				continue;
			return flush_failed(sink);
		}
	}
	/* Nothing is in the buffer. What comes next begins where memory is in the caches still, and not four megabytes
	 * later. */
	sink->progress->origin = tail;
	return 0;
}
