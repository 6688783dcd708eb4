/* SPDX-License-Identifier: MIT
 * When the worker wakes, lingers and ends: cf_turn_loop of turn.h.
 *
 * The ring's producers wake us at most once in the wake interval (bpf/), so after events came we look again by
 * ourselves, at that interval or at a few of them (linger.h), until three looks in a row found nothing, and only then
 * sleep in poll(2). Going to sleep earlier than two intervals after the last event would strand events whose producers
 * kept silent. One that lost its CPU for an interval between its packet and its event may do so all the same, so the
 * first sleeps are short ones. */
#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "emit.h"
#include "linger.h"
#include "log.h"
#include "turn.h"

enum {
	EMPTY_LOOKS = 3,
	SHORT_SLEEPS = 3, /* of 10, 100 and 1,000 ms; the next one lasts until something happens */
	BITE = 64, /* batches; then orders and slow outputs get their turn, however fast events come */
	PATIENCE_MS = 100, /* for an output that is full, before a batch is decided that it will lose */
	ROOM_MIN = CF_SINK_BUFFER_LEN / 4, /* for the lines of a batch; more than they need, commonly */
	RECORDER_MS = 2, /* and then it is looked whether the recorder has made room */
	RETRY_MS = 250, /* an output that poll(2) cannot watch: a full disk */
	FINISH_TURNS_MAX = 1 << 20, /* batches: far more than any ring holds */
};

struct loop {
	struct cf_turn *turn;
	int channel;
	int ending; /* 1: ordered to end, or the supervisor has gone */
	int limit_told;
	int empty_looks; /* in a row */
	struct cf_linger linger;
	uint64_t linger_ns; /* until the next look */
	uint64_t end_ms; /* when ending: by then it must be over */
	uint64_t recorder_ms; /* when nothing new comes: until then the recorder is waited for; 0: it does */
	uint64_t moved_ms[CF_OUTPUTS_MAX]; /* when output i last took something */
	uint64_t recorder_moved_ms, recorder_taken; /* the same of the recorder, and how far it was then */
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
		const struct cf_sink *sink = &turn->sinks[i];
		uint32_t bit = 1U << i;
		uint64_t tail;
		int rc;

		if (!(which & bit))
			continue;
		tail = atomic_load(&sink->progress->tail);
		rc = cf_sink_flush(&turn->sinks[i], done->outputs[i].head);
		if (atomic_load(&sink->progress->tail) != tail)
			loop->moved_ms[i] = monotonic_ms();
		turn->pending = rc == 1 ? turn->pending | bit : turn->pending & ~bit;
		if (rc < 0 && !(turn->gone & bit)) {
			struct cf_message_number number = { .value = i };

			turn->gone |= bit;
			cf_channel_send(loop->channel, CF_MSG_OUTPUT_GONE, &number, sizeof(number), NULL, 0);
		}
	}
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

/* An output without room for a batch whose reader is at work. */
static int is_crowded(const struct loop *loop, uint64_t now)
{
	const struct cf_turn *turn = loop->turn;
	const struct cf_outcome *done = cf_outcome_current(turn->shared);
	size_t room;

	for (uint32_t i = 0; i < turn->sink_count; i++) {
		cf_sink_space(&turn->sinks[i], done->outputs[i].head, &room);
		if (turn->pending & (1U << i) && room < ROOM_MIN && now - loop->moved_ms[i] < PATIENCE_MS)
			return 1;
	}
	return 0;
}

/* The same of the recorder. At the end, when all flows end at once, half of the time there is for outputs is its own,
 * also while it waits for the disk. */
static int is_recorder_behind(struct loop *loop, uint64_t now)
{
	uint64_t taken = loop->recorder_taken;

	if (!cf_record_stream_is_crowded(&loop->turn->stream, cf_outcome_current(loop->turn->shared), &taken))
		return 0;
	if (taken != loop->recorder_taken)
		loop->recorder_moved_ms = now;
	loop->recorder_taken = taken;
	return loop->recorder_ms ? now < loop->recorder_ms : now - loop->recorder_moved_ms < PATIENCE_MS;
}

/* The ring is a buffer as well: while it has room, a reader that is merely slower than we are gets time, instead of
 * losing records. One that takes nothing gets none, and no reader may fill the ring: that would be everybody's loss.
 * Returns 1 after a pause. */
static int wait_for_room(struct loop *loop)
{
	struct cf_turn *turn = loop->turn;
	uint32_t permille;
	uint64_t used = cf_feed_used(&turn->feed, &permille);
	uint64_t now = monotonic_ms();
	uint64_t deadline = loop->ending ? loop->end_ms : now + PATIENCE_MS;
	int waited = 0, is_behind;

	while (used > 0 && (loop->ending || loop->recorder_ms || permille < 500) && now < deadline &&
	       ((is_behind = is_recorder_behind(loop, now)) || is_crowded(loop, now))) {
		struct pollfd fds[CF_OUTPUTS_MAX];
		int retry = 0;

		poll(fds, watch_outputs(turn, fds, &retry), is_behind ? RECORDER_MS : PATIENCE_MS);
		flush(loop, turn->pending);
		used = cf_feed_used(&turn->feed, &permille);
		now = monotonic_ms();
		waited = 1;
	}
	return waited;
}

/* What is in the ring now, up to max batches. Returns how many there were. */
static uint32_t drain(struct loop *loop, uint32_t max)
{
	struct cf_turn *turn = loop->turn;
	uint32_t turns = 0, found = 0, taken, permille;

	cf_feed_used(&turn->feed, &permille);
	while (turns < max && !turn->is_full) {
		if (wait_for_room(loop) && !loop->ending) {
			max = turns + 1; /* orders have waited as well */
			if (loop->recorder_ms && is_recorder_behind(loop, monotonic_ms()))
				return BITE; /* there is more, and no hurry */
		}
		taken = cf_turn_once(turn);
		if (taken == 0)
			break;
		found += taken;
		turns++;
		/* Slow ones as well: left alone until the next poll(2), a backlog of the ring would overflow the buffer
		 * of a reader that is not slow at all. */
		flush(loop, (1U << turn->sink_count) - 1);
	}
	loop->linger_ns = cf_linger_after(&loop->linger, turn->linger_ns, found, permille);
	return turns;
}

static void tell_limit(struct loop *loop)
{
	if (loop->limit_told || !cf_emit_is_full(cf_outcome_current(loop->turn->shared)))
		return;
	loop->limit_told = 1;
	cf_channel_send(loop->channel, CF_MSG_LIMIT, NULL, 0, NULL, 0);
}

static void moment(struct loop *loop, enum cf_moment which, uint64_t lost)
{
	cf_turn_moment(loop->turn, which, lost);
	flush(loop, (1U << loop->turn->sink_count) - 1);
}

static void order(struct loop *loop)
{
	struct cf_message message;
	int rc = cf_channel_receive(loop->channel, &message, 0);

	if (rc == -EAGAIN)
		return;
	if (rc > 0)
		cf_message_close_fds(&message);
	if (rc > 0 && message.type == CF_MSG_LOST) {
		moment(loop, CF_MOMENT_LOST, message.body.number.value);
		return;
	}
	if (rc > 0 && message.type == CF_MSG_DRAINING) {
		loop->recorder_ms = monotonic_ms() + message.body.number.value / 2;
		return;
	}
	loop->ending = 1;
	if (rc <= 0) /* the supervisor has gone: its descriptors, and the attachments, went with it */
		return;
	if (message.type != CF_MSG_FINISH && message.type != CF_MSG_LEAVE)
		return; /* not the supervisor that forked us any more */
	loop->end_ms = monotonic_ms() + message.body.number.value;
	if (!loop->recorder_ms)
		loop->recorder_ms = loop->end_ms - message.body.number.value / 2;
	if (message.type == CF_MSG_FINISH)
		drain(loop, FINISH_TURNS_MAX);
}

enum wait {
	WAIT_RING, /* until the ring wakes us */
	WAIT_LINGER, /* the ring itself is not watched, time is */
	WAIT_NOT, /* the ring has more: only look at the rest */
};

/* How long at most; -1: until something happens. */
static int64_t wait_ns(const struct loop *loop, enum wait wait, int retry)
{
	const struct cf_turn *turn = loop->turn;
	int sleeps = loop->empty_looks - EMPTY_LOOKS;
	int64_t ns = -1, left;

	if (wait == WAIT_NOT)
		ns = 0;
	else if (wait == WAIT_LINGER)
		ns = (int64_t)loop->linger_ns;
	else if (retry)
		ns = RETRY_MS * 1000000LL;
	else if (sleeps < SHORT_SLEEPS)
		ns = sleeps == 0 ? 10000000 : sleeps == 1 ? 100000000 : 1000000000;
	if (turn->timer_ns == 0)
		return ns;
	left = (int64_t)(turn->timer_ns - cf_boot_ns());
	left = left < 0 ? 0 : left;
	return ns < 0 || left < ns ? left : ns;
}

/* The host ring's eventfd stays readable until it is read. What was put in since is seen at the next look. */
static void hear(int event_fd)
{
	uint64_t times;

	if (read(event_fd, &times, sizeof(times)) < 0)
		return;
}

static void wait_for_work(struct loop *loop, enum wait wait)
{
	struct cf_turn *turn = loop->turn;
	const struct cf_ring *rings = turn->feed.rings;
	struct pollfd fds[4 + CF_OUTPUTS_MAX] = {
		{ .fd = loop->channel, .events = POLLIN },
		{ .fd = turn->clock_fd, .events = POLLIN },
		{ .fd = wait == WAIT_RING ? rings[CF_FEED_KERNEL].fd : -1, .events = POLLIN },
		{ .fd = wait == WAIT_RING ? rings[CF_FEED_HOST].fd : -1, .events = POLLIN },
	};
	int retry = 0;
	nfds_t count = 4 + watch_outputs(turn, fds + 4, &retry);
	int64_t ns = wait_ns(loop, wait, retry);
	struct timespec pause = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

	if (ppoll(fds, count, ns < 0 ? NULL : &pause, NULL) < 0)
		return;
	if (fds[2].revents)
		cf_ring_hear(&rings[CF_FEED_KERNEL]);
	if (fds[3].revents)
		hear(fds[3].fd);
	if (fds[0].revents)
		order(loop);
	if (fds[1].revents && cf_clock_stepped(turn->clock_fd) == 1) {
		turn->clock_refreshed_ns = 0;
		atomic_fetch_add(&turn->shared->clock_steps, 1);
	}
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
	struct loop loop = { .turn = turn, .channel = channel };

	moment(&loop, CF_MOMENT_START, 0);
	while (!loop.ending) {
		uint32_t turns = drain(&loop, BITE);

		tell_limit(&loop);
		if (turn->is_full)
			return 1; /* also when ordered to finish: what is left is the successor's, as is the order */
		if (turn->timer_ns != 0 && cf_boot_ns() >= turn->timer_ns)
			moment(&loop, CF_MOMENT_TIMER, 0);
		loop.empty_looks = turns > 0 ? 0 : loop.empty_looks + (loop.empty_looks < EMPTY_LOOKS + SHORT_SLEEPS);
		wait_for_work(&loop, turns == BITE ? WAIT_NOT : loop.empty_looks < EMPTY_LOOKS ? WAIT_LINGER : WAIT_RING);
	}
	if (turn->is_full)
		return 1;
	moment(&loop, CF_MOMENT_STOP, 0);
	flush_until(&loop, loop.end_ms);
	return 0;
}
