/* SPDX-License-Identifier: MIT
 * Flows of a capture: see capture_flows.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "capture_flows.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define FOREVER ((uint64_t)INT64_MAX)

enum {
	BY_ORIGIN_HOOK = 0xff, /* in place of a hook, in flows whose beginner is the cell's side */
	SET_EVENTS = CF_FLOW_WAYS, /* that one look at a set can make */
};

/* The same for every capture: two replays are to be the same, and whoever aims flows at one set of a table that only
 * this file is in gets them told as evicted. */
#define SEED UINT64_C(0x63656c6c666c6f77)

static void tell(struct cf_capture_flows *flows, const struct cf_flow *flow, uint32_t kind, uint32_t close_reason)
{
	struct cf_event *event = &flows->batch.events[flows->batch.count];

	if (kind == CF_KIND_CLOSED)
		flows->numbers->ended[close_reason]++;
	if (!(flows->events >> kind & 1))
		return;
	if (!flows->batch.count++)
		flows->batch_since_ns = flows->now_ns;
	cf_flow_event(flow, kind, close_reason, event);
	/* Counts of such a flow lie by end of the key, and the direction that they make is not one. */
	if (flow->hook == BY_ORIGIN_HOOK)
		event->direction = CF_DIRECTION_EGRESS;
	event->hook = 0;
	event->source = CF_SOURCE_REPLAY;
	event->seq = ++flows->seq[event->cell];
	flows->numbers->told[kind]++;
	flows->numbers->events++;
}

/* Never without room: who calls the sweep sees to that. */
static int swept(void *context, const struct cf_flow *flow, uint32_t kind, uint32_t close_reason)
{
	tell(context, flow, kind, close_reason);
	return 0;
}

static uint64_t or_default(uint64_t ns, uint64_t seconds)
{
	return ns ? ns : seconds * NS_PER_SECOND;
}

static void set_times(struct cf_capture_flows *flows, const struct cf_capture_options *options)
{
	static const uint32_t idle_s[CF_IDLE_COUNT] = {
		[CF_IDLE_TCP] = CF_IDLE_TCP_S,
		[CF_IDLE_UDP] = CF_IDLE_UDP_S,
		[CF_IDLE_ICMP] = CF_IDLE_ICMP_S,
		[CF_IDLE_OTHER] = CF_IDLE_OTHER_S,
	};

	for (int i = 0; i < CF_IDLE_COUNT; i++)
		flows->times.idle_ns[i] = or_default(options->idle_ns[i], idle_s[i]);
	flows->times.linger_ns = CF_CLOSED_LINGER_MS * NS_PER_MS;
	if (flows->events >> CF_KIND_UPDATED & 1)
		flows->times.update_ns = or_default(options->update_ns, CF_UPDATE_S);
}

void cf_capture_flows_times(struct cf_capture_flows *flows, const struct cf_plan_flows *times)
{
	for (int i = 0; i < CF_IDLE_COUNT; i++)
		flows->times.idle_ns[i] = times->idle_s[i] * NS_PER_SECOND;
	flows->times.update_ns = times->update_s * NS_PER_SECOND;
	flows->sweep.options = flows->times;
}

int cf_capture_flows_init(struct cf_capture_flows *flows, const struct cf_capture_options *options,
			  struct cf_capture_numbers *numbers, struct cf_error *error)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	struct cf_flow_table *table = &flows->table;
	uint32_t sets;

	memset(flows, 0, sizeof(*flows));
	flows->numbers = numbers;
	flows->events = options->events ? options->events : (uint32_t)CF_EVENTS_DEFAULT;
	set_times(flows, options);
	sets = cf_flow_sets_for(options->flow_entries);
	flows->memory = mmap(NULL, cf_flow_table_size(sets), PROT_READ | PROT_WRITE, flags, -1, 0);
	flows->active = calloc(sets, sizeof(*flows->active));
	flows->is_active = calloc(sets, 1);
	if (flows->memory == MAP_FAILED || !flows->active || !flows->is_active)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for a flow table of %u sets", sets);
	cf_flow_table_place(table, flows->memory, sets);
	cf_flow_secret_make(SEED, &table->secret);
	cf_sweep_init(&flows->sweep, table, &flows->times, swept, flows);
	flows->sweep.table.set_count = 1;
	return 0;
}

void cf_capture_flows_free(struct cf_capture_flows *flows)
{
	if (flows->memory && flows->memory != MAP_FAILED)
		munmap(flows->memory, cf_flow_table_size(flows->table.set_count));
	free(flows->active);
	free(flows->is_active);
	flows->memory = NULL;
	flows->active = NULL;
	flows->is_active = NULL;
}

static void activate(struct cf_capture_flows *flows, const struct cf_flow *flow)
{
	uint32_t set = cf_flow_table_set(&flows->table, &flow->key);

	if (flows->is_active[set])
		return;
	flows->is_active[set] = 1;
	flows->active[flows->active_count++] = set;
}

static void account(struct cf_capture_flows *flows, const struct cf_flow_key *key, const struct cf_packet *packet,
		    const struct cf_load *load, const struct cf_flow_origin *origin)
{
	struct cf_capture_numbers *numbers = flows->numbers;
	struct cf_flow_ended ended;
	struct cf_flow *flow;
	int result = cf_flow_table_account(&flows->table, key, packet, load, origin, &flow, &ended);

	if (result == CF_STAT_FLOW_FULL) {
		numbers->flow_full++;
		return;
	}
	numbers->network_bytes += load->bytes;
	if (result == CF_STAT_FLOW_HIT) {
		numbers->flow_hit++;
		return;
	}
	numbers->flow_new++;
	activate(flows, flow);
	if (ended.kind)
		tell(flows, &ended.flow, CF_KIND_CLOSED, ended.close_reason);
	tell(flows, flow, CF_KIND_OPENED, CF_CLOSE_NONE);
}

void cf_capture_flows_packet(struct cf_capture_flows *flows, struct cf_flow_key *key, const struct cf_packet *packet,
			     const struct cf_load *load, const struct cf_capture_place *place)
{
	uint8_t source_end = cf_packet_sort(key);

	for (uint32_t i = 0; i < place->count; i++) {
		uint32_t way = place->of[i].way;
		struct cf_flow_origin origin = {
			.source_end = source_end,
			.direction = way == CF_CAPTURE_BY_ORIGIN ? source_end : (uint8_t)way,
			.hook = way == CF_CAPTURE_BY_ORIGIN ? BY_ORIGIN_HOOK : 0,
			/* What is told is decided by `tell`, which also counts how flows end. */
			.events = 1 << CF_KIND_CLOSED | 1 << CF_KIND_UPDATED,
		};

		key->cell = place->of[i].cell;
		account(flows, key, packet, load, &origin);
	}
}

static int has_room(const struct cf_capture_flows *flows)
{
	return flows->batch.count <= CF_BATCH_MAX - SET_EVENTS;
}

static int is_empty(const struct cf_flow_tags *tags)
{
	for (int way = 0; way < CF_FLOW_WAYS; way++)
		if (tags->tag[way] != CF_TAG_FREE)
			return 0;
	return 1;
}

/* The sweep's table is this one set. */
static struct cf_sweep *at_set(struct cf_capture_flows *flows)
{
	flows->sweep.table.rooms = &flows->table.rooms[flows->active[flows->at]];
	flows->sweep.next_set = 0;
	return &flows->sweep;
}

/* To the next active set; one without flows is none any more. */
static void next_set(struct cf_capture_flows *flows)
{
	uint32_t set = flows->active[flows->at];

	if (!is_empty(cf_flow_table_tags(&flows->table, set))) {
		flows->at++;
		return;
	}
	flows->is_active[set] = 0;
	flows->active[flows->at] = flows->active[--flows->active_count];
}

/* First what is over is marked. Then, as nobody counts into it meanwhile, it is taken out as if the time that a live
 * sweeper has to wait were over, without marking anything more in that time. */
int cf_capture_flows_sweep(struct cf_capture_flows *flows)
{
	static const struct cf_sweep_options none = { .idle_ns = { FOREVER, FOREVER, FOREVER, FOREVER },
						      .linger_ns = FOREVER };

	for (; !flows->is_finishing; flows->at++) {
		if (flows->at == flows->active_count) {
			flows->is_finishing = 1;
			flows->at = 0;
			flows->sweep.options = none;
			break;
		}
		if (!has_room(flows))
			return 0;
		cf_sweep_some(at_set(flows), flows->now_ns, 1);
	}
	while (flows->at < flows->active_count) {
		if (!has_room(flows))
			return 0;
		cf_sweep_some(at_set(flows), flows->now_ns + 2 * (uint64_t)CF_FLOW_CLOSING_NS, 1);
		next_set(flows);
	}
	flows->at = 0;
	flows->is_finishing = 0;
	flows->sweep.options = flows->times;
	return 1;
}

int cf_capture_flows_close(struct cf_capture_flows *flows)
{
	flows->at = 0;
	while (flows->active_count) {
		if (!has_room(flows))
			return 0;
		cf_sweep_close(at_set(flows), CF_SWEEP_ALL, CF_CLOSE_SHUTDOWN, flows->now_ns);
		next_set(flows);
	}
	return 1;
}
