/* SPDX-License-Identifier: MIT
 * Records in groups: see tally.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "options.h"
#include "siphash.h"
#include "tally.h"

enum {
	SLOTS = 2 * CF_TALLY_GROUPS_MAX, /* a power of two: probes stay short, and always end */
	GROUPS_FIRST = 64,
	KEY_MAX = 16384, /* a record whose values are longer together is in no group */
	KEYS_FIRST = 4 * KEY_MAX,
	NAME_MAX_LEN = 64,
};

struct cf_tally *cf_tally_new(void)
{
	struct cf_tally *tally = calloc(1, sizeof(*tally));

	if (tally && getrandom(tally->secret, sizeof(tally->secret), GRND_NONBLOCK) < 0)
		memset(tally->secret, 0, sizeof(tally->secret));
	return tally;
}

void cf_tally_free(struct cf_tally *tally)
{
	if (!tally)
		return;
	free(tally->groups);
	free(tally->keys);
	free(tally);
}

/* The fields whose names have `word` in them ("cell", "port"), else the nearest one; "": none is near. */
static void near_fields(const char *word, char *out, size_t size)
{
	const char *near = cf_suggest(word, cf_member_names, CF_MEMBER_COUNT);
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < CF_MEMBER_COUNT && strlen(word) >= 3; i++)
		if (strstr(cf_member_names[i], word) && used < size)
			used += (size_t)snprintf(out + used, size - used, "%s\"%s\"", used ? ", " : "",
						 cf_member_names[i]);
	if (!used && near)
		snprintf(out, size, "\"%s\"", near);
}

static int unknown(const char *name, const char *origin, struct cf_error *error)
{
	char near[512];

	if (!*name)
		return cf_fail(error, CF_FAIL_USAGE, 0,
			       "%s: want fields of records with commas between them, like dst_addr,dst_port", origin);
	near_fields(name, near, sizeof(near));
	if (near[0])
		return cf_fail(error, CF_FAIL_USAGE, 0, "%s: a record has no field \"%s\" (did you mean %s?)", origin,
			       name, near);
	return cf_fail(error, CF_FAIL_USAGE, 0,
		       "%s: a record has no field \"%s\" (it has: cell_id, dst_addr, dst_port, protocol, decision, "
		       "reason_code, rule and those that docs/records.md lists)",
		       origin, name);
}

static int add_field(struct cf_tally *tally, const char *name, const char *origin, struct cf_error *error)
{
	uint32_t index = 0;

	while (index < CF_MEMBER_COUNT && strcmp(cf_member_names[index], name) != 0)
		index++;
	if (index == CF_MEMBER_COUNT)
		return unknown(name, origin, error);
	for (uint32_t i = 0; i < tally->field_count; i++)
		if (tally->fields[i] == index)
			return cf_fail(error, CF_FAIL_USAGE, 0, "%s: \"%s\" is named twice", origin, name);
	if (tally->field_count == CF_TALLY_FIELDS_MAX)
		return cf_fail(error, CF_FAIL_USAGE, 0, "%s: more than %d fields", origin, CF_TALLY_FIELDS_MAX);
	tally->fields[tally->field_count++] = index;
	return 0;
}

int cf_tally_fields(struct cf_tally *tally, const char *text, const char *origin, struct cf_error *error)
{
	for (;;) {
		size_t len = strcspn(text, ",");
		char name[NAME_MAX_LEN];

		snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1), text);
		if (add_field(tally, name, origin, error) < 0)
			return -1;
		if (!text[len])
			return 0;
		text += len + 1;
	}
}

/* JSON has no NUL in it. Returns the length; 0: too long. */
static size_t fill_key(const struct cf_tally *tally, const struct cf_member *members, char key[KEY_MAX])
{
	size_t used = 0;

	for (uint32_t i = 0; i < tally->field_count; i++) {
		const struct cf_member *member = &members[tally->fields[i]];

		if (member->len >= KEY_MAX - used)
			return 0;
		if (member->len)
			memcpy(key + used, member->text, member->len);
		used += member->len;
		key[used++] = '\0';
		if (used == KEY_MAX)
			return 0;
	}
	return used;
}

static int make_room(struct cf_tally *tally, size_t key_len)
{
	size_t room = tally->room ? 2 * tally->room : GROUPS_FIRST;
	size_t key_room = tally->key_room ? 2 * tally->key_room : KEYS_FIRST;

	if (tally->count == CF_TALLY_GROUPS_MAX || tally->key_bytes + key_len > CF_TALLY_BYTES_MAX)
		return -1;
	if (tally->count == tally->room) {
		struct cf_tally_group *groups = realloc(tally->groups, room * sizeof(*groups));

		if (!groups)
			return -1;
		tally->groups = groups;
		tally->room = room;
	}
	if (tally->key_bytes + key_len > tally->key_room) {
		char *keys = realloc(tally->keys, key_room);

		if (!keys)
			return -1;
		tally->keys = keys;
		tally->key_room = key_room;
	}
	return 0;
}

static struct cf_tally_group *find(struct cf_tally *tally, const char *key, size_t key_len)
{
	uint32_t slot = cf_siphash64(tally->secret, key, key_len) & (SLOTS - 1);
	struct cf_tally_group *group;

	for (; tally->slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
		group = &tally->groups[tally->slots[slot] - 1];
		if (group->key_len == key_len && memcmp(tally->keys + group->key, key, key_len) == 0)
			return group;
	}
	if (make_room(tally, key_len) < 0)
		return NULL;
	group = &tally->groups[tally->count++];
	*group = (struct cf_tally_group){ .key = tally->key_bytes, .key_len = key_len };
	memcpy(tally->keys + tally->key_bytes, key, key_len);
	tally->key_bytes += key_len;
	tally->slots[slot] = (uint32_t)tally->count;
	return group;
}

static void count(struct cf_tally_numbers *numbers, const struct cf_event *event, const struct cf_decision *decision)
{
	numbers->count++;
	if (decision->decision <= CF_DENY)
		numbers->decisions[decision->decision]++;
	if (event->kind != CF_KIND_CLOSED) /* what an earlier event counted, its flow's end counts again */
		return;
	numbers->ended++;
	numbers->packets += event->packets + event->reply_packets;
	numbers->bytes += event->bytes + event->reply_bytes;
}

long cf_tally_add(struct cf_tally *tally, const struct cf_event *event, const struct cf_decision *decision,
		  const struct cf_member *members)
{
	char key[KEY_MAX];
	size_t key_len = members ? fill_key(tally, members, key) : 0;
	struct cf_tally_group *group = key_len ? find(tally, key, key_len) : NULL;

	count(group ? &group->numbers : &tally->not_grouped, event, decision);
	return group ? group - tally->groups : -1;
}

const char *cf_tally_value(const struct cf_tally *tally, const struct cf_tally_group *group, uint32_t field)
{
	const char *at = tally->keys + group->key;

	while (field--)
		at += strlen(at) + 1;
	return at;
}

void cf_tally_sum(struct cf_tally_numbers *to, const struct cf_tally_numbers *from)
{
	to->count += from->count;
	for (int i = 0; i < 3; i++)
		to->decisions[i] += from->decisions[i];
	to->ended += from->ended;
	to->packets += from->packets;
	to->bytes += from->bytes;
}

static int is_number(const char *value)
{
	return *value >= '0' && *value <= '9';
}

static int compare_values(const char *a, const char *b)
{
	if (is_number(a) && is_number(b) && strlen(a) != strlen(b))
		return strlen(a) < strlen(b) ? -1 : 1;
	return strcmp(a, b);
}

static int comes_first(const void *left, const void *right, void *context)
{
	const struct cf_tally *tally = context;
	const struct cf_tally_group *a = &tally->groups[*(const uint32_t *)left];
	const struct cf_tally_group *b = &tally->groups[*(const uint32_t *)right];
	const char *at = tally->keys + a->key, *bt = tally->keys + b->key;

	if (a->numbers.count != b->numbers.count)
		return a->numbers.count > b->numbers.count ? -1 : 1;
	for (uint32_t i = 0; i < tally->field_count; i++) {
		int order = compare_values(at, bt);

		if (order)
			return order;
		at += strlen(at) + 1;
		bt += strlen(bt) + 1;
	}
	return 0;
}

uint32_t *cf_tally_order(const struct cf_tally *tally)
{
	uint32_t *order = tally->count ? malloc(tally->count * sizeof(*order)) : NULL;

	for (size_t i = 0; order && i < tally->count; i++)
		order[i] = (uint32_t)i;
	if (order)
		qsort_r(order, tally->count, sizeof(*order), comes_first, (void *)(uintptr_t)tally);
	return order;
}
