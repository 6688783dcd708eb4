/* SPDX-License-Identifier: MIT
 * Destinations of recorded flows: see allow_list.h. */
#include <stdlib.h>
#include <string.h>
#include "allow_list.h"
#include "error.h"
#include "siphash.h"

enum {
	SLOTS = 1 << 16, /* a power of two, about twice CF_ALLOW_MAX */
	ROOM_FIRST = 64,
};

/* Public: entries are bounded, so flows that were chosen to collide cost time and nothing else. */
static const uint8_t public_key[CF_SIPHASH_KEY_LEN] = "cellflow-allowed";

struct cf_allow_list *cf_allow_list_new(const struct cf_allow_options *options)
{
	struct cf_allow_list *list = calloc(1, sizeof(*list));

	if (list)
		list->options = *options;
	return list;
}

void cf_allow_list_free(struct cf_allow_list *list)
{
	if (list)
		free(list->entries);
	free(list);
}

static void copy_prefix(uint8_t *to, const uint8_t *from, uint32_t bits)
{
	memcpy(to, from, bits / 8);
	if (bits % 8)
		to[bits / 8] = (uint8_t)(from[bits / 8] & 0xff << (8 - bits % 8));
}

static void fill_key(const struct cf_allow_options *options, const struct cf_event *event, struct cf_allow_key *key)
{
	memset(key, 0, sizeof(*key));
	copy_prefix(key->dst_addr, event->dst_addr,
		    event->family == CF_FAMILY_IPV4 ? options->prefix4 : options->prefix6);
	key->family = event->family;
	key->protocol = event->protocol;
	key->fragment = !!(event->flags & CF_EVENT_FRAGMENT) && !(event->flags & CF_EVENT_PORTS) && !options->any_port;
	key->has_port = !!(event->flags & CF_EVENT_PORTS) && !options->any_port;
	key->dst_port = key->has_port ? event->dst_port : 0;
}

static int make_room(struct cf_allow_list *list, struct cf_error *error)
{
	size_t room = list->room ? 2 * list->room : ROOM_FIRST;
	struct cf_allow_entry *entries;

	if (list->count == CF_ALLOW_MAX)
		return cf_fail(error, CF_FAIL_USAGE, 0,
			       "more than %d destinations, which is more than a policy holds rules: "
			       "make them fewer (--cidr 24,64 or --ports)",
			       CF_ALLOW_MAX);
	if (list->count < list->room)
		return 0;
	entries = realloc(list->entries, room * sizeof(*entries));
	if (!entries)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for another destination");
	list->entries = entries;
	list->room = room;
	return 0;
}

static struct cf_allow_entry *find(struct cf_allow_list *list, const struct cf_allow_key *key, struct cf_error *error)
{
	uint32_t slot = cf_siphash64(public_key, key, sizeof(*key)) & (SLOTS - 1);
	struct cf_allow_entry *entry;

	for (; list->slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
		entry = &list->entries[list->slots[slot] - 1];
		if (memcmp(&entry->key, key, sizeof(*key)) == 0)
			return entry;
	}
	if (make_room(list, error) < 0)
		return NULL;
	entry = &list->entries[list->count++];
	memset(entry, 0, sizeof(*entry));
	entry->key = *key;
	entry->first_ns = INT64_MAX;
	entry->last_ns = INT64_MIN;
	list->slots[slot] = (uint32_t)list->count;
	return entry;
}

static void add_cell(struct cf_allow_entry *entry, const char *name)
{
	uint32_t id = cf_intern(name, strlen(name));

	if (cf_intern_is_shared(id)) {
		entry->has_more_cells = 1;
		return;
	}
	for (uint32_t i = 0; i < entry->cell_count; i++)
		if (entry->cells[i] == id)
			return;
	if (entry->cell_count == CF_ALLOW_CELLS)
		entry->has_more_cells = 1;
	else
		entry->cells[entry->cell_count++] = id;
}

static void add_evidence(struct cf_allow_list *list, struct cf_allow_entry *entry, const struct cf_event *event)
{
	int64_t first_ns = (int64_t)(event->first_seen_ns + (uint64_t)list->offset_ns);
	int64_t last_ns = (int64_t)(event->last_seen_ns + (uint64_t)list->offset_ns);

	if (event->kind == CF_KIND_OPENED || event->kind == CF_KIND_LOGGED)
		entry->flows++;
	if (event->kind == CF_KIND_CLOSED)
		entry->bytes += event->bytes + event->reply_bytes;
	entry->first_ns = first_ns < entry->first_ns ? first_ns : entry->first_ns;
	entry->last_ns = last_ns > entry->last_ns ? last_ns : entry->last_ns;
	add_cell(entry, list->recorded.cells[event->cell].name);
}

static int take_event(struct cf_allow_list *list, const struct cf_event *event, struct cf_error *error)
{
	struct cf_allow_key key;
	struct cf_allow_entry *entry;

	if (event->verdict == CF_VERDICT_DROP) {
		list->dropped++;
		return 0;
	}
	if (event->direction != CF_DIRECTION_EGRESS) {
		list->ingress++;
		return 0;
	}
	fill_key(&list->options, event, &key);
	entry = find(list, &key, error);
	if (!entry)
		return -1;
	add_evidence(list, entry, event);
	return 0;
}

static int take_batch(struct cf_allow_list *list, const struct cf_frame *frame, struct cf_error *error)
{
	static struct cf_batch batch;
	uint64_t now_ns;

	cf_frame_get_batch(frame, &now_ns, &batch);
	cf_replay_refuse(&list->recorded, &batch);
	for (uint32_t i = 0; i < batch.count; i++)
		if (take_event(list, &batch.events[i], error) < 0)
			return -1;
	return 0;
}

int cf_allow_list_frame(struct cf_allow_list *list, const struct cf_frame *frame, struct cf_error *error)
{
	struct cf_meta meta;

	switch (frame->type) {
	case CF_FRAME_META:
	case CF_FRAME_GENERATION:
		cf_frame_get_meta(frame, &meta);
		if (frame->type == CF_FRAME_META && cf_replay_goes_on(&list->recorded, &meta, error) < 0)
			return -1;
		cf_replay_take_meta(&list->recorded, frame->type, &meta);
		return 0;
	case CF_FRAME_CELL:
		cf_replay_take_cell(&list->recorded, (const struct cf_frame_cell *)(const void *)frame->bytes);
		return 0;
	case CF_FRAME_CLOCK:
		list->offset_ns = ((const struct cf_frame_clock *)(const void *)frame->bytes)->offset_ns;
		return 0;
	case CF_FRAME_BATCH:
		return take_batch(list, frame, error);
	default:
		return 0;
	}
}

static int comes_first(const void *left, const void *right)
{
	const struct cf_allow_entry *a = left, *b = right;

	if (a->flows != b->flows)
		return a->flows > b->flows ? -1 : 1;
	return memcmp(&a->key, &b->key, sizeof(a->key));
}

void cf_allow_list_sort(struct cf_allow_list *list)
{
	if (list->count)
		qsort(list->entries, list->count, sizeof(list->entries[0]), comes_first);
}
