/* SPDX-License-Identifier: MIT
 * Keeping a collector: see collecting.h. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "collecting.h"
#include "log.h"

enum {
	RESPAWN_MS = 1000, /* after a death; what was to be collected waits in the kernel meanwhile */
	FINISH_GRACE_MS = 2000,
	LOGGED_FLOWS = 245760, /* room for flows that only netfilter told of; touched as far as it is used */
};

static void body(const void *config, int channel, pid_t parent)
{
	cf_collector_main(config, channel, parent);
}

static int order(struct cf_collecting *collecting, uint32_t type, const void *message, size_t len, const int *fds,
		 int count)
{
	if (collecting->member.pid == 0)
		return -ESRCH;
	return cf_channel_send(collecting->member.channel, type, message, len, fds, count);
}

static void tell_flows(struct cf_collecting *collecting)
{
	const struct cf_cells *cells = collecting->cells;
	struct cf_message_number sets = { .value = cells->flow_sets };

	if (cells->maps.flows_fd >= 0 &&
	    order(collecting, CF_MSG_FLOWS, &sets, sizeof(sets), &cells->maps.flows_fd, 1) == 0)
		collecting->flows_told = true;
}

static uint64_t cookie_of(int socket)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (socket >= 0 && getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return 0;
	return cookie;
}

static void tell_cell(struct cf_collecting *collecting, const struct cf_cell *cell)
{
	struct cf_message_source source = {
		.slot = cell->slot,
		.ifindex = (uint32_t)cell->stand.inner.ifindex,
		.events = cell->plan.events ? cell->plan.events : CF_EVENTS_DEFAULT,
		.direction = cell->plan.hooks & CF_PLAN_EGRESS ? CF_DIRECTION_EGRESS : CF_DIRECTION_INGRESS,
		.has_nflog = cell->nflog_fd >= 0,
		.has_ring = cell->object.ring_fd >= 0,
		.has_bell = cell->object.bell_fd >= 0,
		.is_joined = cell->nflog_fd >= 0 && cell->object.ring_fd >= 0,
		.nflog_cookie = cookie_of(cell->nflog_fd),
		.ring_size = cell->object.ring_size,
	};
	int fds[3], count = 0;

	memcpy(source.name, cell->plan.name, sizeof(source.name));
	if (cell->nflog_fd >= 0)
		fds[count++] = cell->nflog_fd;
	if (cell->object.ring_fd >= 0)
		fds[count++] = cell->object.ring_fd;
	if (cell->object.bell_fd >= 0)
		fds[count++] = cell->object.bell_fd;
	if (!collecting->flows_told)
		tell_flows(collecting);
	order(collecting, CF_MSG_SOURCE, &source, sizeof(source), fds, count);
}

/* cf_cells_listener */
static void cell_changed(void *context, const struct cf_cell *cell, uint32_t close_reason)
{
	struct cf_collecting *collecting = context;
	struct cf_message_gone gone = { .slot = cell->slot, .reason = close_reason };

	if (close_reason == CF_CLOSE_NONE)
		tell_cell(collecting, cell);
	else
		order(collecting, CF_MSG_SOURCE_GONE, &gone, sizeof(gone), NULL, 0);
}

int cf_collecting_open(struct cf_collecting *collecting, struct cf_cells *cells, uid_t uid, gid_t gid,
		       struct cf_error *error)
{
	uint32_t sets = cf_flow_sets_for(LOGGED_FLOWS);
	int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;

	memset(collecting, 0, sizeof(*collecting));
	cf_member_init(&collecting->member);
	collecting->cells = cells;
	collecting->logged_size = cf_flow_table_size(sets);
	collecting->config = (struct cf_collector_config){
		.numbers = mmap(NULL, sizeof(struct cf_collected), PROT_READ | PROT_WRITE, flags, -1, 0),
		.ring = &collecting->ring,
		.wake_interval_ns = cells->options.wake_interval_ns,
		.uid = uid,
		.gid = gid,
	};
	collecting->logged = mmap(NULL, collecting->logged_size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (collecting->config.numbers == MAP_FAILED || collecting->logged == MAP_FAILED)
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "no memory for the collector: %s", strerror(errno));
	cf_flow_table_place(&collecting->config.logged, collecting->logged, sets);
	cf_flow_secret_make(cells->seed, &collecting->config.logged.secret);
	if (cf_host_ring_new(&collecting->ring, CF_HOST_RING_BYTES, error) < 0)
		return -1;
	cf_cells_listen(cells, cell_changed, collecting);
	return 0;
}

void cf_collecting_close(struct cf_collecting *collecting)
{
	cf_member_kill(&collecting->member);
	cf_host_ring_close(&collecting->ring);
	if (collecting->config.numbers && collecting->config.numbers != MAP_FAILED)
		munmap(collecting->config.numbers, sizeof(struct cf_collected));
	if (collecting->logged && collecting->logged != MAP_FAILED)
		munmap(collecting->logged, collecting->logged_size);
	collecting->logged = NULL;
	memset(&collecting->config, 0, sizeof(collecting->config));
}

int cf_collecting_start(struct cf_collecting *collecting, struct cf_error *error)
{
	collecting->flows_told = false;
	if (cf_member_fork(&collecting->member, body, &collecting->config, "collector", error) < 0)
		return -1;
	return order(collecting, CF_MSG_TIMES, &collecting->times, sizeof(collecting->times), NULL, 0) < 0 ? -1 : 0;
}

void cf_collecting_times(struct cf_collecting *collecting, const struct cf_plan_flows *times)
{
	collecting->times = *times;
	order(collecting, CF_MSG_TIMES, times, sizeof(*times), NULL, 0);
}

static void respawn(struct cf_collecting *collecting)
{
	struct cf_error error = { 0 };

	collecting->restarts++;
	if (cf_collecting_start(collecting, &error) < 0) {
		cf_warn("%s", error.text);
		return;
	}
	for (uint32_t i = 0; i < CF_CELLS_MAX; i++) {
		const struct cf_cell *cell = collecting->cells->by_slot[i];

		if (cell && !cell->gone)
			tell_cell(collecting, cell);
	}
}

static void lost(struct cf_collecting *collecting, int64_t now_ms)
{
	char death[64];
	int status;

	kill(collecting->member.pid, SIGKILL);
	cf_member_reap(&collecting->member, &status);
	cf_member_death(status, death, sizeof(death));
	cf_warn("collector %s, another one takes over", death);
	collecting->respawn_at_ms = now_ms + (collecting->finishing ? 0 : RESPAWN_MS);
}

void cf_collecting_hear(struct cf_collecting *collecting, int64_t now_ms)
{
	struct cf_message message;
	int rc;

	if (collecting->member.pid == 0)
		return;
	rc = cf_channel_receive(collecting->member.channel, &message, 0);
	if (rc == -EAGAIN)
		return;
	if (rc > 0)
		cf_message_close_fds(&message);
	if (rc > 0 && message.type == CF_MSG_DONE && collecting->finishing) {
		int status;

		cf_member_reap(&collecting->member, &status);
		collecting->finished = true;
		return;
	}
	lost(collecting, now_ms);
}

void cf_collecting_tick(struct cf_collecting *collecting, int64_t now_ms)
{
	if (collecting->finished)
		return;
	if (collecting->finishing && now_ms >= collecting->finish_by_ms) {
		cf_warn("the collector was ended before it had told everything");
		cf_member_kill(&collecting->member);
		collecting->finished = true;
	} else if (collecting->member.pid == 0 && now_ms >= collecting->respawn_at_ms) {
		collecting->respawn_at_ms = now_ms + RESPAWN_MS;
		respawn(collecting);
		if (collecting->finishing) /* it is to go as well, with what time is left */
			cf_collecting_finish(collecting, (uint64_t)(collecting->finish_by_ms - now_ms), now_ms);
	}
}

void cf_collecting_finish(struct cf_collecting *collecting, uint64_t ms, int64_t now_ms)
{
	struct cf_message_number number = { .value = ms };

	if (!collecting->finishing)
		collecting->finish_by_ms = now_ms + (int64_t)ms + FINISH_GRACE_MS;
	collecting->finishing = true;
	order(collecting, CF_MSG_FINISH, &number, sizeof(number), NULL, 0);
}
