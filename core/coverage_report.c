/* SPDX-License-Identifier: MIT
 * What rules decided, as text for people: see coverage_report.h. Texts of policies and cells go out escaped. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "coverage_report.h"
#include "tally_report.h"

enum { WORD_MAX = 32768 }; /* longer than any value */

static void put_escaped(FILE *to, const char *text)
{
	char out[6 * 1024];
	struct cf_json json;

	cf_json_begin(&json, out, sizeof(out));
	cf_json_escaped(&json, text, strnlen(text, sizeof(out) / 6));
	fwrite(out, 1, (size_t)(json.at - out), to);
}

static void put_word(FILE *to, const char *value)
{
	static char out[WORD_MAX];
	struct cf_json json;

	cf_json_begin(&json, out, sizeof(out));
	cf_tally_word(value, &json);
	fwrite(out, 1, (size_t)(json.at - out), to);
}

static void put_count(FILE *to, const struct cf_coverage_count *count)
{
	if (count->decided)
		fprintf(to, "%9" PRIu64 " %9" PRIu64 "  ", count->decided, count->records);
	else
		fprintf(to, "%9s %9s  ", "never", "");
}

static void put_rules(FILE *to, const struct cf_coverage *coverage)
{
	fprintf(to, "\n%9s %9s\n", "DECIDED", "RECORDS");
	for (size_t i = 0; i < coverage->count; i++) {
		const struct cf_coverage_rule *rule = &coverage->rules[i];
		const char *decision = cf_name_decision(rule->decision);

		put_count(to, &rule->count);
		put_escaped(to, rule->place);
		if (rule->name[0]) {
			fprintf(to, ": %s \"", decision);
			put_escaped(to, rule->name);
			fputs("\"\n", to);
		} else {
			fprintf(to, ": default, %s\n", decision);
		}
	}
	if (coverage->verdict_place) {
		put_count(to, &coverage->verdict);
		put_escaped(to, coverage->verdict_place);
		fputs(": verdict\n", to);
	}
	if (coverage->mapping.decided) {
		put_count(to, &coverage->mapping);
		fputs("the default mapping: neither a rule nor verdict said anything\n", to);
	}
}

static void put_end(FILE *to, const char *address, const char *port)
{
	int is_bracketed = *port && strchr(address, ':');

	fputs(is_bracketed ? "[" : "", to);
	put_word(to, address);
	fputs(is_bracketed ? "]" : "", to);
	if (*port)
		fprintf(to, ":%s", port);
}

static void put_cells(FILE *to, const struct cf_coverage_seen *seen)
{
	const char *at = seen->cells, *before = " in ";

	for (; at && at[1]; before = ", ") {
		const char *end = strchr(at + 1, '\n');

		fputs(before, to);
		fwrite(at + 2, 1, (size_t)(end - at - 3), to); /* without its quotes */
		at = end;
	}
	fputs(seen->has_more_cells ? " and others\n" : "\n", to);
}

static void put_example(FILE *to, const struct cf_coverage_seen *seen, const char *address, const char *port)
{
	fputs("            e.g. ", to);
	put_word(to, cf_coverage_example(seen, CF_EXAMPLE_KIND));
	if (*cf_coverage_example(seen, CF_EXAMPLE_CELL)) {
		fputs(" in ", to);
		put_word(to, cf_coverage_example(seen, CF_EXAMPLE_CELL));
	}
	fputs(": ", to);
	put_end(to, cf_coverage_example(seen, CF_EXAMPLE_SRC_ADDR), cf_coverage_example(seen, CF_EXAMPLE_SRC_PORT));
	fputs(" -> ", to);
	put_end(to, address, port);
	fputs(" at ", to);
	put_word(to, cf_coverage_example(seen, CF_EXAMPLE_TIME));
	fputs(", decision ", to);
	put_word(to, cf_coverage_example(seen, CF_EXAMPLE_ID));
	fputc('\n', to);
}

static void put_group(FILE *to, const struct cf_coverage *coverage, uint32_t index)
{
	const struct cf_tally *tally = coverage->uncovered;
	const struct cf_tally_group *group = &tally->groups[index];
	const char *address = cf_tally_value(tally, group, CF_UNCOVERED_ADDR);
	const char *port = cf_tally_value(tally, group, CF_UNCOVERED_PORT);
	const char *protocol = cf_tally_value(tally, group, CF_UNCOVERED_PROTOCOL);

	fprintf(to, "%9" PRIu64 " ", group->numbers.count);
	put_end(to, address, port);
	fputc('/', to);
	put_word(to, *protocol ? protocol : cf_tally_value(tally, group, CF_UNCOVERED_NUMBER));
	put_cells(to, &coverage->seen[index]);
	if (coverage->seen[index].example)
		put_example(to, &coverage->seen[index], address, port);
}

static int put_uncovered(FILE *to, const struct cf_coverage *coverage, size_t top)
{
	const struct cf_tally *tally = coverage->uncovered;
	uint64_t events = tally->not_grouped.count, shown = 0;
	uint32_t *order = cf_tally_order(tally);

	if (tally->count && !order)
		return -1;
	for (size_t i = 0; i < tally->count; i++)
		events += tally->groups[i].numbers.count;
	fprintf(to,
		events ? "\n%" PRIu64 " events without a rule, to %zu destinations\n" : "\nno events without a rule\n",
		events, tally->count);
	for (size_t i = 0; i < tally->count && i < top; i++) {
		shown += tally->groups[order[i]].numbers.count;
		put_group(to, coverage, order[i]);
	}
	if (shown < events)
		fprintf(to, "%9" PRIu64 " more to %zu other destinations%s (--top)\n", events - shown,
			tally->count - (top < tally->count ? top : tally->count),
			tally->not_grouped.count ? " and more that cannot be held" : "");
	free(order);
	return 0;
}

int cf_coverage_report_text(const struct cf_coverage_told *report, FILE *to)
{
	size_t all, used = cf_coverage_used(report->coverage, &all);

	put_escaped(to, report->policy);
	fprintf(to, ": %zu of %zu rules decided something\n", used, all);
	cf_told_text(report->told, to);
	put_rules(to, report->coverage);
	if (put_uncovered(to, report->coverage, report->top) < 0)
		return -1;
	return fflush(to) != 0 || ferror(to) ? -1 : 0;
}
