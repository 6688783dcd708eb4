/* SPDX-License-Identifier: MIT
 * From a source, a packet or a record at a time, to events: see collect.h. */
#include <string.h>
#include "collect.h"
#include "log.h"

enum {
	NFLOG_READS = 8, /* of a socket before others have their turn */
	NFLOG_PACKETS = 1024, /* of a read */
	RING_RECORDS = 1024,
	TOGETHER = 32, /* packets that are accounted at once */
};

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
	struct cf_collected_nflog nflog; /* the numbers as they are to be after it */
	uint32_t waiting_count;
	struct cf_nflog_packet waiting[TOGETHER]; /* parsed, not accounted yet */
};

static void tell(struct cf_collect *collect, struct cf_collect_source *source, struct cf_event *event)
{
	int rc = source->about.is_joined ? cf_join_take(collect->join, event, collect->now_ns)
					 : cf_collect_put(collect, event);

	/* Who reads a source has looked whether there is room: this does not happen, and is counted if it does. */
	if (rc < 0)
		collect->config->numbers->untold++;
	if (source->about.is_joined)
		cf_collect_count_join(collect);
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

/* What goes in or out by another interface than the cell's (lo, a tunnel) passes no program of ours. Of a forwarded
 * packet one interface of two is known, and of tc's program it may be the other that counts. */
static int is_seen_by_tc(const struct cf_message_source *about, const struct cf_nflog_packet *packet)
{
	int is_local = packet->hook == CF_HOOK_NF_OUTPUT || packet->hook == CF_HOOK_NF_INPUT;
	int is_elsewhere = packet->ifindex && about->ifindex && packet->ifindex != about->ifindex;

	return about->is_joined && !(is_local && is_elsewhere);
}

static void account(struct reading *reading, const struct cf_nflog_packet *packet)
{
	const struct cf_message_source *about = &reading->source->about;
	struct cf_flow_origin origin = {
		.ifindex = packet->ifindex ? packet->ifindex : about->ifindex,
		.mark = packet->mark,
		.direction = packet->direction == CF_DIRECTION_EGRESS ? CF_FLOW_EGRESS : CF_FLOW_INGRESS,
		.source_end = packet->source_end,
		.hook = packet->hook,
		.verdict = packet->verdict,
		.events = (uint8_t)about->events,
	};
	struct cf_flow_ended ended;
	struct cf_flow *flow;
	struct cf_event event;
	int result;

	/* What netfilter drops is no connection whose end could be told. What tc sees as well ends by tc's account. */
	if (packet->key.dropped || is_seen_by_tc(about, packet))
		origin.events &= (uint8_t) ~(1U << CF_KIND_CLOSED | 1U << CF_KIND_UPDATED);
	result = cf_flow_table_account(&reading->collect->logged.table, &packet->key, &packet->facts, &packet->load,
				       &origin, &flow, &ended);
	reading->nflog.flow_hit += result == CF_STAT_FLOW_HIT;
	reading->nflog.flow_new += result == CF_STAT_FLOW_NEW;
	reading->nflog.flow_full += result == CF_STAT_FLOW_FULL;
	if (result == CF_STAT_FLOW_HIT || result == CF_STAT_FLOW_FULL)
		return;
	tell_ended(reading->collect, &ended);
	logged_event(packet, flow, &event);
	if (about->events & 1U << event.kind)
		tell(reading->collect, reading->source, &event);
}

/* Each flow is elsewhere in memory, and what its packet waits for is mostly the TLB. In loops as short as these the
 * processor waits for several at once. */
static void account_waiting(struct reading *reading)
{
	const struct cf_flow_table *table = &reading->collect->logged.table;

	for (uint32_t i = 0; i < reading->waiting_count; i++)
		cf_flow_table_expect(table, &reading->waiting[i].key);
	for (uint32_t i = 0; i < reading->waiting_count; i++)
		cf_flow_table_expect_entry(table, &reading->waiting[i].key);
	for (uint32_t i = 0; i < reading->waiting_count; i++)
		account(reading, &reading->waiting[i]);
	reading->waiting_count = 0;
}

static void take_packet(void *context, const struct cf_nflog_packet *packet)
{
	struct reading *reading = context;
	struct cf_nflog_packet *place = &reading->waiting[reading->waiting_count];

	if (packet->parse != CF_STAT_PARSED)
		return;
	*place = *packet;
	place->key.dropped = packet->verdict == CF_VERDICT_DROP;
	if (++reading->waiting_count == TOGETHER)
		account_waiting(reading);
}

static void count_nflog(struct cf_collected_nflog *to, const struct cf_nflog_numbers *before,
			const struct cf_nflog_numbers *now)
{
	to->packets += now->packets - before->packets;
	to->parsed += now->parsed - before->parsed;
	to->unparsed += (now->packets - now->parsed) - (before->packets - before->parsed);
	to->lost += now->lost - before->lost;
	to->overruns += now->overruns - before->overruns;
	to->unsettled += now->unsettled - before->unsettled; /* may be less than before */
	to->refused += now->refused - before->refused;
}

static int read_nflog(struct cf_collect *collect, struct cf_collect_source *source)
{
	struct cf_collected *numbers = collect->config->numbers;
	struct reading reading;
	struct cf_nflog_numbers before = source->nflog.numbers;
	struct cf_collected_socket left;
	int more = 0;

	reading.collect = collect;
	reading.source = source;
	reading.nflog = numbers->nflog;
	reading.waiting_count = 0;
	for (int i = 0; i < NFLOG_READS && cf_collect_has_room(collect); i++) {
		more = cf_nflog_read(&source->nflog, NFLOG_PACKETS, take_packet, &reading) >= NFLOG_PACKETS;
		account_waiting(&reading);
		if (!more)
			break;
	}
	count_nflog(&reading.nflog, &before, &source->nflog.numbers);
	left.cookie = source->about.nflog_cookie;
	left.next_seq = source->nflog.next_seq;
	left.unsettled = (uint32_t)source->nflog.numbers.unsettled;
	cf_note_nflog(numbers, &reading.nflog, source->about.slot, left);
	return more;
}

static int take_record(void *context, const struct cf_event *event)
{
	struct reading *reading = context;
	struct cf_event copy = *event;

	if (!cf_collect_has_room(reading->collect))
		return -1;
	tell(reading->collect, reading->source, &copy);
	reading->collect->config->numbers->own_taken++; /* not later: the record is given back now */
	return 0;
}

static uint64_t refused(const struct cf_own_ring *ring)
{
	return ring->numbers.refused_length + ring->numbers.refused_content;
}

static int read_ring(struct cf_collect *collect, struct cf_collect_source *source)
{
	struct reading reading;
	uint64_t before = refused(&source->ring);
	uint32_t taken;

	reading.collect = collect;
	reading.source = source;
	taken = cf_own_ring_read(&source->ring, RING_RECORDS, take_record, &reading);
	collect->config->numbers->own_taken += refused(&source->ring) - before;
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
