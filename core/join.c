/* SPDX-License-Identifier: MIT
 * Two witnesses of one flow: see join.h. Waiting events are a queue in order of arrival; what is known of flows,
 * waiting and told, is a table of sets in which the flow told longest ago makes room. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "flow.h"
#include "join.h"
#include "siphash.h"

enum {
	WAYS = 8,
	SETS = 8192,
};

struct known {
	struct cf_flow_key key; /* family 0: free */
	uint64_t time_ns; /* when it was first heard of; once told, when it was told */
	uint32_t waiting; /* 1 + where in the queue; 0: told */
	uint16_t witnesses;
	uint8_t is_dropped; /* netfilter said so */
	uint8_t has_left; /* tc saw it behind netfilter */
};

struct waiting {
	struct cf_event event;
	uint64_t due_ns;
	struct known *known; /* NULL: told already, out of turn */
};

struct cf_join {
	cf_join_fn *fn;
	void *context;
	struct cf_join_numbers numbers;
	uint8_t secret[CF_SIPHASH_KEY_LEN];
	uint32_t first, count; /* of the queue */
	struct waiting queue[CF_JOIN_MAX];
	struct known table[SETS][WAYS];
};

struct cf_join *cf_join_new(cf_join_fn *fn, void *context)
{
	struct cf_join *join = calloc(1, sizeof(*join));

	if (!join || getrandom(join->secret, sizeof(join->secret), 0) != (ssize_t)sizeof(join->secret)) {
		free(join);
		return NULL;
	}
	join->fn = fn;
	join->context = context;
	return join;
}

void cf_join_free(struct cf_join *join)
{
	free(join);
}

struct cf_join_numbers cf_join_numbers(const struct cf_join *join)
{
	return join->numbers;
}

/* Both directions give the same key, as in the flow table. */
static void key_of(const struct cf_event *event, struct cf_flow_key *key)
{
	uint16_t ports[2] = { event->src_port, event->dst_port };
	int swap = memcmp(event->src_addr, event->dst_addr, sizeof(event->src_addr));

	if (!(event->flags & CF_EVENT_PORTS))
		ports[0] = ports[1] = event->flags & CF_EVENT_ICMP_ID
					      ? event->icmp_id
					      : (uint16_t)(event->icmp_type << 8 | event->icmp_code);
	swap = swap > 0 || (swap == 0 && ports[0] > ports[1]);
	memset(key, 0, sizeof(*key));
	memcpy(key->addr[swap], event->src_addr, sizeof(key->addr[0]));
	memcpy(key->addr[!swap], event->dst_addr, sizeof(key->addr[0]));
	key->port[swap] = ports[0];
	key->port[!swap] = ports[1];
	key->cell = event->cell;
	key->family = event->family;
	key->protocol = event->protocol;
	key->fragment = (event->flags & CF_EVENT_FRAGMENT) != 0;
	key->icmp_echo = (event->flags & CF_EVENT_ICMP_ID) != 0;
}

static uint32_t bit(const struct cf_event *event)
{
	return 1U << (event->source & 7);
}

static struct waiting *at(struct cf_join *join, uint32_t place)
{
	return &join->queue[place % CF_JOIN_MAX];
}

/* 0: told, and the flow remembered as told; -1: no room. */
static int tell(struct cf_join *join, struct waiting *waiting, uint64_t now_ns)
{
	if (!waiting->known)
		return 0;
	waiting->event.witnesses = (uint8_t)waiting->known->witnesses;
	if (join->fn(join->context, &waiting->event) < 0)
		return -1;
	join->numbers.waiting--;
	waiting->known->waiting = 0;
	waiting->known->time_ns = now_ns;
	waiting->known = NULL;
	return 0;
}

static int tell_oldest(struct cf_join *join, uint64_t now_ns)
{
	if (tell(join, at(join, join->first), now_ns) < 0)
		return -1;
	join->first = (join->first + 1) % CF_JOIN_MAX;
	join->count--;
	return 0;
}

/* The flow's entry, or NULL and in *room the place for a new one. One that is told and old is as good as forgotten: the
 * tuple may be another connection's by now. */
static struct known *find(struct cf_join *join, const struct cf_flow_key *key, uint64_t now_ns, struct known **room)
{
	struct known *set = join->table[cf_siphash64(join->secret, key, sizeof(*key)) % SETS];

	*room = NULL;
	for (int i = 0; i < WAYS; i++) {
		struct known *known = &set[i];
		int is_old = !known->waiting && now_ns - known->time_ns > CF_JOIN_MEMORY_MS * 1000000ULL;

		if (memcmp(&known->key, key, sizeof(*key)) == 0 && !is_old)
			return known;
		if (!known->waiting && (!*room || known->time_ns < (*room)->time_ns))
			*room = known;
	}
	return NULL;
}

/* What netfilter says, onto what tc saw: the numbers and times are tc's, as in the flow's later events; the rule and
 * the fate are netfilter's. */
static void merge(struct cf_join *join, struct cf_event *event, const struct cf_event *other)
{
	struct cf_event logged = event->source == CF_SOURCE_NFLOG ? *event : *other;
	int has_left;

	if (event->source == CF_SOURCE_NFLOG)
		*event = *other;
	/* On its way in tc sees a packet before netfilter does, and a drop there is no contradiction. */
	has_left = event->verdict == CF_VERDICT_ACCEPT;
	memcpy(event->prefix, logged.prefix, sizeof(event->prefix));
	if (!event->mark)
		event->mark = logged.mark;
	if (logged.verdict != CF_VERDICT_UNKNOWN)
		event->verdict = logged.verdict;
	if (logged.verdict == CF_VERDICT_DROP && has_left) {
		event->flags |= CF_EVENT_CONFLICT;
		join->numbers.conflicts++;
	}
	join->numbers.joined++;
}

/* The second witness came after the first was told. Only that they disagree is news. */
static int contradict(struct cf_join *join, struct known *known, const struct cf_event *event)
{
	struct cf_event late = *event;

	int is_conflict = event->source == CF_SOURCE_NFLOG ? event->verdict == CF_VERDICT_DROP && known->has_left
							   : event->verdict == CF_VERDICT_ACCEPT && known->is_dropped;

	if (is_conflict) {
		late.flags |= CF_EVENT_CONFLICT;
		late.verdict = CF_VERDICT_DROP;
		late.witnesses = (uint8_t)(known->witnesses | bit(event));
		if (join->fn(join->context, &late) < 0)
			return -1;
		join->numbers.conflicts++;
	}
	known->witnesses |= (uint16_t)bit(event);
	join->numbers.joined++;
	return 0;
}

static int hold(struct cf_join *join, struct known *known, const struct cf_flow_key *key, const struct cf_event *event,
		uint64_t now_ns)
{
	struct waiting *waiting;

	if (join->count == CF_JOIN_MAX) {
		if (tell_oldest(join, now_ns) < 0)
			return -1;
		join->numbers.early++;
	}
	waiting = at(join, join->first + join->count);
	*waiting = (struct waiting){ .event = *event, .due_ns = now_ns + CF_JOIN_HOLD_MS * 1000000ULL, .known = known };
	known->key = *key;
	known->time_ns = now_ns;
	known->witnesses = (uint16_t)bit(event);
	known->is_dropped = event->verdict == CF_VERDICT_DROP;
	known->has_left = event->source == CF_SOURCE_EBPF && event->verdict == CF_VERDICT_ACCEPT;
	known->waiting = 1 + (join->first + join->count) % CF_JOIN_MAX;
	join->count++;
	join->numbers.waiting++;
	return 0;
}

/* All ways of the set wait: rare, and no reason to forget one of them. */
static int tell_at_once(struct cf_join *join, const struct cf_event *event)
{
	struct cf_event alone = *event;

	alone.witnesses = (uint8_t)bit(event);
	if (join->fn(join->context, &alone) < 0)
		return -1;
	join->numbers.early++;
	return 0;
}

static int pass(struct cf_join *join, struct known *known, const struct cf_event *event, uint64_t now_ns)
{
	struct cf_event copy = *event;

	if (known && known->waiting && tell(join, at(join, known->waiting - 1), now_ns) < 0)
		return -1;
	return join->fn(join->context, &copy);
}

int cf_join_take(struct cf_join *join, const struct cf_event *event, uint64_t now_ns)
{
	struct known *known, *room;
	struct cf_flow_key key;

	key_of(event, &key);
	known = find(join, &key, now_ns, &room);
	if (event->kind != CF_KIND_OPENED && event->kind != CF_KIND_LOGGED)
		return pass(join, known, event, now_ns);
	if (known && !(known->witnesses & bit(event))) {
		if (!known->waiting)
			return contradict(join, known, event);
		merge(join, &at(join, known->waiting - 1)->event, event);
		known->witnesses |= (uint16_t)bit(event);
		/* Nobody else is waited for. Without room it is told when its time comes. */
		tell(join, at(join, known->waiting - 1), now_ns);
		return 0;
	}
	/* The same source opens it again: another connection, or another try. */
	if (known && known->waiting && tell(join, at(join, known->waiting - 1), now_ns) < 0)
		return -1;
	if (!known)
		known = room;
	return known ? hold(join, known, &key, event, now_ns) : tell_at_once(join, event);
}

int cf_join_precede(struct cf_join *join, const struct cf_event *event, uint64_t now_ns)
{
	struct known *known, *room;
	struct cf_flow_key key;

	if (!join->numbers.waiting)
		return 0;
	key_of(event, &key);
	known = find(join, &key, now_ns, &room);
	return known && known->waiting ? tell(join, at(join, known->waiting - 1), now_ns) : 0;
}

uint32_t cf_join_release(struct cf_join *join, uint64_t now_ns, int all)
{
	while (join->count > 0 && (all || !at(join, join->first)->known || at(join, join->first)->due_ns <= now_ns))
		if (tell_oldest(join, now_ns) < 0)
			break;
	return join->count;
}

uint64_t cf_join_due(const struct cf_join *join)
{
	return join->count ? join->queue[join->first].due_ns : 0;
}
