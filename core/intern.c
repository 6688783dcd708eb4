/* SPDX-License-Identifier: MIT
 * Texts by small ids: see intern.h. Open addressing on SipHash; the key is public, because the texts are the
 * policy's own and their number is bounded: made-up collisions could cost 32,768 comparisons, and no more. */
#include <stdlib.h>
#include <string.h>
#include "intern.h"
#include "json.h"
#include "siphash.h"

enum {
	SLOTS = 65536, /* power of two, at least twice CF_INTERN_NAME_MAX: probes stay short and always end */
	IDS = CF_INTERN_NAME_MAX + CF_INTERN_SHARED + 1,
};

struct text {
	uint64_t hash;
	char *bytes; /* the text, then its JSON */
	size_t size; /* allocated */
	size_t len;
	size_t json_len; /* SIZE_MAX: no line can hold it, or memory ran out */
};

static struct text texts[IDS]; /* by id; 0 is never used */
static uint16_t slots[SLOTS]; /* id, or 0 */
static uint32_t known;
static uint32_t turn; /* of the shared ids */

static const uint8_t public_key[CF_SIPHASH_KEY_LEN] = "cellflow-intern";

/* Room for the text and its JSON as two neighbours; JSON past CF_LINE_MAX can never be written, so no more is made. */
static int make_room(struct text *text, size_t len)
{
	size_t json_max = len < CF_LINE_MAX / 6 ? 6 * len + 2 : CF_LINE_MAX;
	char *bytes;

	json_max = cf_json_padded(json_max);
	if (text->size >= len + json_max)
		return 0;
	bytes = realloc(text->bytes, len + json_max);
	if (!bytes)
		return -1;
	text->bytes = bytes;
	text->size = len + json_max;
	return 0;
}

static void fill(struct text *text, const char *bytes, size_t len)
{
	text->len = len;
	text->json_len = SIZE_MAX;
	if (len >= CF_LINE_MAX || make_room(text, len))
		return;
	memcpy(text->bytes, bytes, len);
	text->json_len = cf_json_string(bytes, len, text->bytes + len, text->size - len);
	if (!text->json_len)
		text->json_len = SIZE_MAX;
}

static uint32_t take_shared(const char *bytes, size_t len)
{
	uint32_t id = CF_INTERN_NAME_MAX + 1 + turn;

	turn = (turn + 1) % CF_INTERN_SHARED;
	fill(&texts[id], bytes, len);
	return id;
}

/* The slot that holds the text, or the empty one where it would go. */
static uint32_t find_slot(const char *bytes, size_t len, uint64_t hash)
{
	uint32_t slot = hash & (SLOTS - 1);

	for (; slots[slot]; slot = (slot + 1) & (SLOTS - 1)) {
		const struct text *text = &texts[slots[slot]];

		if (text->hash == hash && text->len == len && !memcmp(text->bytes, bytes, len))
			break;
	}
	return slot;
}

/* Kept texts are worth an exact fit: the worst case of the escape is seven times the usual. */
static void shrink(struct text *text)
{
	size_t size = text->len + cf_json_padded(text->json_len);
	char *bytes = realloc(text->bytes, size);

	if (!bytes)
		return;
	text->bytes = bytes;
	text->size = size;
}

uint32_t cf_intern(const char *text, size_t len)
{
	uint64_t hash;
	uint32_t slot;

	if (len > CF_INTERN_KEEP_LEN)
		return take_shared(text, len);
	hash = cf_siphash64(public_key, text, len);
	slot = find_slot(text, len, hash);
	if (slots[slot])
		return slots[slot];
	if (known == CF_INTERN_NAME_MAX)
		return take_shared(text, len);
	fill(&texts[known + 1], text, len);
	if (texts[known + 1].json_len == SIZE_MAX)
		return take_shared(text, len);
	known++;
	texts[known].hash = hash;
	shrink(&texts[known]);
	slots[slot] = known;
	return known;
}

int cf_intern_is_shared(uint32_t id)
{
	return id > CF_INTERN_NAME_MAX;
}

const char *cf_intern_json(uint32_t id, size_t *len)
{
	const struct text *text = &texts[id < IDS ? id : 0];

	*len = text->json_len;
	return text->json_len == SIZE_MAX || !text->bytes ? NULL : text->bytes + text->len;
}

const char *cf_intern_text(uint32_t id, size_t *len)
{
	const struct text *text = &texts[id < IDS ? id : 0];

	*len = text->json_len == SIZE_MAX ? SIZE_MAX : text->len;
	return text->json_len == SIZE_MAX ? NULL : text->bytes;
}

void cf_intern_reset(void)
{
	for (uint32_t id = 0; id < IDS; id++)
		free(texts[id].bytes);
	memset(texts, 0, sizeof(texts));
	memset(slots, 0, sizeof(slots));
	known = 0;
	turn = 0;
}
