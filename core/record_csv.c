/* SPDX-License-Identifier: MIT
 * A record as a row of CSV (RFC 4180): see record_text.h. A column for each member, in the same order, empty where it
 * is absent. A text is what JSON has between its quotes, with a quote as it is: control characters stay escaped, and a
 * row is one line. */
#include "json.h"
#include "record_member.h"
#include "record_text.h"

static int needs_quotes(const char *from, const char *end)
{
	if (from < end && (*from == ' ' || end[-1] == ' '))
		return 1;
	for (; from < end; from++) {
		if (*from == ',' || (*from == '\\' && from[1] == '"'))
			return 1;
		from += *from == '\\';
	}
	return 0;
}

/* What is between the quotes of a JSON string. */
static void put_text(struct cf_json *csv, const char *from, const char *end)
{
	const char *escape;

	while ((escape = memchr(from, '\\', end - from))) {
		cf_json_bytes(csv, from, escape - from);
		cf_json_bytes(csv, escape[1] == '"' ? "\"\"" : escape, 2);
		from = escape + 2;
	}
	cf_json_bytes(csv, from, end - from);
}

/* ["ebpf","nflog"]: the words with commas between them. */
static void put_list(struct cf_json *csv, const char *from, const char *end)
{
	cf_json_literal(csv, "\"");
	for (; from < end; from++)
		if (*from != '"')
			cf_json_bytes(csv, from, 1);
	cf_json_literal(csv, "\"");
}

static void put_value(struct cf_json *csv, const char *from, const char *end)
{
	int quotes;

	if (*from == '[') {
		put_list(csv, from + 1, end - 1);
	} else if (*from == '"') {
		quotes = needs_quotes(from + 1, end - 1);
		if (quotes)
			cf_json_literal(csv, "\"");
		put_text(csv, from + 1, end - 1);
		if (quotes)
			cf_json_literal(csv, "\"");
	} else {
		cf_json_bytes(csv, from, end - from);
	}
}

size_t cf_record_csv(const struct cf_event *event, const struct cf_decision *decision, char *out, size_t size)
{
	struct cf_member members[CF_MEMBER_COUNT];
	struct cf_json csv;

	if (cf_record_members(event, decision, members) < 0)
		return 0;
	cf_json_begin(&csv, out, size);
	for (int i = 0; i < CF_MEMBER_COUNT; i++) {
		if (i)
			cf_json_literal(&csv, ",");
		if (members[i].text)
			put_value(&csv, members[i].text, members[i].text + members[i].len);
	}
	cf_json_literal(&csv, "\r"); /* the line's end is the output's */
	return csv.overflow ? 0 : csv.at - out;
}

size_t cf_csv_header(char *out, size_t size)
{
	struct cf_json csv;

	cf_json_begin(&csv, out, size);
	for (int i = 0; i < CF_MEMBER_COUNT; i++) {
		if (i)
			cf_json_literal(&csv, ",");
		cf_json_bytes(&csv, cf_member_names[i], strlen(cf_member_names[i]));
	}
	cf_json_literal(&csv, "\r");
	return csv.overflow ? 0 : csv.at - out;
}
