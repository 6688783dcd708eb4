/* SPDX-License-Identifier: MIT
 * Two streams of decisions joined by event: see diff_join.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "diff_join.h"
#include "intern.h"

enum {
	TEXT_IDS = CF_INTERN_NAME_MAX + CF_INTERN_SHARED + 1,
	SLOTS = 2 * CF_DIFF_GROUPS_MAX, /* a power of two: probes stay short, and always end */
	GROUPS_FIRST = 64,
};

struct text {
	uint64_t len;
	uint8_t hash[CF_SIPHASH_128_LEN];
	struct cf_diff_shown shown;
};

/* What makes two changes one group; zeroed before it is filled, since its bytes are compared. */
struct key {
	uint8_t reason[CF_DIFF_SIDES][CF_SIPHASH_128_LEN];
	uint8_t rule[CF_DIFF_SIDES][CF_SIPHASH_128_LEN];
	uint8_t dst_addr[16];
	uint16_t dst_port;
	uint16_t has_port;
	uint8_t ending[CF_DIFF_SIDES];
	uint8_t decision[CF_DIFF_SIDES];
	uint8_t has_rule[CF_DIFF_SIDES];
	uint8_t family;
	uint8_t protocol;
};

struct cf_diff_join {
	struct cf_diff_reader readers[CF_DIFF_SIDES];
	struct text texts[CF_DIFF_SIDES][TEXT_IDS]; /* by the writer's id; 0: absent, all zero */
	struct cf_diff_counts counts;
	uint8_t secret[CF_SIPHASH_KEY_LEN]; /* nobody can aim flows at one slot; what comes out does not depend on it */
	uint32_t slots[SLOTS]; /* group + 1, or 0 */
	struct cf_diff_group *groups;
	struct key *keys; /* of groups, until they are sorted */
	size_t group_count, room;
};

struct cf_diff_join *cf_diff_join_new(void)
{
	struct cf_diff_join *join = calloc(1, sizeof(*join));

	if (join && getrandom(join->secret, sizeof(join->secret), GRND_NONBLOCK) < 0)
		memset(join->secret, 0, sizeof(join->secret));
	return join;
}

void cf_diff_join_free(struct cf_diff_join *join)
{
	if (!join)
		return;
	for (size_t i = 0; i < join->group_count; i++) {
		struct cf_diff_group *group = &join->groups[i];

		free(group->cell.bytes);
		for (int side = 0; side < CF_DIFF_SIDES; side++) {
			free(group->said[side].reason.bytes);
			free(group->said[side].rule.bytes);
			free(group->said[side].place.bytes);
		}
	}
	for (int side = 0; side < CF_DIFF_SIDES; side++)
		for (int id = 0; id < TEXT_IDS; id++)
			free(join->texts[side][id].shown.bytes);
	free(join->groups);
	free(join->keys);
	free(join);
}

static int copy_shown(struct cf_diff_shown *to, const char *bytes, uint32_t len)
{
	to->bytes = malloc(len + 1);
	if (!to->bytes)
		return -1;
	memcpy(to->bytes, bytes, len);
	to->bytes[len] = '\0';
	to->len = len;
	return 0;
}

static int take_text(struct text *texts, const struct cf_diff_text *message)
{
	struct text *text = &texts[message->id < TEXT_IDS ? message->id : 0];

	free(text->shown.bytes);
	text->len = message->len;
	memcpy(text->hash, message->hash, sizeof(text->hash));
	return copy_shown(&text->shown, (const char *)(message + 1), message->shown);
}

static int is_same_text(const struct text *a, const struct text *b)
{
	return !a->shown.bytes == !b->shown.bytes && a->len == b->len && memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}

/* The side's next message that is no text; NULL: the stream ended, or memory did. */
static const struct cf_diff_head *next(struct cf_diff_join *join, int side)
{
	const struct cf_diff_head *head;

	while ((head = cf_diff_get(&join->readers[side])) && head->type == CF_DIFF_TEXT)
		if (take_text(join->texts[side], (const struct cf_diff_text *)head) < 0)
			return NULL;
	return head;
}

static void fill_key(const struct cf_diff_join *join, const struct cf_diff_event *const sides[CF_DIFF_SIDES],
		     const struct cf_event *event, struct key *key)
{
	memset(key, 0, sizeof(*key));
	for (int side = 0; side < CF_DIFF_SIDES; side++) {
		const struct cf_diff_event *said = sides[side];

		memcpy(key->reason[side], join->texts[side][said->reason].hash, CF_SIPHASH_128_LEN);
		memcpy(key->rule[side], join->texts[side][said->rule].hash, CF_SIPHASH_128_LEN);
		key->has_rule[side] = said->rule != 0;
		key->ending[side] = (uint8_t)said->ending;
		key->decision[side] = (uint8_t)said->decision;
	}
	memcpy(key->dst_addr, event->dst_addr, sizeof(key->dst_addr));
	key->has_port = !!(event->flags & CF_EVENT_PORTS);
	key->dst_port = key->has_port ? event->dst_port : 0;
	key->family = event->family;
	key->protocol = event->protocol;
}

static int make_room(struct cf_diff_join *join)
{
	size_t room = join->room ? 2 * join->room : GROUPS_FIRST;
	struct cf_diff_group *groups;
	struct key *keys;

	if (join->group_count < join->room)
		return 0;
	groups = realloc(join->groups, room * sizeof(*groups));
	if (groups)
		join->groups = groups;
	keys = realloc(join->keys, room * sizeof(*keys));
	if (keys)
		join->keys = keys;
	if (!groups || !keys)
		return -1;
	join->room = room;
	return 0;
}

static int copy_text(struct cf_diff_shown *to, const struct text *from)
{
	return from->shown.bytes ? copy_shown(to, from->shown.bytes, from->shown.len) : 0;
}

static int add_group(struct cf_diff_join *join, const struct cf_diff_event *const sides[CF_DIFF_SIDES],
		     const struct cf_diff_flow *flow, const struct key *key)
{
	struct cf_diff_group *group;

	if (make_room(join) < 0)
		return -1;
	join->keys[join->group_count] = *key;
	group = &join->groups[join->group_count++];
	memset(group, 0, sizeof(*group));
	group->count = 1;
	group->first = join->counts.events;
	group->flow = *flow;
	if (copy_text(&group->cell, &join->texts[0][flow->cell]) < 0)
		return -1;
	for (int side = 0; side < CF_DIFF_SIDES; side++) {
		struct cf_diff_said *said = &group->said[side];
		const struct text *texts = join->texts[side];

		said->ending = sides[side]->ending;
		said->decision = sides[side]->decision;
		if (copy_text(&said->reason, &texts[sides[side]->reason]) < 0 ||
		    copy_text(&said->rule, &texts[sides[side]->rule]) < 0 ||
		    copy_text(&said->place, &texts[sides[side]->place]) < 0)
			return -1;
	}
	return 0;
}

static int count_group(struct cf_diff_join *join, const struct cf_diff_event *const sides[CF_DIFF_SIDES])
{
	const struct cf_diff_flow *flow = (const struct cf_diff_flow *)(sides[0] + 1);
	const struct cf_event *event = (const struct cf_event *)(const void *)flow->event; /* without its prefix */
	struct key key;
	uint32_t slot;

	fill_key(join, sides, event, &key);
	slot = cf_siphash64(join->secret, &key, sizeof(key)) & (SLOTS - 1);
	for (; join->slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
		uint32_t at = join->slots[slot] - 1;

		if (memcmp(&join->keys[at], &key, sizeof(key)) == 0) {
			join->groups[at].count++;
			return 0;
		}
	}
	if (join->group_count == CF_DIFF_GROUPS_MAX) {
		join->counts.not_grouped++;
		return 0;
	}
	if (add_group(join, sides, flow, &key) < 0)
		return -1;
	join->slots[slot] = (uint32_t)join->group_count;
	return 0;
}

static int compare_event(struct cf_diff_join *join, const struct cf_diff_event *const sides[CF_DIFF_SIDES])
{
	struct cf_diff_counts *counts = &join->counts;
	const struct cf_diff_event *a = sides[0], *b = sides[1];
	int decision = 0, reason = 0, rule = 0, presence = !a->ending != !b->ending;
	int rc = 0;

	if (!a->ending && !b->ending) {
		decision = a->decision != b->decision;
		reason = !is_same_text(&join->texts[0][a->reason], &join->texts[1][b->reason]);
		rule = !is_same_text(&join->texts[0][a->rule], &join->texts[1][b->rule]);
	}
	if (decision || reason || rule || presence) {
		counts->changed++;
		counts->decision += (uint64_t)decision;
		counts->reason += (uint64_t)reason;
		counts->rule += (uint64_t)rule;
		if (presence)
			counts->only[a->ending ? 1 : 0]++;
		rc = count_group(join, sides);
	}
	counts->events++;
	return rc;
}

/* Of a side whose next message is an event there is no end to be had. */
static int take_ends(const struct cf_diff_head *const heads[CF_DIFF_SIDES], struct cf_diff_end ends[CF_DIFF_SIDES])
{
	for (int side = 0; side < CF_DIFF_SIDES; side++)
		if (heads[side] && heads[side]->type == CF_DIFF_END)
			memcpy(&ends[side], heads[side], sizeof(ends[side]));
	return ends[0].head.type && ends[1].head.type;
}

int cf_diff_join_read(struct cf_diff_join *join, const int fds[CF_DIFF_SIDES], struct cf_diff_end ends[CF_DIFF_SIDES],
		      struct cf_error *error)
{
	memset(ends, 0, CF_DIFF_SIDES * sizeof(ends[0]));
	for (int side = 0; side < CF_DIFF_SIDES; side++)
		join->readers[side].fd = fds[side];
	for (;;) {
		const struct cf_diff_head *const heads[CF_DIFF_SIDES] = { next(join, 0), next(join, 1) };
		const struct cf_diff_event *const sides[CF_DIFF_SIDES] = { (const struct cf_diff_event *)heads[0],
									   (const struct cf_diff_event *)heads[1] };

		if (!heads[0] || !heads[1] || heads[0]->type != CF_DIFF_EVENT || heads[1]->type != CF_DIFF_EVENT)
			return take_ends(heads, ends);
		if (compare_event(join, sides) < 0)
			return cf_fail(error, CF_FAIL_INTERNAL, 0, "diff: no memory for another group of changes");
	}
}

const struct cf_diff_counts *cf_diff_join_counts(const struct cf_diff_join *join)
{
	return &join->counts;
}

static int comes_first(const void *left, const void *right)
{
	const struct cf_diff_group *a = left, *b = right;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->first < b->first ? -1 : 1;
}

const struct cf_diff_group *cf_diff_join_groups(struct cf_diff_join *join, size_t *count)
{
	if (join->group_count)
		qsort(join->groups, join->group_count, sizeof(join->groups[0]), comes_first);
	*count = join->group_count;
	return join->groups;
}
