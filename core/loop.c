/* SPDX-License-Identifier: MIT
 * When the worker wakes, lingers and ends: cf_turn_loop of turn.h.
 *
 * The ring's producers wake us at most once in the wake interval (bpf/), so after events came we look again by
 * ourselves, at that interval, until three looks in a row found nothing, and only then sleep in poll(2). Going to
 * sleep earlier than two intervals after the last event would strand events whose producers kept silent. */
#include <errno.h>
#include <poll.h>
#include <time.h>
#include "channel.h"
#include "clock.h"
#include "log.h"
#include "turn.h"

enum {
	EMPTY_LOOKS = 3,
	BITE = 64, /* batches; then orders and slow outputs get their turn, however fast events come */
	RETRY_MS = 250, /* an output that poll(2) cannot watch: a full disk */
	FINISH_TURNS_MAX = 1 << 20, /* batches: far more than any ring holds */
};

struct loop {
	struct cf_turn *turn;
	int channel;
	int stop_ms; /* -1: go on; else what STOP allowed for flushing */
};

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void flush(struct loop *loop, uint32_t which)
{
	struct cf_turn *turn = loop->turn;
	const struct cf_outcome *done = cf_outcome_current(turn->shared);

	for (uint32_t i = 0; i < turn->sink_count; i++) {
		uint32_t bit = 1U << i;
		int rc;

		if (!(which & bit))
			continue;
		rc = cf_sink_flush(&turn->sinks[i], done->outputs[i].head);
		turn->pending = rc == 1 ? turn->pending | bit : turn->pending & ~bit;
		if (rc < 0 && !(turn->gone & bit)) {
			struct cf_message_number number = { .value = i };

			turn->gone |= bit;
			cf_channel_send(loop->channel, CF_MSG_OUTPUT_GONE, &number, sizeof(number), NULL, 0);
		}
	}
}

/* All outputs but those that would block. A slow one is tried after every batch: left alone until the next poll(2), a
 * backlog of the ring would overflow the buffer of a reader that is not slow at all. */
static uint32_t flushable(const struct cf_turn *turn)
{
	uint32_t which = 0;

	for (uint32_t i = 0; i < turn->sink_count; i++)
		if (!turn->sinks[i].may_block || !(turn->pending & (1U << i)))
			which |= 1U << i;
	return which;
}

/* What is in the ring now, up to max batches. Returns how many there were. */
static uint32_t drain(struct loop *loop, uint32_t max)
{
	struct cf_turn *turn = loop->turn;
	uint32_t turns = 0;

	while (turns < max && cf_turn_once(turn) > 0) {
		turns++;
		flush(loop, flushable(turn));
		if (turn->is_full)
			break;
	}
	return turns;
}

static void order(struct loop *loop)
{
	struct cf_message message;
	int rc = cf_channel_receive(loop->channel, &message, 0);

	if (rc == -EAGAIN)
		return;
	if (rc <= 0) { /* the supervisor has gone: its descriptors, and the attachments, went with it */
		loop->stop_ms = 0;
		return;
	}
	cf_message_close_fds(&message);
	if (message.type == CF_MSG_FINISH)
		drain(loop, FINISH_TURNS_MAX);
	else if (message.type == CF_MSG_STOP)
		loop->stop_ms = (int)message.body.number.value;
}

static uint32_t watch_outputs(const struct cf_turn *turn, struct pollfd *fds, int *retry)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < turn->sink_count; i++) {
		if (!(turn->pending & (1U << i)))
			continue;
		if (turn->sinks[i].is_regular) /* always "writable", also when the disk is full */
			*retry = 1;
		else
			fds[count++] = (struct pollfd){ .fd = turn->sinks[i].fd, .events = POLLOUT };
	}
	return count;
}

enum wait {
	WAIT_RING, /* until the ring wakes us */
	WAIT_LINGER, /* the ring itself is not watched, time is */
	WAIT_NOT, /* the ring has more: only look at the rest */
};

static void wait_for_work(struct loop *loop, enum wait wait)
{
	struct cf_turn *turn = loop->turn;
	struct pollfd fds[3 + CF_OUTPUTS_MAX] = {
		{ .fd = loop->channel, .events = POLLIN },
		{ .fd = turn->clock_fd, .events = POLLIN },
		{ .fd = wait == WAIT_RING ? turn->ring.fd : -1, .events = POLLIN },
	};
	struct timespec pause = { .tv_sec = (time_t)(turn->linger_ns / 1000000000),
				  .tv_nsec = (long)(turn->linger_ns % 1000000000) };
	struct timespec retry_pause = { .tv_nsec = RETRY_MS * 1000000L };
	struct timespec no_pause = { 0 };
	int retry = 0;
	nfds_t count = 3 + watch_outputs(turn, fds + 3, &retry);

	if (ppoll(fds, count,
		  wait == WAIT_NOT	? &no_pause
		  : wait == WAIT_LINGER ? &pause
		  : retry		? &retry_pause
					: NULL,
		  NULL) < 0)
		return;
	if (fds[0].revents)
		order(loop);
	if (fds[1].revents && cf_clock_stepped(turn->clock_fd) == 1) {
		turn->clock_refreshed_ns = 0;
		atomic_fetch_add(&turn->shared->clock_steps, 1);
	}
	if (turn->pending)
		flush(loop, turn->pending);
}

static void flush_until(struct loop *loop, uint64_t deadline_ms)
{
	struct cf_turn *turn = loop->turn;

	flush(loop, (1U << turn->sink_count) - 1);
	while (turn->pending && monotonic_ms() < deadline_ms) {
		struct pollfd fds[CF_OUTPUTS_MAX];
		int retry = 0;
		uint32_t count = watch_outputs(turn, fds, &retry);

		poll(fds, count, retry ? 20 : 100);
		flush(loop, turn->pending);
	}
}

int cf_turn_loop(struct cf_turn *turn, int channel)
{
	struct loop loop = { .turn = turn, .channel = channel, .stop_ms = -1 };
	int empty_looks = 0;

	while (loop.stop_ms < 0) {
		uint32_t turns = drain(&loop, BITE);

		if (turn->is_full)
			return 1; /* also when ordered to finish: what is left is the successor's, as is the order */
		empty_looks = turns > 0 ? 0 : empty_looks + (empty_looks < EMPTY_LOOKS);
		wait_for_work(&loop, turns == BITE ? WAIT_NOT : empty_looks < EMPTY_LOOKS ? WAIT_LINGER : WAIT_RING);
	}
	flush_until(&loop, monotonic_ms() + (uint64_t)loop.stop_ms);
	return 0;
}
