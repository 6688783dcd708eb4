/* SPDX-License-Identifier: MIT
 * Groups of records as one JSON object on one line: see tally_report.h. */
#include <stdlib.h>
#include <string.h>
#include "tally_report.h"

enum { PIECE_MAX = 64 * 1024 }; /* longer than any group */

void cf_json_member_u64(struct cf_json *json, const char *name, uint64_t value)
{
	cf_json_literal(json, ",\"");
	cf_json_bytes(json, name, strlen(name));
	cf_json_literal(json, "\":");
	cf_json_u64(json, value);
}

void cf_tally_key_json(const struct cf_tally *tally, const struct cf_tally_group *group, struct cf_json *json)
{
	int is_first = 1;

	for (uint32_t i = 0; i < tally->field_count; i++) {
		const char *name = cf_member_names[tally->fields[i]], *value = cf_tally_value(tally, group, i);

		if (!*value)
			continue;
		if (!is_first)
			cf_json_literal(json, ",");
		is_first = 0;
		cf_json_text(json, name, strlen(name));
		cf_json_literal(json, ":");
		cf_json_bytes(json, value, strlen(value));
	}
}

static void put_numbers(struct cf_json *json, const struct cf_tally_numbers *numbers)
{
	cf_json_literal(json, "\"count\":");
	cf_json_u64(json, numbers->count);
	cf_json_member_u64(json, "allow", numbers->decisions[CF_ALLOW]);
	cf_json_member_u64(json, "deny", numbers->decisions[CF_DENY]);
	if (!numbers->ended)
		return;
	cf_json_member_u64(json, "packets", numbers->packets);
	cf_json_member_u64(json, "bytes", numbers->bytes);
}

static void write_out(struct cf_json *json, char *piece, FILE *to)
{
	fwrite(piece, 1, (size_t)(json->at - piece), to);
	cf_json_begin(json, piece, PIECE_MAX);
}

static void put_fields(struct cf_json *json, const struct cf_tally *tally)
{
	cf_json_literal(json, "{\"by\":[");
	for (uint32_t i = 0; i < tally->field_count; i++) {
		const char *name = cf_member_names[tally->fields[i]];

		if (i)
			cf_json_literal(json, ",");
		cf_json_text(json, name, strlen(name));
	}
	cf_json_literal(json, "]");
}

/* -1: it did not fit, which does not happen. */
static int put_tally(const struct cf_tally *tally, const uint32_t *order, size_t shown, char *piece, FILE *to)
{
	struct cf_tally_numbers others = { 0 };
	struct cf_json json;

	cf_json_begin(&json, piece, PIECE_MAX);
	put_fields(&json, tally);
	cf_json_member_u64(&json, "groups", tally->count);
	cf_json_literal(&json, ",\"top\":[");
	for (size_t row = 0; row < tally->count; row++) {
		const struct cf_tally_group *group = &tally->groups[order[row]];
		const char *begin;

		if (row >= shown) {
			cf_tally_sum(&others, &group->numbers);
			continue;
		}
		cf_json_bytes(&json, row ? ",{" : "{", row ? 2 : 1);
		begin = json.at;
		cf_tally_key_json(tally, group, &json);
		if (json.at > begin)
			cf_json_literal(&json, ",");
		put_numbers(&json, &group->numbers);
		cf_json_literal(&json, "}");
		write_out(&json, piece, to);
	}
	cf_json_literal(&json, "],\"others\":{");
	put_numbers(&json, &others);
	cf_json_member_u64(&json, "groups", tally->count - shown);
	cf_json_literal(&json, "},\"not_grouped\":{");
	put_numbers(&json, &tally->not_grouped);
	cf_json_literal(&json, "}}");
	write_out(&json, piece, to);
	return json.overflow ? -1 : 0;
}

void cf_told_json(const struct cf_told *told, struct cf_json *json)
{
	if (told->is_whole)
		cf_json_literal(json, ",\"whole\":true");
	else
		cf_json_literal(json, ",\"whole\":false");
	cf_json_member_u64(json, "events", told->events);
	cf_json_member_u64(json, "records", told->records);
	cf_json_member_u64(json, "allow", told->decisions[CF_ALLOW]);
	cf_json_member_u64(json, "deny", told->decisions[CF_DENY]);
	cf_json_member_u64(json, "deduplicated", told->deduplicated);
	cf_json_member_u64(json, "suppressed", told->suppressed);
	cf_json_member_u64(json, "filtered", told->filtered);
	cf_json_member_u64(json, "failed", told->failed);
	cf_json_member_u64(json, "refused", told->refused);
	cf_json_member_u64(json, "script_errors", told->script_errors);
	cf_json_member_u64(json, "lost", told->lost);
}

int cf_tally_report_json(const struct cf_tally_report *report, FILE *to)
{
	static char piece[PIECE_MAX];
	struct cf_json json;
	int rc = 0;

	cf_json_begin(&json, piece, sizeof(piece));
	cf_json_literal(&json, "{\"schema_version\":\"1.0.0\",\"type\":\"traffic_summary\"");
	cf_told_json(report->told, &json);
	cf_json_literal(&json, ",\"groups\":[");
	write_out(&json, piece, to);
	for (int i = 0; i < report->tally_count && rc == 0; i++) {
		const struct cf_tally *tally = report->tallies[i];
		uint32_t *order = cf_tally_order(tally);

		if (i)
			fputc(',', to);
		rc = tally->count && !order
			     ? -1
			     : put_tally(tally, order, tally->count < report->top ? tally->count : report->top, piece,
					 to);
		free(order);
	}
	fputs("]}\n", to);
	return rc < 0 || fflush(to) != 0 || ferror(to) ? -1 : 0;
}
