/* SPDX-License-Identifier: MIT
 * One event at a time into the host ring, and the sources it comes from: see collect.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "collect.h"
#include "log.h"

enum {
	NFLOG_READS = 8, /* of a socket before others have their turn */
	NFLOG_PACKETS = 1024, /* of a read */
	RING_RECORDS = 1024,
};

int cf_collect_has_room(const struct cf_collect *collect)
{
	return cf_host_ring_room(&collect->producer) >= CF_COLLECT_ROOM;
}

int cf_collect_put(struct cf_collect *collect, struct cf_event *event)
{
	struct cf_collected *numbers = collect->config->numbers;

	event->seq = collect->seq + 1;
	if (cf_host_ring_put(&collect->producer, event) < 0)
		return -1;
	collect->seq++;
	numbers->submitted++;
	numbers->told[event->kind % CF_TOLD_KINDS]++;
	return 0;
}

int cf_collect_flow(void *context, const struct cf_flow *flow, uint32_t kind, uint32_t close_reason)
{
	struct cf_event event;

	cf_flow_event(flow, kind, close_reason, &event);
	return cf_collect_put(context, &event);
}

static int told_by_join(void *context, struct cf_event *event)
{
	return cf_collect_put(context, event);
}

static void begin_sweep(struct cf_collect *collect, struct cf_sweep *sweep, const struct cf_flow_table *table)
{
	collect->times.wants = collect->wants;
	cf_sweep_init(sweep, table, &collect->times, cf_collect_flow, collect);
}

int cf_collect_open(struct cf_collect *collect, const struct cf_collector_config *config, struct cf_error *error)
{
	struct cf_flow_table logged = config->logged;

	memset(collect, 0, sizeof(*collect));
	collect->config = config;
	cf_flow_table_repair(&logged);
	collect->join = cf_join_new(told_by_join, collect);
	if (!collect->join)
		return cf_fail(error, CF_FAIL_INTERNAL, ENOMEM, "collector: no memory");
	begin_sweep(collect, &collect->logged, &logged);
	return cf_host_producer_open(&collect->producer, config->ring, error);
}

int cf_collect_flows(struct cf_collect *collect, uint64_t set_count, int fd, struct cf_error *error)
{
	struct cf_flow_table table = { .set_count = (uint32_t)set_count };
	size_t size = (size_t)set_count * sizeof(struct cf_flow_set);

	table.sets = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (table.sets == MAP_FAILED)
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "collector: mapping the flow table: %s",
			       strerror(errno));
	begin_sweep(collect, &collect->flows, &table);
	return 0;
}

void cf_collect_times(struct cf_collect *collect, const struct cf_plan_flows *times)
{
	struct cf_sweep_options options = {
		.linger_ns = CF_CLOSED_LINGER_MS * 1000000ULL,
		.update_ns = times->update_s * 1000000000ULL,
		.wants = collect->wants,
	};

	for (int i = 0; i < CF_IDLE_COUNT; i++)
		options.idle_ns[i] = times->idle_s[i] * 1000000000ULL;
	collect->times = options;
	collect->flows.options = options;
	collect->logged.options = options;
}

static uint32_t *nflog_seq(struct cf_collect *collect, uint32_t slot)
{
	return &collect->config->numbers->nflog_seq[slot % CF_CELLS_MAX];
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
	free(source);
}

int cf_collect_add(struct cf_collect *collect, const struct cf_message_source *about, int nflog_fd, int ring_fd,
		   struct cf_error *error)
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
	source->nflog.fd = nflog_fd;
	if (nflog_fd >= 0) {
		cf_nflog_init(&source->nflog, nflog_fd, about->slot, about->ifindex);
		/* A predecessor may have read it: then what it could not tell any more comes out as lost. */
		source->nflog.next_seq = about->is_known ? *nflog_seq(collect, about->slot) : 0;
		collect->nflog_count++;
	}
	if (ring_fd >= 0 && cf_own_ring_open(&source->ring, ring_fd, about->ring_size, &origin, error) < 0) {
		close_source(collect, source);
		return -1;
	}
	*place = source;
	return 0;
}

/* What a rule says of a packet's fate decides which event its flow begins with. */
static void logged_event(const struct cf_nflog_packet *packet, const struct cf_flow *flow, struct cf_event *event)
{
	cf_flow_event(flow, packet->verdict == CF_VERDICT_DROP ? CF_KIND_LOGGED : CF_KIND_OPENED, CF_CLOSE_NONE, event);
	event->source = CF_SOURCE_NFLOG;
	event->witnesses = 1 << CF_SOURCE_NFLOG;
	memcpy(event->prefix, packet->prefix, sizeof(event->prefix));
}

struct reading {
	struct cf_collect *collect;
	struct cf_collect_source *source;
};

static void tell(struct cf_collect *collect, struct cf_collect_source *source, struct cf_event *event)
{
	int rc = source->about.is_joined ? cf_join_take(collect->join, event, collect->now_ns)
					 : cf_collect_put(collect, event);

	/* Who reads a source has looked whether there is room: this does not happen, and is counted if it does. */
	if (rc < 0)
		collect->config->numbers->untold++;
}

/* A flow that had to make room for another, or whose tuple is used anew. */
static void tell_ended(struct cf_collect *collect, const struct cf_flow_ended *ended)
{
	if (!ended->kind)
		return;
	collect->config->numbers->ended[ended->close_reason % CF_TOLD_REASONS]++;
	if ((ended->flow.events & 1U << ended->kind) &&
	    cf_collect_flow(collect, &ended->flow, ended->kind, ended->close_reason) < 0)
		collect->config->numbers->untold++;
}

static void take_packet(void *context, const struct cf_nflog_packet *packet)
{
	struct reading *reading = context;
	const struct cf_message_source *about = &reading->source->about;
	struct cf_collected *numbers = reading->collect->config->numbers;
	struct cf_flow_origin origin = {
		.ifindex = packet->ifindex ? packet->ifindex : about->ifindex,
		.mark = packet->mark,
		.direction = packet->direction == CF_DIRECTION_EGRESS ? CF_FLOW_EGRESS : CF_FLOW_INGRESS,
		.source_end = packet->source_end,
		.hook = packet->hook,
		.verdict = packet->verdict,
		.events = (uint8_t)about->events,
	};
	struct cf_flow_key key = packet->key;
	struct cf_flow_ended ended;
	struct cf_flow *flow;
	struct cf_event event;
	int result;

	if (packet->parse != CF_STAT_PARSED)
		return;
	key.dropped = packet->verdict == CF_VERDICT_DROP;
	/* What netfilter drops is no connection whose end could be told. */
	if (key.dropped)
		origin.events &= (uint8_t) ~(1U << CF_KIND_CLOSED | 1U << CF_KIND_UPDATED);
	result = cf_flow_table_account(&reading->collect->logged.table, &key, &packet->facts, &packet->load, &origin,
				       &flow, &ended);
	numbers->nflog_flow_hit += result == CF_STAT_FLOW_HIT;
	numbers->nflog_flow_new += result == CF_STAT_FLOW_NEW;
	numbers->nflog_flow_full += result == CF_STAT_FLOW_FULL;
	if (result == CF_STAT_FLOW_HIT || result == CF_STAT_FLOW_FULL)
		return;
	tell_ended(reading->collect, &ended);
	logged_event(packet, flow, &event);
	if (about->events & 1U << event.kind)
		tell(reading->collect, reading->source, &event);
}

static void count_nflog(struct cf_collected *to, const struct cf_nflog_numbers *before,
			const struct cf_nflog_numbers *now)
{
	to->nflog_packets += now->packets - before->packets;
	to->nflog_parsed += now->parsed - before->parsed;
	to->nflog_unparsed += (now->packets - now->parsed) - (before->packets - before->parsed);
	to->nflog_lost += now->lost - before->lost;
	to->nflog_overruns += now->overruns - before->overruns;
	to->nflog_refused += now->refused - before->refused;
}

static int read_nflog(struct cf_collect *collect, struct cf_collect_source *source)
{
	struct reading reading = { collect, source };
	struct cf_nflog_numbers before = source->nflog.numbers;
	int more = 0;

	for (int i = 0; i < NFLOG_READS && cf_collect_has_room(collect); i++) {
		more = cf_nflog_read(&source->nflog, NFLOG_PACKETS, take_packet, &reading) >= NFLOG_PACKETS;
		if (!more)
			break;
	}
	count_nflog(collect->config->numbers, &before, &source->nflog.numbers);
	*nflog_seq(collect, source->about.slot) = source->nflog.next_seq;
	return more;
}

static int take_record(void *context, const struct cf_event *event)
{
	struct reading *reading = context;
	struct cf_event copy = *event;

	if (!cf_collect_has_room(reading->collect))
		return -1;
	tell(reading->collect, reading->source, &copy);
	return 0;
}

static uint64_t refused(const struct cf_own_ring *ring)
{
	return ring->numbers.refused_length + ring->numbers.refused_content;
}

static int read_ring(struct cf_collect *collect, struct cf_collect_source *source)
{
	struct reading reading = { collect, source };
	uint64_t before = refused(&source->ring);
	uint32_t taken = cf_own_ring_read(&source->ring, RING_RECORDS, take_record, &reading);

	collect->config->numbers->own_taken += taken;
	collect->config->numbers->own_refused += refused(&source->ring) - before;
	if (before == 0 && refused(&source->ring) > 0)
		cf_warn("cell \"%s\": BPF object: %s", source->about.name, source->ring.refusal.text);
	return taken == RING_RECORDS;
}

int cf_collect_read(struct cf_collect *collect, struct cf_collect_source *source)
{
	int more = 0;

	/* tc first: of a flow that both saw, its event has the numbers. */
	if (source->ring_fd >= 0)
		more |= read_ring(collect, source);
	if (source->nflog.fd >= 0)
		more |= read_nflog(collect, source);
	return more;
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

void cf_collect_release(struct cf_collect *collect, int all)
{
	struct cf_collected *numbers = collect->config->numbers;
	struct cf_join_numbers now, *counted = &collect->join_counted;

	cf_join_release(collect->join, collect->now_ns, all);
	now = cf_join_numbers(collect->join);
	numbers->joined += now.joined - counted->joined;
	numbers->conflicts += now.conflicts - counted->conflicts;
	numbers->join_early += now.early - counted->early;
	*counted = now;
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
