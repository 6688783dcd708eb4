/* SPDX-License-Identifier: MIT
 * One event at a time into the host ring, and which sources there are: see collect.h. Reading them is collect_read.c's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "collect.h"
#include "log.h"

int cf_collect_has_room(const struct cf_collect *collect)
{
	return cf_host_ring_room(&collect->producer) >= CF_COLLECT_ROOM;
}

int cf_collect_put(struct cf_collect *collect, struct cf_event *event)
{
	struct cf_collected *numbers = collect->config->numbers;

	int rc;

	event->seq = collect->seq + 1;
	cf_note_put(numbers, cf_host_ring_produced(&collect->producer), event->kind);
	rc = cf_host_ring_put(&collect->producer, event);
	cf_note_end(numbers, rc == 0);
	collect->seq += rc == 0;
	return rc;
}

int cf_collect_flow(void *context, const struct cf_flow *flow, uint32_t kind, uint32_t close_reason)
{
	struct cf_collect *collect = context;
	struct cf_event event;

	cf_flow_event(flow, kind, close_reason, &event);
	/* Its beginning may wait for the other witness yet. */
	if (cf_join_precede(collect->join, &event, collect->now_ns) < 0)
		return -1;
	cf_collect_count_join(collect);
	if (kind == CF_KIND_CLOSED)
		cf_note_closed(collect->config->numbers, cf_host_ring_produced(&collect->producer), flow);
	return cf_collect_put(collect, &event);
}

static int told_by_join(void *context, struct cf_event *event)
{
	return cf_collect_put(context, event);
}

/* What the tc programs' flows are told of can change with a policy. Of netfilter's, each says it for itself: some end
 * untold (see take_packet). */
static void set_times(struct cf_collect *collect)
{
	collect->times.wants = collect->wants;
	collect->flows.options = collect->times;
	collect->logged.options = collect->times;
	collect->logged.options.wants = NULL;
	collect->logged.options.remembers = 1;
}

static void begin_sweep(struct cf_collect *collect, struct cf_sweep *sweep, const struct cf_flow_table *table)
{
	cf_sweep_init(sweep, table, &collect->times, cf_collect_flow, collect);
	set_times(collect);
	if (collect->told.first_seen_ns)
		cf_sweep_told(sweep, &collect->told.key, collect->told.first_seen_ns);
}

int cf_collect_open(struct cf_collect *collect, const struct cf_collector_config *config, struct cf_error *error)
{
	struct cf_flow_table logged = config->logged;
	uint64_t produced;

	memset(collect, 0, sizeof(*collect));
	collect->config = config;
	cf_flow_table_repair(&logged);
	collect->join = cf_join_new(told_by_join, collect);
	if (!collect->join)
		return cf_fail(error, CF_FAIL_INTERNAL, ENOMEM, "collector: no memory");
	if (cf_host_producer_open(&collect->producer, config->ring, error) < 0)
		return -1;
	produced = cf_host_ring_produced(&collect->producer);
	cf_note_recover(config->numbers, produced);
	if (cf_note_was_closed(config->numbers, produced))
		collect->told = config->numbers->closed;
	begin_sweep(collect, &collect->logged, &logged);
	return 0;
}

int cf_collect_flows(struct cf_collect *collect, uint64_t set_count, int fd, struct cf_error *error)
{
	size_t size = cf_flow_entries_of((uint32_t)set_count) * sizeof(struct cf_flow_set);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct cf_flow_table table = { 0 };

	close(fd);
	if (memory == MAP_FAILED)
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "collector: mapping the flow table: %s",
			       strerror(errno));
	cf_flow_table_map(&table, memory, (uint32_t)set_count);
	begin_sweep(collect, &collect->flows, &table);
	return 0;
}

void cf_collect_times(struct cf_collect *collect, const struct cf_plan_flows *times)
{
	struct cf_sweep_options options = {
		.linger_ns = CF_CLOSED_LINGER_MS * 1000000ULL,
		.update_ns = times->update_s * 1000000000ULL,
	};

	for (int i = 0; i < CF_IDLE_COUNT; i++)
		options.idle_ns[i] = times->idle_s[i] * 1000000000ULL;
	collect->times = options;
	set_times(collect);
}

/* The socket may have been read before, for this cell: then what could not be told any more comes out as lost. */
static void go_on(struct cf_collect *collect, struct cf_collect_source *source)
{
	struct cf_collected_socket *left = &collect->config->numbers->sockets[source->about.slot % CF_CELLS_MAX];

	if (left->cookie != source->about.nflog_cookie)
		cf_note_socket(left, source->about.nflog_cookie);
	source->nflog.next_seq = left->next_seq;
	source->nflog.numbers.unsettled = left->unsettled;
}

static void close_source(struct cf_collect *collect, struct cf_collect_source *source)
{
	if (source->nflog.fd >= 0) {
		close(source->nflog.fd);
		collect->nflog_count--;
	}
	if (source->ring_fd >= 0) {
		cf_own_ring_close(&source->ring);
		close(source->ring_fd);
	}
	if (source->bell_fd >= 0) {
		close(source->bell_fd);
		collect->bell_count--;
	}
	free(source);
}

int cf_collect_add(struct cf_collect *collect, const struct cf_message_source *about, int nflog_fd, int ring_fd,
		   int bell_fd, struct cf_error *error)
{
	struct cf_collect_source **place = &collect->sources[about->slot % CF_CELLS_MAX];
	struct cf_collect_source *source = calloc(1, sizeof(*source));
	struct cf_record_origin origin = {
		.slot = about->slot,
		.ifindex = about->ifindex,
		.direction = about->direction,
		.hook = about->direction == CF_DIRECTION_EGRESS ? CF_HOOK_TC_EGRESS : CF_HOOK_TC_INGRESS,
	};

	if (*place)
		cf_collect_remove(collect, (*place)->about.slot);
	collect->wants[about->slot % CF_CELLS_MAX] = (uint8_t)about->events;
	if (!source)
		return cf_fail(error, CF_FAIL_INTERNAL, ENOMEM, "collector: no memory for cell \"%s\"", about->name);
	source->about = *about;
	source->ring_fd = ring_fd;
	source->bell_fd = bell_fd;
	collect->bell_count += bell_fd >= 0;
	source->nflog.fd = nflog_fd;
	if (nflog_fd >= 0) {
		cf_nflog_init(&source->nflog, nflog_fd, about->slot, about->ifindex);
		go_on(collect, source);
		collect->nflog_count++;
	}
	if (ring_fd >= 0 && cf_own_ring_open(&source->ring, ring_fd, bell_fd, about->ring_size, &origin, error) < 0) {
		close_source(collect, source);
		return -1;
	}
	*place = source;
	return 0;
}

void cf_collect_remove(struct cf_collect *collect, uint32_t slot)
{
	struct cf_collect_source **place = &collect->sources[slot % CF_CELLS_MAX];

	/* Not a newer cell in the same slot. */
	if (!*place || (*place)->about.slot != slot)
		return;
	for (int i = 0; i < 1024 && cf_collect_read(collect, *place); i++)
		;
	close_source(collect, *place);
	*place = NULL;
}

void cf_collect_count_join(struct cf_collect *collect)
{
	struct cf_join_numbers now = cf_join_numbers(collect->join), *before = &collect->joined;
	struct cf_collected *numbers = collect->config->numbers;

	numbers->joined += now.joined - before->joined;
	numbers->conflicts += now.conflicts - before->conflicts;
	numbers->join_early += now.early - before->early;
	numbers->joining = now.waiting;
	*before = now;
}

void cf_collect_release(struct cf_collect *collect, int all)
{
	cf_join_release(collect->join, collect->now_ns, all);
	cf_collect_count_join(collect);
}

static void count_sweep(struct cf_collected *to, const struct cf_sweep *sweep, struct cf_sweep_numbers *counted)
{
	for (int i = 0; i < CF_TOLD_REASONS; i++)
		to->ended[i] += sweep->numbers.closed[i] - counted->closed[i];
	to->sweeps += sweep->numbers.rounds - counted->rounds;
	*counted = sweep->numbers;
}

void cf_collect_count(struct cf_collect *collect)
{
	count_sweep(collect->config->numbers, &collect->flows, &collect->counted[0]);
	count_sweep(collect->config->numbers, &collect->logged, &collect->counted[1]);
}
