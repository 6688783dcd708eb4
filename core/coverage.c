/* SPDX-License-Identifier: MIT
 * What rules decided: see coverage.h. */
#include <stdlib.h>
#include <string.h>
#include "coverage.h"
#include "intern.h"
#include "script.h"
#include "siphash.h"

enum {
	SLOTS_FIRST = 256,
};

/* Public: what is in the table are rules of the policy, not texts from a packet. */
static const uint8_t public_key[CF_SIPHASH_KEY_LEN] = "cellflow-covered";

struct cf_coverage *cf_coverage_new(void)
{
	struct cf_coverage *coverage = calloc(1, sizeof(*coverage));
	struct cf_error ignored;

	if (!coverage)
		return NULL;
	coverage->uncovered = cf_tally_new();
	coverage->slot_count = SLOTS_FIRST;
	coverage->slots = calloc(coverage->slot_count, sizeof(*coverage->slots));
	if (coverage->uncovered && coverage->slots &&
	    cf_tally_fields(coverage->uncovered, "dst_addr,dst_port,protocol,protocol_number", "", &ignored) == 0)
		return coverage;
	cf_coverage_free(coverage);
	return NULL;
}

void cf_coverage_free(struct cf_coverage *coverage)
{
	if (!coverage)
		return;
	for (size_t i = 0; i < coverage->count; i++) {
		free(coverage->rules[i].name);
		free(coverage->rules[i].place);
	}
	for (size_t i = 0; i < coverage->seen_room; i++)
		cf_coverage_seen_free(&coverage->seen[i]);
	free(coverage->seen);
	free(coverage->rules);
	free(coverage->slots);
	free(coverage->verdict_place);
	cf_tally_free(coverage->uncovered);
	free(coverage);
}

/* The slot in which the rule is, or would be. Two rules may have one place, as those that a loop declares. */
static uint32_t *find(const struct cf_coverage *coverage, const char *name, size_t name_len, const char *place,
		      size_t place_len)
{
	uint64_t hash = cf_siphash64(public_key, name, name_len) * 31 + cf_siphash64(public_key, place, place_len);
	size_t slot = hash & (coverage->slot_count - 1);

	for (; coverage->slots[slot]; slot = (slot + 1) & (coverage->slot_count - 1)) {
		const struct cf_coverage_rule *rule = &coverage->rules[coverage->slots[slot] - 1];

		if (strlen(rule->name) == name_len && memcmp(rule->name, name, name_len) == 0 &&
		    strlen(rule->place) == place_len && memcmp(rule->place, place, place_len) == 0)
			break;
	}
	return &coverage->slots[slot];
}

/* At most half of the slots are in use. */
static int grow(struct cf_coverage *coverage)
{
	size_t room = coverage->room ? 2 * coverage->room : SLOTS_FIRST / 2;
	struct cf_coverage_rule *rules;
	uint32_t *slots;

	if (coverage->count < coverage->room)
		return 0;
	rules = realloc(coverage->rules, room * sizeof(*rules));
	if (!rules)
		return -1;
	coverage->rules = rules;
	slots = calloc(2 * room, sizeof(*slots));
	if (!slots)
		return -1;
	free(coverage->slots);
	coverage->slots = slots;
	coverage->slot_count = 2 * room;
	coverage->room = room;
	for (size_t i = 0; i < coverage->count; i++)
		*find(coverage, rules[i].name, strlen(rules[i].name), rules[i].place, strlen(rules[i].place)) =
			(uint32_t)i + 1;
	return 0;
}

static int add_rule(struct cf_coverage *coverage, const char *const texts[3], const size_t lens[3])
{
	struct cf_coverage_rule *rule;

	if (*find(coverage, texts[1], lens[1], texts[2], lens[2]))
		return 0;
	if (grow(coverage) < 0)
		return -1;
	rule = &coverage->rules[coverage->count];
	*rule = (struct cf_coverage_rule){ .decision = *texts[0] == 'd' ? CF_DENY : CF_ALLOW,
					   .name = strndup(texts[1], lens[1]),
					   .place = strndup(texts[2], lens[2]) };
	if (!rule->name || !rule->place) {
		free(rule->name);
		free(rule->place);
		return -1;
	}
	*find(coverage, texts[1], lens[1], texts[2], lens[2]) = (uint32_t)++coverage->count;
	return 0;
}

/* "5:allow3:web..." as asks.lua says it: three texts for each rule. */
static int add_rules(struct cf_coverage *coverage, const char *at)
{
	while (*at) {
		const char *texts[3];
		size_t lens[3];

		for (int i = 0; i < 3; i++) {
			char *colon;

			lens[i] = strtoul(at, &colon, 10);
			if (*colon != ':' || strnlen(colon + 1, lens[i]) != lens[i])
				return -1;
			texts[i] = colon + 1;
			at = texts[i] + lens[i];
		}
		if (add_rule(coverage, texts, lens) < 0)
			return -1;
	}
	return 0;
}

int cf_coverage_begun(void *context, struct cf_error *error)
{
	const char *const none[] = { NULL };
	struct cf_coverage *coverage = context;
	char *text;
	int rc;

	if (cf_script_ask("rules", NULL, none, &text, error) < 0)
		return -1;
	rc = add_rules(coverage, text);
	free(text);
	return rc < 0 ? cf_fail(error, CF_FAIL_INTERNAL, 0, "coverage: the policy's rules cannot be held") : 0;
}

static void count(struct cf_coverage_count *to, uint32_t ending)
{
	to->decided++;
	to->records += ending == 0;
}

/* What decided; a rule's or the default's, the hook's, or the default mapping's. */
static struct cf_coverage_count *decider(struct cf_coverage *coverage, const struct cf_decision *decision,
					 int *is_covered)
{
	size_t name_len, place_len;
	const char *name = cf_intern_text(decision->rule, &name_len);
	const char *place = cf_intern_text(decision->place, &place_len);
	uint32_t found;

	*is_covered = 0;
	if (!place)
		return &coverage->mapping;
	found = *find(coverage, name ? name : "", name ? name_len : 0, place, place_len);
	*is_covered = !found || coverage->rules[found - 1].name[0];
	if (found)
		return &coverage->rules[found - 1].count;
	if (!coverage->verdict_place)
		coverage->verdict_place = strndup(place, place_len);
	return &coverage->verdict;
}

static int add_seen(struct cf_coverage *coverage, size_t group, const struct cf_member *members)
{
	size_t room = coverage->seen_room ? 2 * coverage->seen_room : SLOTS_FIRST;
	struct cf_coverage_seen *seen;

	if (group >= coverage->seen_room) {
		seen = realloc(coverage->seen, room * sizeof(*seen));
		if (!seen)
			return -1;
		memset(seen + coverage->seen_room, 0, (room - coverage->seen_room) * sizeof(*seen));
		coverage->seen = seen;
		coverage->seen_room = room;
	}
	return cf_coverage_seen_add(&coverage->seen[group], members);
}

static void add_uncovered(struct cf_coverage *coverage, const struct cf_event *event,
			  const struct cf_decision *decision)
{
	static struct cf_member members[CF_MEMBER_COUNT];
	int is_readable = cf_record_members(event, decision, members) == 0;
	long group = cf_tally_add(coverage->uncovered, event, decision, is_readable ? members : NULL);

	if (group >= 0 && add_seen(coverage, (size_t)group, members) < 0)
		coverage->is_full = 1;
}

void cf_coverage_ended(void *context, const struct cf_event *event, const struct cf_decision *decision, uint32_t ending)
{
	struct cf_coverage *coverage = context;
	int is_covered;

	if (!decision)
		return;
	count(decider(coverage, decision, &is_covered), ending);
	if (!is_covered)
		add_uncovered(coverage, event, decision);
}

size_t cf_coverage_used(const struct cf_coverage *coverage, size_t *all)
{
	size_t used = 0;

	*all = 0;
	for (size_t i = 0; i < coverage->count; i++) {
		*all += coverage->rules[i].name[0] != '\0';
		used += coverage->rules[i].name[0] && coverage->rules[i].count.decided;
	}
	return used;
}
