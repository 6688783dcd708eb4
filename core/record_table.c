/* SPDX-License-Identifier: MIT
 * A record as a row of a table: see record_text.h. Rows leave as they come, so a column begins with a width that
 * suits IPv4 and grows when something wider appears, up to a bound. */
#include "record_text.h"
#include "record_words.h"

enum column { TIME, CELL, SOURCE, TARGET, PROTOCOL, DIRECTION, KIND, DECISION, REASON, RULE, COLUMN_COUNT };

enum { WIDTH_MAX = 56, GAP = 2 };

static const char *const titles[COLUMN_COUNT] = { "TIME",      "CELL", "SOURCE",   "DESTINATION", "PROTOCOL",
						  "DIRECTION", "KIND", "DECISION", "REASON",	  "RULE" };
static size_t widths[COLUMN_COUNT] = { 24, 12, 21, 21, 8, 9, 6, 8, 20, 4 };

/* Characters, not bytes; what is double width for a terminal comes out a little crooked. */
static size_t width_of(const char *text, const char *end)
{
	size_t width = 0;

	for (; text < end; text++)
		width += ((uint8_t)*text & 0xc0) != 0x80;
	return width;
}

static void pad(struct cf_json *json, enum column column, size_t width)
{
	static const char blanks[WIDTH_MAX + GAP + 1] = "                                                          ";

	if (column == COLUMN_COUNT - 1)
		return;
	if (width > widths[column] && width <= WIDTH_MAX)
		widths[column] = width;
	cf_json_bytes(json, blanks, GAP + (width < widths[column] ? widths[column] - width : 0));
}

#define PUT(json, column, call)                                                                                        \
	do {                                                                                                           \
		const char *begin = (json)->at;                                                                        \
		call;                                                                                                  \
		pad(json, column, width_of(begin, (json)->at));                                                        \
	} while (0)

size_t cf_table_header(char *out, size_t size)
{
	struct cf_json json;

	cf_json_begin(&json, out, size);
	for (int i = 0; i < COLUMN_COUNT; i++)
		PUT(&json, i, cf_word_name(&json, titles[i]));
	return json.overflow ? 0 : json.at - out;
}

size_t cf_record_table(const struct cf_event *event, const struct cf_decision *decision, int color, char *out,
		       size_t size)
{
	const char *word = cf_name_decision(decision->decision);
	struct cf_json json;

	if (!cf_parts_bound)
		return 0;
	cf_json_begin(&json, out, size);
	PUT(&json, TIME, cf_word_time(&json, event->last_seen_ns));
	PUT(&json, CELL, cf_word_cell(&json, event));
	PUT(&json, SOURCE, cf_word_source(&json, event));
	PUT(&json, TARGET, cf_word_target(&json, event));
	PUT(&json, PROTOCOL, cf_word_protocol(&json, event));
	PUT(&json, DIRECTION, cf_word_name(&json, cf_name_direction(event->direction)));
	PUT(&json, KIND, cf_word_name(&json, cf_name_kind(event->kind)));
	cf_word_decision(&json, decision, color);
	pad(&json, DECISION, word ? strlen(word) : 1); /* not what colours it */
	PUT(&json, REASON, cf_word_interned(&json, decision->reason));
	PUT(&json, RULE, cf_word_interned(&json, decision->rule));
	return json.overflow ? 0 : json.at - out;
}
