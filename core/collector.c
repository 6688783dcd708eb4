/* SPDX-License-Identifier: MIT
 * The collector process: orders, waiting and ending. See collector.h; what is done with an event is collect.c's. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include "collect.h"
#include "confine.h"
#include "descriptors.h"
#include "log.h"
#include "privilege.h"

enum {
	/* Between two pieces of a round through the flow table, and how many make a round: it takes 0.8 s. Few where
	 * there is little to find, because waking up costs more than looking. */
	SWEEP_MS = 100,
	SWEEP_PIECES = 8,
	QUIET_MS = 400,
	QUIET_PIECES = 2,
	QUIET_SETS = 8192, /* a longer piece would keep sockets waiting */
	QUIET_FLOWS = 512, /* in a piece */
	EVENTS_MAX = 64, /* descriptors of one wait */
	ASLEEP_MS = 1000, /* between two looks at rings that are quiet */
	FULL_MS = 5, /* until the host ring is looked at again when it has no room */
	MEMORY_MB = 64,
	DESCRIPTORS = 2 * CF_CELLS_MAX + 32,
};

#define ORDERS UINT64_MAX /* the channel, among the slots */

struct collector {
	struct cf_collect collect;
	int channel;
	int epoll_fd;
	uint64_t sweep_ns; /* when the next piece is due */
	uint64_t look_ns; /* when rings with a bell are looked at though it does not ring: */
	int lingers; /* 1: just then; 0: with the next piece of a round that is later */
	struct cf_message_gone closing[CF_CELLS_MAX]; /* cells whose flows are still to be closed */
	uint32_t closing_count;
	int ending; /* 1: the last words are to be said, and then DONE */
	uint64_t end_ns;
	int is_quiet; /* 1: the latest piece of a round had little to find */
	int is_crowded; /* 1: a source has more than there is room for */
};

static uint64_t boot_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static void watch(struct collector *collector, int fd, uint64_t slot)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = slot };

	if (epoll_ctl(collector->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		cf_warn("collector: epoll: %s", strerror(errno));
}

/* By hand: the supervisor holds the same sockets, so that closing ours does not end the watch. */
static void unwatch(struct collector *collector, uint32_t slot)
{
	const struct cf_collect_source *source = collector->collect.sources[slot % CF_CELLS_MAX];

	if (source && source->nflog.fd >= 0)
		epoll_ctl(collector->epoll_fd, EPOLL_CTL_DEL, source->nflog.fd, NULL);
	if (source && source->ring_fd >= 0)
		epoll_ctl(collector->epoll_fd, EPOLL_CTL_DEL, source->ring.ring.fd, NULL);
}

/* Descriptors come in the order nflog, ring, bell; one that is not there leaves no gap. */
static void add_source(struct collector *collector, struct cf_message *message)
{
	const struct cf_message_source *about = &message->body.source;
	struct cf_error error = { 0 };
	const int *fds = message->fds;
	int nflog_fd = about->has_nflog ? *fds++ : -1;
	int ring_fd = about->has_ring ? *fds++ : -1;
	int bell_fd = about->has_bell ? *fds++ : -1;

	message->fds[0] = message->fds[1] = message->fds[2] = -1;
	unwatch(collector, about->slot);
	if (cf_collect_add(&collector->collect, about, nflog_fd, ring_fd, bell_fd, &error) < 0) {
		cf_warn("cell \"%s\": %s", about->name, error.text);
		return;
	}
	if (nflog_fd >= 0)
		watch(collector, nflog_fd, about->slot);
	if (ring_fd >= 0)
		watch(collector, bell_fd >= 0 ? bell_fd : ring_fd, about->slot);
}

static void close_flows(struct collector *collector, const struct cf_message_gone *gone)
{
	if (collector->closing_count < CF_CELLS_MAX)
		collector->closing[collector->closing_count++] = *gone;
}

static void order(struct collector *collector)
{
	struct cf_collect *collect = &collector->collect;
	struct cf_message message;
	struct cf_error error = { 0 };
	int rc = cf_channel_receive(collector->channel, &message, 0);

	if (rc == -EAGAIN)
		return;
	if (rc <= 0)
		_exit(0); /* the supervisor has gone, and with it everything there was to tell */
	switch (message.type) {
	case CF_MSG_FLOWS:
		if (cf_collect_flows(collect, message.body.number.value, message.fds[0], &error) < 0)
			cf_warn("%s", error.text);
		message.fds[0] = -1;
		break;
	case CF_MSG_TIMES:
		cf_collect_times(collect, &message.body.times);
		break;
	case CF_MSG_SOURCE:
		add_source(collector, &message);
		break;
	case CF_MSG_SOURCE_GONE:
		unwatch(collector, message.body.gone.slot);
		cf_collect_remove(collect, message.body.gone.slot);
		close_flows(collector, &message.body.gone);
		break;
	case CF_MSG_FINISH:
		collector->ending = 1;
		collector->end_ns = boot_ns() + message.body.number.value * 1000000ULL;
		break;
	default:
		_exit(1);
	}
	cf_message_close_fds(&message);
}

static int close_in(struct cf_sweep *sweep, uint32_t slot, uint32_t reason, uint64_t now_ns)
{
	return sweep->table.set_count ? cf_sweep_close(sweep, slot, reason, now_ns) : 0;
}

/* 0: all flows of the slot are told and gone; -1: no room. */
static int close_both(struct cf_collect *collect, uint32_t slot, uint32_t reason)
{
	int rc = close_in(&collect->flows, slot, reason, collect->now_ns);

	return close_in(&collect->logged, slot, reason, collect->now_ns) < 0 ? -1 : rc;
}

static void close_gone(struct collector *collector)
{
	while (collector->closing_count > 0) {
		const struct cf_message_gone *gone = &collector->closing[collector->closing_count - 1];

		if (close_both(&collector->collect, gone->slot, gone->reason) < 0)
			return;
		collector->closing_count--;
	}
}

/* Returns how many flows there were. */
static uint32_t sweep_piece(struct cf_sweep *sweep, uint64_t now_ns, uint32_t pieces)
{
	return sweep->table.set_count ? cf_sweep_some(sweep, now_ns, (sweep->table.set_count + pieces - 1) / pieces) : 0;
}

static void sweep(struct collector *collector)
{
	struct cf_collect *collect = &collector->collect;
	uint32_t pieces = collector->is_quiet ? QUIET_PIECES : SWEEP_PIECES, flows;

	if (collect->now_ns < collector->sweep_ns)
		return;
	flows = sweep_piece(&collect->flows, collect->now_ns, pieces);
	if (collect->nflog_count > 0)
		flows += sweep_piece(&collect->logged, collect->now_ns, pieces);
	collector->is_quiet = flows <= QUIET_FLOWS && collect->flows.table.set_count <= QUIET_PIECES * QUIET_SETS;
	collector->sweep_ns = collect->now_ns + (collector->is_quiet ? QUIET_MS : SWEEP_MS) * 1000000ULL;
}

static int read_all(struct collector *collector)
{
	struct cf_collect *collect = &collector->collect;
	int more = 0;

	for (uint32_t slot = 0; slot < CF_CELLS_MAX; slot++)
		if (collect->sources[slot])
			more |= cf_collect_read(collect, collect->sources[slot]);
	return more;
}

/* The programs are detached and the rules may still log: what is there now is the run's, what comes later is not. */
static void say_last_words(struct collector *collector)
{
	struct cf_collect *collect = &collector->collect;
	int left = 1;

	while (left && boot_ns() < collector->end_ns) {
		collect->now_ns = boot_ns();
		left = read_all(collector);
		cf_collect_release(collect, 1);
		close_gone(collector);
		if (!left)
			left = collector->closing_count > 0 || cf_join_due(collect->join) != 0 ||
			       close_both(collect, CF_SWEEP_ALL, CF_CLOSE_SHUTDOWN) < 0;
		cf_host_ring_wake(&collect->producer);
		if (left)
			nanosleep(&(struct timespec){ .tv_nsec = FULL_MS * 1000000L }, NULL);
	}
	if (left)
		collect->config->numbers->untold += collect->flows.numbers.in_use + collect->logged.numbers.in_use;
	cf_collect_count(collect);
	cf_channel_send(collector->channel, CF_MSG_DONE, NULL, 0, NULL, 0);
	_exit(0);
}

/* Producers that woke us are silent for the wake interval. What they put into the ring meanwhile is found by looking
 * again, until a look finds nothing. Even then one may keep silent by mistake (bpf/emit.h). */
static void look_again(struct collector *collector, int has_found)
{
	struct cf_collect *collect = &collector->collect;
	uint64_t interval = collect->config->wake_interval_ns;

	if (collector->is_crowded || collect->bell_count == 0)
		return;
	if (has_found) {
		collector->look_ns = collect->now_ns + 2 * interval;
		collector->lingers = 1;
	} else if (collect->now_ns >= collector->look_ns) {
		uint64_t before = collect->config->numbers->own_taken;

		for (uint32_t slot = 0; slot < CF_CELLS_MAX; slot++)
			if (collect->sources[slot] && collect->sources[slot]->bell_fd >= 0)
				cf_collect_read(collect, collect->sources[slot]);
		collector->lingers = collect->config->numbers->own_taken != before;
		collector->look_ns = collect->now_ns + (collector->lingers ? 2 * interval : ASLEEP_MS * 1000000ULL);
	}
}

static int wait_ms(const struct collector *collector)
{
	const struct cf_collect *collect = &collector->collect;
	uint64_t due = cf_join_due(collect->join);
	uint64_t next = collector->sweep_ns;

	if (collect->bell_count > 0 && collector->lingers && collector->look_ns < next)
		next = collector->look_ns;

	if (collector->is_crowded)
		return FULL_MS;
	if (due && due < next)
		next = due;
	return next <= collect->now_ns ? 0 : (int)((next - collect->now_ns + 999999) / 1000000);
}

static void turn(struct collector *collector)
{
	struct cf_collect *collect = &collector->collect;
	struct epoll_event events[EVENTS_MAX];
	uint64_t taken = collect->config->numbers->own_taken;
	int count;

	/* Sockets are level-triggered: while there is no room for what they hold, time is what we wait for. */
	if (collector->is_crowded)
		nanosleep(&(struct timespec){ .tv_nsec = FULL_MS * 1000000L }, NULL);
	count = epoll_wait(collector->epoll_fd, events, EVENTS_MAX, wait_ms(collector));
	collect->now_ns = boot_ns();
	collector->is_crowded = !cf_collect_has_room(collect);
	for (int i = 0; i < count; i++) {
		struct cf_collect_source *source;

		if (events[i].data.u64 == ORDERS) {
			order(collector);
			continue;
		}
		source = collect->sources[events[i].data.u64 % CF_CELLS_MAX];
		if (source && !collector->is_crowded)
			cf_collect_read(collect, source);
	}
	look_again(collector, collect->config->numbers->own_taken != taken);
	cf_collect_release(collect, 0);
	close_gone(collector);
	sweep(collector);
	cf_collect_count(collect);
	cf_host_ring_wake(&collect->producer);
	if (collector->ending)
		say_last_words(collector);
}

void cf_collector_main(const struct cf_collector_config *config, int channel, pid_t parent)
{
	static struct collector collector;
	struct cf_error error = { 0 };
	struct cf_confinement confinement;

	prctl(PR_SET_NAME, "cf-collector");
	if (cf_collect_open(&collector.collect, config, &error) < 0)
		goto failed;
	cf_descriptors_detach((int[]){ channel, config->ring->event_fd }, 2);
	collector.channel = channel;
	collector.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	watch(&collector, channel, ORDERS);
	if (cf_privilege_drop(config->uid, config->gid, parent, &error) < 0)
		goto failed;
	cf_confine((uint64_t)MEMORY_MB << 20, DESCRIPTORS, &confinement);
	for (;;)
		turn(&collector);
failed:
	cf_warn("%s", error.text);
	_exit(1);
}
