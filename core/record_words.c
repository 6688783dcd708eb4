/* SPDX-License-Identifier: MIT
 * Words of records for eyes: see record_words.h. Also chooses among the forms of a record (record_text.h). */
#include "intern.h"
#include "record.h"
#include "record_text.h"
#include "record_words.h"

enum { MILLISECONDS_LEN = 23 }; /* 2026-01-31T12:00:00.123 */

static int is_plain(const char *text, size_t len)
{
	if (len == 0 || (len == 1 && *text == '-'))
		return 0;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] >= 0x7f || text[i] == '"' || text[i] == '\\')
			return 0;
	return 1;
}

void cf_word_json(struct cf_json *json, const char *text, size_t len)
{
	if (!text || len < 2)
		cf_json_literal(json, "-");
	else if (is_plain(text + 1, len - 2))
		cf_json_bytes(json, text + 1, len - 2);
	else
		cf_json_bytes(json, text, len);
}

void cf_word_interned(struct cf_json *json, uint32_t id)
{
	size_t len;
	const char *text = cf_intern_json(id, &len);

	if (len == SIZE_MAX) /* longer than any line: the record is dropped, as its JSON is */
		json->overflow = 1;
	else
		cf_word_json(json, text, len);
}

void cf_word_cell(struct cf_json *json, const struct cf_event *event)
{
	static const char member[] = ",\"cell_id\":";
	const struct cf_parts_cell *cell = cf_parts_cell(cf_parts_bound, event->cell);
	const char *text = cell->head + sizeof(member) - 1;
	size_t len = 1;

	if (cell->head_len < sizeof(member) || memcmp(cell->head, member, sizeof(member) - 1) != 0) {
		cf_json_literal(json, "-");
		return;
	}
	while (text[len] != '"')
		len += text[len] == '\\' ? 2 : 1;
	cf_word_json(json, text, len + 1);
}

void cf_word_time(struct cf_json *json, uint64_t boot_ns)
{
	char text[CF_TIME_TEXT_LEN];
	size_t len = cf_time_text(boot_ns, text);

	cf_json_bytes(json, text, len < MILLISECONDS_LEN ? len : MILLISECONDS_LEN);
	cf_json_literal(json, "Z");
}

void cf_word_name(struct cf_json *json, const char *name)
{
	cf_json_bytes(json, name ? name : "-", name ? strlen(name) : 1);
}

static void put_end(struct cf_json *json, const struct cf_event *event, const uint8_t *address, uint16_t port)
{
	int has_port = event->flags & CF_EVENT_PORTS;
	int has_brackets = has_port && event->family == CF_FAMILY_IPV6;
	char text[CF_ADDRESS_TEXT_LEN];

	if (event->family != CF_FAMILY_IPV4 && event->family != CF_FAMILY_IPV6) {
		cf_json_literal(json, "-");
		return;
	}
	if (has_brackets)
		cf_json_literal(json, "[");
	cf_json_bytes(json, text, cf_address_text(address, event->family, text));
	if (has_brackets)
		cf_json_literal(json, "]");
	if (!has_port)
		return;
	cf_json_literal(json, ":");
	cf_json_u64(json, port);
}

void cf_word_source(struct cf_json *json, const struct cf_event *event)
{
	put_end(json, event, event->src_addr, event->src_port);
}

void cf_word_target(struct cf_json *json, const struct cf_event *event)
{
	put_end(json, event, event->dst_addr, event->dst_port);
}

void cf_word_protocol(struct cf_json *json, const struct cf_event *event)
{
	const char *name = cf_name_protocol(event->protocol);

	if (name)
		cf_word_name(json, name);
	else
		cf_json_u64(json, event->protocol);
}

void cf_word_decision(struct cf_json *json, const struct cf_decision *decision, int color)
{
	if (color)
		cf_word_name(json, decision->decision == CF_DENY ? "\033[31m" : "\033[32m");
	cf_word_name(json, cf_name_decision(decision->decision));
	if (color)
		cf_json_literal(json, "\033[0m");
}

size_t cf_record_line(uint32_t style, const struct cf_event *event, const struct cf_decision *decision, char *out,
		      size_t size)
{
	int color = (int)(style & CF_STYLE_COLOR);

	switch (style / 2) {
	case CF_FORMAT_COMPACT:
		return cf_record_compact(event, decision, color, out, size);
	case CF_FORMAT_TABLE:
		return cf_record_table(event, decision, color, out, size);
	case CF_FORMAT_CSV:
		return cf_record_csv(event, decision, out, size);
	default:
		return cf_record_json(event, decision, out, size);
	}
}

size_t cf_record_header(uint32_t format, char *out, size_t size)
{
	if (format == CF_FORMAT_TABLE)
		return cf_table_header(out, size);
	return format == CF_FORMAT_CSV ? cf_csv_header(out, size) : 0;
}

/* Quotes and backslashes stay as they are: this is no JSON. */
size_t cf_line_clean(const char *line, size_t len, char *out, size_t size)
{
	const char *end = line + len;
	struct cf_json json;

	cf_json_begin(&json, out, size);
	while (line < end) {
		const char *stop = line;

		while (stop < end && *stop != '"' && *stop != '\\')
			stop++;
		cf_json_escaped(&json, line, stop - line);
		if (stop < end)
			cf_json_bytes(&json, stop++, 1);
		line = stop;
	}
	return json.overflow ? 0 : json.at - out;
}
