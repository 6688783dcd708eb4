/* SPDX-License-Identifier: MIT
 * What rules decided, as one JSON object on one line: see coverage_report.h. */
#include <stdlib.h>
#include <string.h>
#include "coverage_report.h"
#include "tally_report.h"

enum { PIECE_MAX = 64 * 1024 }; /* longer than any rule or group */

static void put_text(struct cf_json *json, const char *name, const char *text)
{
	cf_json_member_text(json, name, text, strlen(text));
}

static void write_out(struct cf_json *json, char *piece, FILE *to)
{
	fwrite(piece, 1, (size_t)(json->at - piece), to);
	cf_json_begin(json, piece, PIECE_MAX);
}

/* The first member's comma is the caller's. */
static void put_count(struct cf_json *json, const struct cf_coverage_count *count)
{
	cf_json_literal(json, "\"decided\":");
	cf_json_u64(json, count->decided);
	cf_json_member_u64(json, "records", count->records);
}

static void put_rule(struct cf_json *json, const struct cf_coverage_rule *rule)
{
	cf_json_literal(json, "{");
	put_count(json, &rule->count);
	put_text(json, "decision", cf_name_decision(rule->decision));
	if (rule->name[0])
		put_text(json, "rule", rule->name);
	put_text(json, "decided_at", rule->place);
	cf_json_literal(json, "}");
}

static void put_rules(struct cf_json *json, const struct cf_coverage *coverage, char *piece, FILE *to)
{
	const struct cf_coverage_rule *last = NULL;
	const char *comma = "";

	cf_json_literal(json, ",\"rules\":[");
	for (size_t i = 0; i < coverage->count; i++) {
		if (!coverage->rules[i].name[0]) {
			last = &coverage->rules[i];
			continue;
		}
		cf_json_bytes(json, comma, strlen(comma));
		comma = ",";
		put_rule(json, &coverage->rules[i]);
		write_out(json, piece, to);
	}
	cf_json_literal(json, "]");
	if (last) {
		cf_json_literal(json, ",\"default\":");
		put_rule(json, last);
	}
	if (coverage->verdict_place) {
		cf_json_literal(json, ",\"verdict\":{");
		put_count(json, &coverage->verdict);
		put_text(json, "decided_at", coverage->verdict_place);
		cf_json_literal(json, "}");
	}
	cf_json_literal(json, ",\"default_mapping\":{");
	put_count(json, &coverage->mapping);
	cf_json_literal(json, "}");
}

static void put_cells(struct cf_json *json, const struct cf_coverage_seen *seen)
{
	const char *at = seen->cells;

	cf_json_literal(json, ",\"cells\":[");
	while (at && at[1]) {
		const char *end = strchr(at + 1, '\n');

		if (at > seen->cells)
			cf_json_literal(json, ",");
		cf_json_bytes(json, at + 1, (size_t)(end - at - 1));
		at = end;
	}
	if (seen->has_more_cells)
		cf_json_literal(json, "],\"more_cells\":true");
	else
		cf_json_literal(json, "]");
}

static void put_example(struct cf_json *json, const struct cf_coverage_seen *seen)
{
	const char *comma = "";

	cf_json_literal(json, ",\"example\":{");
	for (uint32_t i = 0; i < CF_EXAMPLE_COUNT; i++) {
		const char *name = cf_coverage_example_name(i), *value = cf_coverage_example(seen, i);

		if (!*value)
			continue;
		cf_json_bytes(json, comma, strlen(comma));
		comma = ",";
		cf_json_text(json, name, strlen(name));
		cf_json_literal(json, ":");
		cf_json_bytes(json, value, strlen(value));
	}
	cf_json_literal(json, "}");
}

static void put_group(struct cf_json *json, const struct cf_coverage *coverage, uint32_t index)
{
	const struct cf_tally_group *group = &coverage->uncovered->groups[index];

	cf_json_literal(json, "{\"count\":");
	cf_json_u64(json, group->numbers.count);
	cf_json_literal(json, ",");
	cf_tally_key_json(coverage->uncovered, group, json);
	put_cells(json, &coverage->seen[index]);
	put_example(json, &coverage->seen[index]);
	cf_json_literal(json, "}");
}

static int put_uncovered(struct cf_json *json, const struct cf_coverage_told *report, char *piece, FILE *to)
{
	const struct cf_tally *tally = report->coverage->uncovered;
	uint64_t events = tally->not_grouped.count;
	uint32_t *order = cf_tally_order(tally);

	if (tally->count && !order)
		return -1;
	for (size_t i = 0; i < tally->count; i++)
		events += tally->groups[i].numbers.count;
	cf_json_literal(json, ",\"uncovered\":{\"count\":");
	cf_json_u64(json, events);
	cf_json_member_u64(json, "groups", tally->count);
	cf_json_member_u64(json, "not_grouped", tally->not_grouped.count);
	cf_json_literal(json, ",\"top\":[");
	for (size_t i = 0; i < tally->count && i < report->top; i++) {
		if (i)
			cf_json_literal(json, ",");
		put_group(json, report->coverage, order[i]);
		write_out(json, piece, to);
	}
	cf_json_literal(json, "]}");
	free(order);
	return 0;
}

int cf_coverage_report_json(const struct cf_coverage_told *report, FILE *to)
{
	static char piece[PIECE_MAX];
	size_t all, used = cf_coverage_used(report->coverage, &all);
	struct cf_json json;

	cf_json_begin(&json, piece, sizeof(piece));
	cf_json_literal(&json, "{\"schema_version\":\"1.0.0\",\"type\":\"policy_coverage\"");
	put_text(&json, "policy", report->policy);
	cf_told_json(report->told, &json);
	cf_json_member_u64(&json, "used", used);
	cf_json_member_u64(&json, "unused", all - used);
	put_rules(&json, report->coverage, piece, to);
	if (put_uncovered(&json, report, piece, to) < 0)
		return -1;
	cf_json_literal(&json, "}\n");
	write_out(&json, piece, to);
	return fflush(to) != 0 || ferror(to) || json.overflow ? -1 : 0;
}
