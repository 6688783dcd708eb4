/* SPDX-License-Identifier: MIT
 * Taking flows out of a flow table: see sweep.h. A way that is CLOSING is the sweeper's alone; when that began is kept
 * in the entry's told_packets, so that nothing is lost with the process that began it. */
#include <netinet/in.h>
#include <string.h>
#include "plan.h"
#include "sweep.h"

_Static_assert((int)CF_SWEEP_IDLES == (int)CF_IDLE_COUNT, "one time for each kind of protocol");

enum {
	SETS_AHEAD = 4, /* so many sets before its turn a set's flows are asked for */
	CLOSING_SHIFT = 20, /* of ns: about a millisecond, in 32 bits */
	CLOSING_UNITS = (CF_FLOW_CLOSING_NS >> CLOSING_SHIFT) + 2, /* both ends are rounded down */
};

void cf_sweep_init(struct cf_sweep *sweep, const struct cf_flow_table *table, const struct cf_sweep_options *options,
		   cf_sweep_fn *fn, void *context)
{
	*sweep = (struct cf_sweep){ .table = *table, .options = *options, .fn = fn, .context = context };
}

static int is_wanted(const struct cf_sweep *sweep, const struct cf_flow *flow, uint32_t kind)
{
	const uint8_t *wants = sweep->options.wants;
	uint32_t slot = flow->key.cell & ((1u << CF_SLOT_BITS) - 1);

	return (wants ? wants[slot] : flow->events) >> kind & 1;
}

static int tell(struct cf_sweep *sweep, const struct cf_flow *flow, uint32_t kind, uint32_t close_reason)
{
	if (!is_wanted(sweep, flow, kind))
		return 0;
	if (sweep->fn(sweep->context, flow, kind, close_reason) < 0) {
		sweep->numbers.refused++;
		return -1;
	}
	sweep->numbers.told[kind]++;
	return 0;
}

static uint64_t idle_of(const struct cf_sweep *sweep, const struct cf_flow *flow)
{
	const uint64_t *idle = sweep->options.idle_ns;

	switch (flow->key.fragment ? IPPROTO_RAW : flow->key.protocol) {
	case IPPROTO_TCP:
		return idle[CF_IDLE_TCP];
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		return idle[CF_IDLE_UDP];
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return idle[CF_IDLE_ICMP];
	}
	return idle[CF_IDLE_OTHER];
}

/* Signed: a packet of this moment may be later than the caller's clock. */
static int is_quiet(const struct cf_flow *flow, uint64_t now_ns, uint64_t for_ns)
{
	return (int64_t)(now_ns - __atomic_load_n(&flow->last_seen_ns, __ATOMIC_RELAXED)) >= (int64_t)for_ns;
}

/* What a flow's packets said of its end is in the entry's second cache line, and only TCP has that. */
static int is_over(const struct cf_sweep *sweep, const struct cf_flow *flow, uint64_t now_ns)
{
	if (is_quiet(flow, now_ns, idle_of(sweep, flow)))
		return 1;
	return flow->key.protocol == IPPROTO_TCP && is_quiet(flow, now_ns, sweep->options.linger_ns) &&
	       cf_flow_finished(flow);
}

/* By compare-and-swap: a program may have claimed the way for another flow since. */
static int mark_closing(const struct cf_flow_table *table, uint32_t set, int way, uint32_t tag, uint64_t now_ns)
{
	if (!__sync_bool_compare_and_swap(&cf_flow_table_tags(table, set)->tag[way], tag, CF_TAG_CLOSING))
		return -1;
	cf_flow_table_flow(table, set, way)->told_packets = (uint32_t)(now_ns >> CLOSING_SHIFT);
	return 0;
}

/* Emptied as well: nothing of a flow that is over stays behind. */
static void set_free(const struct cf_flow_table *table, uint32_t set, int way)
{
	memset(cf_flow_table_flow(table, set, way), 0, sizeof(struct cf_flow));
	__sync_bool_compare_and_swap(&cf_flow_table_tags(table, set)->tag[way], CF_TAG_CLOSING, CF_TAG_FREE);
}

static int finish(struct cf_sweep *sweep, uint32_t set, int way, uint32_t close_reason)
{
	const struct cf_flow *entry = cf_flow_table_flow(&sweep->table, set, way);
	uint32_t reason = cf_flow_finished(entry);
	struct cf_flow flow;

	if (!reason)
		reason = close_reason;
	cf_flow_read(entry, &flow);
	if (tell(sweep, &flow, CF_KIND_CLOSED, reason) < 0)
		return -1;
	sweep->numbers.closed[reason]++;
	set_free(&sweep->table, set, way);
	return 0;
}

/* Each flow's own intervals, from its first packet on, so that not all are told at once. */
static void update(struct cf_sweep *sweep, struct cf_flow *flow, uint64_t now_ns)
{
	struct cf_flow copy;
	uint8_t interval;
	uint32_t packets;

	if (!sweep->options.update_ns || now_ns <= flow->first_seen_ns || !is_wanted(sweep, flow, CF_KIND_UPDATED))
		return;
	interval = (uint8_t)((now_ns - flow->first_seen_ns) / sweep->options.update_ns);
	if (interval == flow->told_interval)
		return;
	cf_flow_read(flow, &copy);
	packets = (uint32_t)(copy.packets[0] + copy.packets[1]);
	if (packets != flow->told_packets && tell(sweep, &copy, CF_KIND_UPDATED, CF_CLOSE_NONE) < 0)
		return;
	flow->told_packets = packets;
	flow->told_interval = interval;
}

/* When a flow that is neither over nor was told of just now has to be looked at again. An unfinished connection may be
 * finished by its next packet. */
static uint64_t due_of(const struct cf_sweep *sweep, const struct cf_flow *flow, uint64_t now_ns)
{
	uint64_t due = flow->last_seen_ns + idle_of(sweep, flow), next, interval;

	if (flow->key.protocol == IPPROTO_TCP) {
		next = (cf_flow_finished(flow) ? flow->last_seen_ns : now_ns) + sweep->options.linger_ns;
		due = next < due ? next : due;
	}
	if (!sweep->options.update_ns || !is_wanted(sweep, flow, CF_KIND_UPDATED))
		return due;
	interval = now_ns > flow->first_seen_ns ? (now_ns - flow->first_seen_ns) / sweep->options.update_ns : 0;
	if ((uint8_t)interval != flow->told_interval)
		return now_ns; /* there was no room */
	next = flow->first_seen_ns + (interval + 1) * sweep->options.update_ns;
	return next < due ? next : due;
}

/* Returns when it is to be looked at again. */
static uint64_t look(struct cf_sweep *sweep, uint32_t set, int way, uint32_t tag, uint64_t now_ns)
{
	struct cf_flow *flow = cf_flow_table_flow(&sweep->table, set, way);

	if (tag == CF_TAG_CLOSING) {
		if ((uint32_t)(now_ns >> CLOSING_SHIFT) - flow->told_packets >= CLOSING_UNITS)
			finish(sweep, set, way, CF_CLOSE_IDLE);
		return now_ns;
	}
	if (is_over(sweep, flow, now_ns)) {
		mark_closing(&sweep->table, set, way, tag, now_ns);
		return now_ns;
	}
	update(sweep, flow, now_ns);
	return sweep->options.remembers ? due_of(sweep, flow, now_ns) : now_ns;
}

static uint32_t units(uint64_t ns)
{
	return (uint32_t)(ns >> CF_DUE_SHIFT);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* With other times, or with a table that a predecessor has swept, all that is said of when sets are due is void. */
static void reckon(struct cf_sweep *sweep)
{
	const struct cf_sweep_options *options = &sweep->options;
	const uint64_t *idle = options->idle_ns;
	uint64_t update = options->update_ns ? options->update_ns : UINT64_MAX;
	struct cf_flow_head *head = sweep->table.head;

	if (!options->remembers || !head || memcmp(&sweep->reckoned, options, sizeof(*options)) == 0)
		return;
	sweep->reckoned = *options;
	sweep->blind = sweep->table.set_count;
	head->soonest[0] = units(least(least(update, idle[CF_IDLE_UDP]), least(idle[CF_IDLE_ICMP], idle[CF_IDLE_OTHER])));
	head->soonest[1] = units(least(least(update, idle[CF_IDLE_TCP]), options->linger_ns));
}

static int is_due(const struct cf_sweep *sweep, uint32_t set, uint64_t now_ns)
{
	return !sweep->options.remembers || !sweep->table.rooms || sweep->blind ||
	       (int32_t)(sweep->table.rooms[set].due - units(now_ns)) <= 0;
}

/* Each flow is elsewhere in memory than what was looked at just now: it is asked for some sets before its turn. */
static void expect(const struct cf_sweep *sweep, uint32_t set, uint64_t now_ns)
{
	const struct cf_flow_tags *tags = cf_flow_table_tags(&sweep->table, set);

	if (!is_due(sweep, set, now_ns))
		return;
	for (int way = 0; way < CF_FLOW_WAYS; way++)
		if (__atomic_load_n(&tags->tag[way], __ATOMIC_RELAXED) >= CF_TAG_FIRST)
			__builtin_prefetch(cf_flow_table_flow(&sweep->table, set, way));
}

/* The one cache line that says whether there is anything. */
static int is_empty(const struct cf_flow_tags *tags)
{
	uint32_t any = 0;

	for (int way = 0; way < CF_FLOW_WAYS; way++)
		any |= __atomic_load_n(&tags->tag[way], __ATOMIC_RELAXED);
	return !any;
}

static void next_set(struct cf_sweep *sweep)
{
	sweep->blind -= sweep->blind > 0;
	if (++sweep->next_set < sweep->table.set_count)
		return;
	sweep->next_set = 0;
	sweep->numbers.in_use = sweep->seen;
	sweep->numbers.rounds++;
	sweep->seen = 0;
}

static void keep_due(struct cf_flow_room *room, uint32_t due)
{
	if (is_empty(&room->tags))
		room->due = 0;
	else
		room->due = due ? due : 1;
}

/* Returns how many flows the set has. */
static uint32_t look_at_set(struct cf_sweep *sweep, uint32_t set, uint64_t now_ns)
{
	const struct cf_flow_tags *tags = cf_flow_table_tags(&sweep->table, set);
	uint64_t due = UINT64_MAX;
	uint32_t flows = 0;
	int looks = is_due(sweep, set, now_ns);

	for (int way = 0; way < CF_FLOW_WAYS; way++) {
		uint32_t tag = __atomic_load_n(&tags->tag[way], __ATOMIC_ACQUIRE);

		if (tag == CF_TAG_FREE || tag == CF_TAG_CLAIMED)
			continue;
		flows++;
		if (looks)
			due = least(due, look(sweep, set, way, tag, now_ns));
	}
	if (looks && flows && sweep->table.rooms)
		keep_due(&sweep->table.rooms[set], units(due));
	return flows;
}

uint32_t cf_sweep_some(struct cf_sweep *sweep, uint64_t now_ns, uint32_t max_sets)
{
	uint32_t flows = 0, found;

	if (max_sets > sweep->table.set_count)
		max_sets = sweep->table.set_count;
	reckon(sweep);
	for (uint32_t i = 0; i < max_sets; i++, next_set(sweep)) {
		if (sweep->next_set + SETS_AHEAD < sweep->table.set_count)
			expect(sweep, sweep->next_set + SETS_AHEAD, now_ns);
		if (is_empty(cf_flow_table_tags(&sweep->table, sweep->next_set)))
			continue;
		found = look_at_set(sweep, sweep->next_set, now_ns);
		sweep->seen += found;
		flows += found;
	}
	return flows;
}

void cf_sweep_told(struct cf_sweep *sweep, const struct cf_flow_key *key, uint64_t first_seen_ns)
{
	for (uint32_t i = 0; i < sweep->table.set_count; i++) {
		const struct cf_flow_tags *tags = cf_flow_table_tags(&sweep->table, i);

		for (int way = 0; way < CF_FLOW_WAYS; way++) {
			const struct cf_flow *flow;

			if (__atomic_load_n(&tags->tag[way], __ATOMIC_ACQUIRE) != CF_TAG_CLOSING)
				continue;
			flow = cf_flow_table_flow(&sweep->table, i, way);
			if (flow->first_seen_ns == first_seen_ns && memcmp(&flow->key, key, sizeof(*key)) == 0)
				set_free(&sweep->table, i, way);
		}
	}
}

/* One that was marked before keeps its reason: it was over before its cell was. */
static int close_way(struct cf_sweep *sweep, uint32_t set, int way, uint32_t close_reason, uint64_t now_ns)
{
	uint32_t *place = &cf_flow_table_tags(&sweep->table, set)->tag[way];
	uint32_t tag = __atomic_load_n(place, __ATOMIC_ACQUIRE);

	if (tag == CF_TAG_CLOSING)
		return finish(sweep, set, way, CF_CLOSE_IDLE);
	if (mark_closing(&sweep->table, set, way, tag, now_ns) < 0)
		return 0; /* made room for another cell's flow, and was told by that */
	if (finish(sweep, set, way, close_reason) == 0)
		return 0;
	/* Nobody can have opened it anew, so it may come back as it was, and be closed with this reason the next time.
	 */
	__sync_bool_compare_and_swap(place, CF_TAG_CLOSING, tag);
	return -1;
}

int cf_sweep_close(struct cf_sweep *sweep, uint32_t slot, uint32_t close_reason, uint64_t now_ns)
{
	for (uint32_t i = 0; i < sweep->table.set_count; i++) {
		const struct cf_flow_tags *tags = cf_flow_table_tags(&sweep->table, i);

		if (is_empty(tags))
			continue;
		for (int way = 0; way < CF_FLOW_WAYS; way++) {
			uint32_t tag = __atomic_load_n(&tags->tag[way], __ATOMIC_ACQUIRE);

			if (tag == CF_TAG_FREE || tag == CF_TAG_CLAIMED)
				continue;
			if (slot != CF_SWEEP_ALL && cf_flow_table_flow(&sweep->table, i, way)->key.cell != slot)
				continue;
			/* Full for one is full for the next ones. */
			if (close_way(sweep, i, way, close_reason, now_ns) < 0)
				return -1;
		}
	}
	return 0;
}
