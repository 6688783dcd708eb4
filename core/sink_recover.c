/* SPDX-License-Identifier: MIT
 * Taking up an output where another writer stopped: cf_sink_recover and cf_sink_begin of sink.h. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sink.h"
#include "sink_parts.h"

enum {
	COUNTED = 192,
};

static const size_t buffer_len = CF_SINK_BUFFER_LEN;

/* So many bytes at a time that a byte can count them, which the compiler makes vectors of. */
uint64_t cf_sink_lines(const struct cf_sink *sink, uint64_t from, uint64_t to)
{
	const uint8_t *at = cf_sink_at(sink, from), *end;
	uint64_t lines = 0;

	if (to - from > buffer_len)
		return 0;
	end = at + (to - from);
	for (; end - at >= COUNTED; at += COUNTED) {
		uint8_t some = 0;

		for (int i = 0; i < COUNTED; i++)
			some += at[i] == '\n';
		lines += some;
	}
	while (at < end)
		lines += *at++ == '\n';
	return lines;
}

static struct cf_output_written *valid_written(struct cf_output_progress *progress)
{
	struct cf_output_written *written = progress->written;
	uint64_t first = atomic_load_explicit(&written[0].to, memory_order_acquire);

	return atomic_load_explicit(&written[1].to, memory_order_acquire) > first ? &written[1] : &written[0];
}

static void note_written(struct cf_output_progress *progress, uint64_t lines, uint64_t to)
{
	struct cf_output_written *other = &progress->written[valid_written(progress) == &progress->written[0]];

	other->lines = lines;
	atomic_store_explicit(&other->to, to, memory_order_release);
}

uint64_t cf_sink_written(const struct cf_sink *sink)
{
	const struct cf_output_written *written = valid_written(sink->progress);

	return written->lines + cf_sink_lines(sink, written->to, cf_sink_tail(sink));
}

void cf_sink_count(struct cf_sink *sink)
{
	note_written(sink->progress, cf_sink_written(sink), cf_sink_tail(sink));
}

void cf_sink_skip(struct cf_sink *sink, uint64_t tail)
{
	uint64_t lines = cf_sink_written(sink);

	note_written(sink->progress, lines, tail);
	atomic_store_explicit(&sink->progress->tail, tail, memory_order_relaxed);
}

uint64_t cf_sink_position(const struct cf_sink *sink)
{
	struct stat st;
	off_t offset;

	if (sink->is_appending)
		return fstat(sink->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	offset = lseek(sink->fd, 0, SEEK_CUR);
	return offset < 0 ? 0 : (uint64_t)offset;
}

/* Pass over a write whose fate is unknown, up to the end of the line it was in. */
static void give_up_flying(struct cf_sink *sink, uint64_t tail, uint64_t flying, uint64_t head)
{
	const uint8_t *last = cf_sink_at(sink, tail + flying - 1);
	const uint8_t *newline = memchr(last, '\n', head - (tail + flying - 1));
	uint64_t after = newline ? tail + flying + (uint64_t)(newline - last) : head;

	sink->progress->uncertain += cf_sink_lines(sink, tail, after);
	cf_sink_skip(sink, after);
	atomic_store_explicit(&sink->progress->guard, 1, memory_order_relaxed);
}

static int is_same_target(int a, int b)
{
	struct stat st_a, st_b;

	return fstat(a, &st_a) == 0 && fstat(b, &st_b) == 0 && st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

/* Of a regular file its length says how far the write got, unless there are log lines in between. */
static int can_be_measured(const struct cf_sink *sink)
{
	return sink->is_regular && !is_same_target(sink->fd, STDERR_FILENO);
}

void cf_sink_recover(struct cf_sink *sink, uint64_t head)
{
	struct cf_output_progress *progress = sink->progress;
	uint64_t flying = atomic_load_explicit(&progress->flying, memory_order_acquire);
	uint64_t tail = cf_sink_tail(sink);
	uint64_t landed;

	/* Whatever a worker wrote here, it can cost its own buffer, not our memory. */
	if (tail > head || head - tail > buffer_len)
		atomic_store_explicit(&progress->tail, tail = head, memory_order_relaxed);
	cf_sink_count(sink); /* while what was written is still in the buffer */
	if (flying > head - tail)
		flying = head - tail;
	atomic_store_explicit(&progress->flying, 0, memory_order_relaxed);
	if (flying == 0 || progress->flying_tail != tail)
		return;
	if (!can_be_measured(sink)) {
		give_up_flying(sink, tail, flying, head);
		return;
	}
	landed = cf_sink_position(sink) - progress->flying_base;
	if (landed > flying) /* others append to it too, or it was truncated: its length says nothing of our write */
		give_up_flying(sink, tail, flying, head);
	else
		atomic_store_explicit(&progress->tail, tail + landed, memory_order_relaxed);
	cf_sink_count(sink);
}

/* An earlier run that was killed may have left half a line. */
static int ends_cut(const struct cf_sink *sink)
{
	uint64_t position = sink->is_regular ? cf_sink_position(sink) : 0;
	char path[32];
	int reader, is_cut;
	char last;

	if (position == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", sink->fd); /* ours is for writing only */
	reader = open(path, O_RDONLY | O_CLOEXEC);
	if (reader < 0)
		return 0;
	is_cut = pread(reader, &last, 1, (off_t)position - 1) == 1 && last != '\n';
	close(reader);
	return is_cut;
}

static void pass_cut_line(struct cf_sink *sink, uint64_t head)
{
	uint64_t tail = cf_sink_tail(sink);
	const uint8_t *at = cf_sink_at(sink, tail);
	const uint8_t *newline;

	/* What ends before the origin ends with a line. */
	if (tail == sink->progress->origin || tail >= head || head - tail > buffer_len ||
	    *cf_sink_at(sink, tail - 1) == '\n')
		return;
	newline = memchr(at, '\n', head - tail);
	sink->progress->uncertain++;
	cf_sink_skip(sink, newline ? tail + (uint64_t)(newline + 1 - at) : head);
}

void cf_sink_begin(struct cf_sink *sink, int before, uint64_t head)
{
	if (before >= 0 && is_same_target(sink->fd, before))
		return;
	pass_cut_line(sink, head);
	atomic_store_explicit(&sink->progress->guard, (uint32_t)ends_cut(sink), memory_order_relaxed);
}
