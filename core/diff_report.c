/* SPDX-License-Identifier: MIT
 * A comparison in words: see diff_report.h. Texts of policies and cells go out escaped. */
#include <inttypes.h>
#include <string.h>
#include "diff_report.h"
#include "json.h"

static void put_text(FILE *to, const char *bytes, size_t len)
{
	char escaped[6 * CF_DIFF_SHOWN_MAX + 2];
	size_t used = cf_json_string(bytes, len, escaped, sizeof(escaped));

	if (used > 2)
		fwrite(escaped + 1, 1, used - 2, to);
}

static void put_shown(FILE *to, const char *before, const struct cf_diff_shown *shown, const char *after)
{
	if (!shown->bytes)
		return;
	fputs(before, to);
	put_text(to, shown->bytes, shown->len);
	fputs(after, to);
}

static void put_said(FILE *to, char sign, const struct cf_diff_said *said)
{
	static const char *const endings[] = { "", "no record: deduplicated", "no record: format gave none",
					       "no record: it could not be written" };

	fprintf(to, "          %c ", sign);
	if (said->ending) {
		fprintf(to, "%s\n", said->ending <= CF_ENDING_FAILED ? endings[said->ending] : "no record");
		return;
	}
	fputs(cf_name_decision(said->decision), to);
	put_shown(to, " ", &said->reason, "");
	put_shown(to, ", rule \"", &said->rule, "\"");
	put_shown(to, ", at ", &said->place, "");
	if (!said->place.bytes)
		fputs(", by the default mapping", to);
	fputc('\n', to);
}

static void put_protocol(FILE *to, const struct cf_event *event)
{
	const char *protocol = cf_name_protocol(event->protocol);

	if (protocol)
		fprintf(to, "/%s", protocol);
	else
		fprintf(to, "/%u", event->protocol);
}

static void put_end(FILE *to, const struct cf_event *event, const uint8_t *address, uint16_t port)
{
	char text[CF_ADDRESS_TEXT_LEN];
	int has_port = event->flags & CF_EVENT_PORTS;

	text[cf_address_text(address, event->family, text)] = '\0';
	fprintf(to, has_port && event->family == CF_FAMILY_IPV6 ? "[%s]" : "%s", text);
	if (has_port)
		fprintf(to, ":%u", port);
}

static void put_group(FILE *to, const struct cf_diff_group *group)
{
	const struct cf_event *event = (const struct cf_event *)(const void *)group->flow.event;
	const char *kind = cf_name_kind(event->kind);

	fprintf(to, "\n%9" PRIu64 " ", group->count);
	put_end(to, event, event->dst_addr, event->dst_port);
	put_protocol(to, event);
	fputc('\n', to);
	put_said(to, '-', &group->said[0]);
	put_said(to, '+', &group->said[1]);
	fprintf(to, "            e.g. %s", kind ? kind : "event");
	put_shown(to, " in ", &group->cell, "");
	fputs(": ", to);
	put_end(to, event, event->src_addr, event->src_port);
	fputs(" -> ", to);
	put_end(to, event, event->dst_addr, event->dst_port);
	fprintf(to, " at %s, decision %s\n", group->flow.time, group->flow.id);
}

static uint64_t events_shown(const struct cf_diff_report *report)
{
	uint64_t events = 0;

	for (size_t i = 0; i < report->shown; i++)
		events += report->groups[i].count;
	return events;
}

static void put_policy(FILE *to, char sign, const char *name, const struct cf_diff_end *end)
{
	fprintf(to, "%c ", sign);
	put_text(to, name, strnlen(name, CF_DIFF_SHOWN_MAX));
	fprintf(to, ": %" PRIu64 " records", end->records);
	if (end->deduplicated)
		fprintf(to, ", %" PRIu64 " deduplicated", end->deduplicated);
	if (end->suppressed)
		fprintf(to, ", %" PRIu64 " suppressed", end->suppressed);
	if (end->failed)
		fprintf(to, ", %" PRIu64 " failed", end->failed);
	if (end->script_errors)
		fprintf(to, ", %" PRIu64 " script errors", end->script_errors);
	fputc('\n', to);
}

int cf_diff_report_text(const struct cf_diff_report *report, FILE *to)
{
	const struct cf_diff_counts *counts = report->counts;
	uint64_t events = events_shown(report);

	for (int side = 0; side < CF_DIFF_SIDES; side++)
		put_policy(to, "-+"[side], report -> names[side], &report -> ends[side]);
	if (counts->changed == 0) {
		fprintf(to, "no difference in %" PRIu64 " events\n", counts->events);
		return fflush(to) != 0 || ferror(to) ? -1 : 0;
	}
	fprintf(to,
		"%" PRIu64 " of %" PRIu64 " events changed: decision %" PRIu64 ", reason %" PRIu64 ", rule %" PRIu64
		", presence %" PRIu64 " (%" PRIu64 " gone, %" PRIu64 " new)\n",
		counts->changed, counts->events, counts->decision, counts->reason, counts->rule,
		counts->only[0] + counts->only[1], counts->only[0], counts->only[1]);
	for (size_t i = 0; i < report->shown; i++)
		put_group(to, &report->groups[i]);
	if (events < counts->changed)
		fprintf(to, "\n%9" PRIu64 " more in %zu other groups%s (--limit)\n", counts->changed - events,
			report->group_count - report->shown, counts->not_grouped ? " and without one" : "");
	return fflush(to) != 0 || ferror(to) ? -1 : 0;
}
