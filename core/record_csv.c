/* SPDX-License-Identifier: MIT
 * A record as a row of CSV (RFC 4180): see record_text.h. Made from the record's JSON, so that the two never differ: a
 * column for each member, in the same order, empty where it is absent. A text is what JSON has between its quotes,
 * with a quote as it is: control characters stay escaped, and a row is one line. */
#include "record.h"
#include "record_text.h"
#include "json.h"

static const char *const columns[] = {
	"schema_version",
	"type",
	"kind",
	"cell_id",
	"run_id",
	"decision_id",
	"direction",
	"decision",
	"reason_code",
	"rule",
	"nft_rule_ref",
	"decided_at",
	"error_at",
	"src_addr",
	"src_port",
	"dst_addr",
	"dst_port",
	"protocol",
	"protocol_number",
	"family",
	"icmp_type",
	"icmp_code",
	"icmp_id",
	"tcp_flags",
	"fragment",
	"vlan",
	"mark",
	"source",
	"witnesses",
	"hook",
	"verdict",
	"conflict",
	"reopened",
	"midstream",
	"packet_count",
	"byte_count",
	"reply_packet_count",
	"reply_byte_count",
	"duration_ms",
	"close_reason",
	"interface",
	"generation",
	"policy_digest",
	"keyset_id",
	"issuer_kid",
	"correlation_id",
	"first_seen",
	"observed_at",
	"prefix",
};

enum { COLUMN_COUNT = sizeof(columns) / sizeof(columns[0]) };

/* One thread only; pages that no record reaches are never touched. */
static char record[CF_LINE_MAX];

static const char *string_end(const char *at)
{
	for (at++; *at != '"'; at++)
		at += *at == '\\';
	return at + 1;
}

/* `at` is a value of the record's: a string, a list of strings, or a word without quotes. */
static const char *value_end(const char *at)
{
	if (*at == '"')
		return string_end(at);
	if (*at != '[')
		return at + strcspn(at, ",}");
	for (at++; *at != ']'; at += *at == ',')
		at = string_end(at);
	return at + 1;
}

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

/* The column of a member, at `column` or behind it; COLUMN_COUNT: none. */
static int find_column(int column, const char *name, size_t len)
{
	while (column < COLUMN_COUNT &&
	       (*columns[column] != *name || strncmp(columns[column], name, len) != 0 || columns[column][len]))
		column++;
	return column;
}

size_t cf_record_csv(const struct cf_event *event, const struct cf_decision *decision, char *out, size_t size)
{
	size_t len = cf_record_json(event, decision, record, sizeof(record) - 1);
	const char *at = record;
	struct cf_json csv;
	int column = 0;

	if (!len)
		return 0;
	cf_json_begin(&csv, out, size);
	while (*at != '}' && !csv.overflow) {
		const char *name = at + 2; /* behind the brace or comma and the quote */
		const char *value = string_end(at + 1) + 1;
		int found = find_column(column, name, value - 2 - name);

		at = value_end(value);
		if (found == COLUMN_COUNT)
			continue;
		for (; column < found; column++)
			cf_json_literal(&csv, ",");
		put_value(&csv, value, at);
	}
	for (; column < COLUMN_COUNT - 1; column++)
		cf_json_literal(&csv, ",");
	cf_json_literal(&csv, "\r"); /* the line's end is the output's */
	return csv.overflow ? 0 : csv.at - out;
}

size_t cf_csv_header(char *out, size_t size)
{
	struct cf_json csv;

	cf_json_begin(&csv, out, size);
	for (int i = 0; i < COLUMN_COUNT; i++) {
		if (i)
			cf_json_literal(&csv, ",");
		cf_json_bytes(&csv, columns[i], strlen(columns[i]));
	}
	cf_json_literal(&csv, "\r");
	return csv.overflow ? 0 : csv.at - out;
}
