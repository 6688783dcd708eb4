/* SPDX-License-Identifier: MIT
 * A comparison as one JSON object on one line: see diff_report.h. */
#include <inttypes.h>
#include <string.h>
#include "diff_report.h"
#include "json.h"

enum {
	PIECE_MAX = 64 * 1024
}; /* longer than any group: its eight texts are cut at CF_DIFF_SHOWN_MAX, escaped or not */

static void put_number(struct cf_json *json, const char *name, uint64_t value)
{
	cf_json_literal(json, ",\"");
	cf_json_bytes(json, name, strlen(name));
	cf_json_literal(json, "\":");
	cf_json_u64(json, value);
}

static void put_word(struct cf_json *json, const char *name, const char *word)
{
	if (word)
		cf_json_member_text(json, name, word, strlen(word));
}

static void put_shown(struct cf_json *json, const char *name, const struct cf_diff_shown *shown)
{
	if (shown->bytes)
		cf_json_member_text(json, name, shown->bytes, shown->len);
}

static void put_address(struct cf_json *json, const char *name, const uint8_t *address, uint32_t family)
{
	char text[CF_ADDRESS_TEXT_LEN];

	cf_json_member_text(json, name, text, cf_address_text(address, family, text));
}

/* The record of this side; without one, how the event ended. */
static void put_said(struct cf_json *json, const char *name, const struct cf_diff_said *said)
{
	static const char *const endings[] = { "", "deduplicated", "suppressed", "failed" };

	cf_json_literal(json, ",\"");
	cf_json_bytes(json, name, strlen(name));
	cf_json_literal(json, "\":{\"record\":");
	if (said->ending) {
		cf_json_literal(json, "false");
		put_word(json, "ending", said->ending <= CF_ENDING_FAILED ? endings[said->ending] : NULL);
	} else {
		cf_json_literal(json, "true");
		put_word(json, "decision", cf_name_decision(said->decision));
		put_shown(json, "reason_code", &said->reason);
		put_shown(json, "rule", &said->rule);
		put_shown(json, "decided_at", &said->place);
	}
	cf_json_literal(json, "}");
}

static void put_destination(struct cf_json *json, const struct cf_event *event)
{
	put_address(json, "dst_addr", event->dst_addr, event->family);
	if (event->flags & CF_EVENT_PORTS)
		put_number(json, "dst_port", event->dst_port);
	put_word(json, "protocol", cf_name_protocol(event->protocol));
	put_number(json, "protocol_number", event->protocol);
}

static void put_group(struct cf_json *json, const struct cf_diff_group *group)
{
	const struct cf_event *event = (const struct cf_event *)(const void *)group->flow.event;

	cf_json_literal(json, "{\"count\":");
	cf_json_u64(json, group->count);
	put_destination(json, event);
	put_said(json, "old", &group->said[0]);
	put_said(json, "new", &group->said[1]);
	cf_json_literal(json, ",\"example\":{\"decision_id\":");
	cf_json_text(json, group->flow.id, strlen(group->flow.id));
	put_shown(json, "cell_id", &group->cell);
	put_word(json, "kind", cf_name_kind(event->kind));
	put_word(json, "direction", cf_name_direction(event->direction));
	put_address(json, "src_addr", event->src_addr, event->family);
	if (event->flags & CF_EVENT_PORTS)
		put_number(json, "src_port", event->src_port);
	put_destination(json, event);
	put_word(json, "observed_at", group->flow.time);
	cf_json_literal(json, "}}");
}

static void put_policy(struct cf_json *json, const char *name, const struct cf_diff_end *end)
{
	cf_json_literal(json, "{\"path\":");
	cf_json_text(json, name, strlen(name));
	put_number(json, "records", end->records);
	put_number(json, "deduplicated", end->deduplicated);
	put_number(json, "suppressed", end->suppressed);
	put_number(json, "failed", end->failed);
	put_number(json, "script_errors", end->script_errors);
	cf_json_literal(json, "}");
}

static void put_counts(struct cf_json *json, const struct cf_diff_report *report)
{
	const struct cf_diff_counts *counts = report->counts;
	int is_whole = !report->ends[0].has_no_end && report->ends[0].error.kind == CF_OK;

	put_number(json, "events", counts->events);
	if (is_whole)
		cf_json_literal(json, ",\"whole\":true");
	else
		cf_json_literal(json, ",\"whole\":false");
	put_number(json, "changed", counts->changed);
	cf_json_literal(json, ",\"changed_by\":{\"decision\":");
	cf_json_u64(json, counts->decision);
	put_number(json, "reason", counts->reason);
	put_number(json, "rule", counts->rule);
	put_number(json, "presence", counts->only[0] + counts->only[1]);
	cf_json_literal(json, "}");
	put_number(json, "only_old", counts->only[0]);
	put_number(json, "only_new", counts->only[1]);
	put_number(json, "groups", report->group_count);
	put_number(json, "not_grouped", counts->not_grouped);
	cf_json_literal(json, ",\"changes\":[");
}

static void write_out(struct cf_json *json, char *piece, FILE *to)
{
	fwrite(piece, 1, (size_t)(json->at - piece), to);
	cf_json_begin(json, piece, PIECE_MAX);
}

int cf_diff_report_json(const struct cf_diff_report *report, FILE *to)
{
	static char piece[PIECE_MAX];
	struct cf_json json;

	cf_json_begin(&json, piece, sizeof(piece));
	cf_json_literal(&json, "{\"schema_version\":\"1.0.0\",\"type\":\"policy_diff\",\"old\":");
	put_policy(&json, report->names[0], &report->ends[0]);
	cf_json_literal(&json, ",\"new\":");
	put_policy(&json, report->names[1], &report->ends[1]);
	put_counts(&json, report);
	for (size_t i = 0; i < report->shown; i++) {
		write_out(&json, piece, to);
		if (i > 0)
			cf_json_literal(&json, ",");
		put_group(&json, &report->groups[i]);
	}
	cf_json_literal(&json, "]}\n");
	write_out(&json, piece, to);
	return fflush(to) != 0 || ferror(to) || json.overflow ? -1 : 0;
}
