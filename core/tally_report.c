/* SPDX-License-Identifier: MIT
 * Groups of records as a table for people: see tally_report.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "record_words.h"
#include "tally_report.h"

enum {
	NUMBERS = 5, /* columns before those of the fields */
	COLUMNS = NUMBERS + CF_TALLY_FIELDS_MAX,
	CELL_MAX = 32768, /* longer than any value */
	GAP = 2,
};

static const char *const titles[NUMBERS] = { "COUNT", "ALLOW", "DENY", "PACKETS", "BYTES" };

struct table {
	const struct cf_tally *tally;
	const uint32_t *order;
	size_t shown;
	size_t widths[COLUMNS];
	char cell[CELL_MAX];
};

void cf_tally_word(const char *value, struct cf_json *out)
{
	if (*value == '"' || !*value)
		cf_word_json(out, value, strlen(value));
	else
		cf_json_bytes(out, value, strlen(value));
}

static const char *number_cell(struct table *table, const struct cf_tally_numbers *numbers, uint32_t column)
{
	const uint64_t values[NUMBERS] = { numbers->count, numbers->decisions[CF_ALLOW], numbers->decisions[CF_DENY],
					   numbers->packets, numbers->bytes };

	if (column >= 3 && !numbers->ended)
		return "-";
	snprintf(table->cell, sizeof(table->cell), "%" PRIu64, values[column]);
	return table->cell;
}

static const char *value_cell(struct table *table, const struct cf_tally_group *group, uint32_t field)
{
	struct cf_json out;

	cf_json_begin(&out, table->cell, sizeof(table->cell) - 1);
	cf_tally_word(cf_tally_value(table->tally, group, field), &out);
	*out.at = '\0';
	return table->cell;
}

static const char *title_cell(struct table *table, uint32_t field)
{
	const char *name = cf_member_names[table->tally->fields[field]];
	size_t len = strlen(name);

	for (size_t i = 0; i <= len; i++)
		table->cell[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
	return table->cell;
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((uint8_t)*text & 0xc0) != 0x80;
	return width;
}

static void widen(size_t *width, const char *text)
{
	size_t needed = width_of(text);

	*width = needed > *width ? needed : *width;
}

static void measure_numbers(struct table *table, const struct cf_tally_numbers *numbers)
{
	for (uint32_t i = 0; i < NUMBERS; i++)
		widen(&table->widths[i], number_cell(table, numbers, i));
}

static void put_numbers(struct table *table, const struct cf_tally_numbers *numbers, FILE *to)
{
	for (uint32_t i = 0; i < NUMBERS; i++)
		fprintf(to, "%*s", (int)(table->widths[i] + (i ? GAP : 0)), number_cell(table, numbers, i));
}

static void put_field(struct table *table, const char *text, uint32_t field, FILE *to)
{
	size_t width = table->widths[NUMBERS + field];

	fprintf(to, "%*s%s", GAP, "", text);
	if (field + 1 < table->tally->field_count)
		fprintf(to, "%*s", (int)(width - width_of(text)), "");
}

static void measure(struct table *table, const struct cf_tally_numbers *others)
{
	const struct cf_tally *tally = table->tally;

	for (uint32_t i = 0; i < NUMBERS; i++)
		table->widths[i] = strlen(titles[i]);
	for (uint32_t i = 0; i < tally->field_count; i++)
		table->widths[NUMBERS + i] = width_of(title_cell(table, i));
	measure_numbers(table, others);
	measure_numbers(table, &tally->not_grouped);
	for (size_t row = 0; row < table->shown; row++) {
		const struct cf_tally_group *group = &tally->groups[table->order[row]];

		measure_numbers(table, &group->numbers);
		for (uint32_t i = 0; i < tally->field_count; i++)
			widen(&table->widths[NUMBERS + i], value_cell(table, group, i));
	}
}

static void put_header(struct table *table, FILE *to)
{
	const struct cf_tally *tally = table->tally;

	fputs("\nby ", to);
	for (uint32_t i = 0; i < tally->field_count; i++)
		fprintf(to, "%s%s", i ? ", " : "", cf_member_names[tally->fields[i]]);
	fprintf(to, ": %zu group%s\n", tally->count, tally->count == 1 ? "" : "s");
	for (uint32_t i = 0; i < NUMBERS; i++)
		fprintf(to, "%*s", (int)(table->widths[i] + (i ? GAP : 0)), titles[i]);
	for (uint32_t i = 0; i < tally->field_count; i++)
		put_field(table, title_cell(table, i), i, to);
	fputc('\n', to);
}

static void put_table(struct table *table, FILE *to)
{
	const struct cf_tally *tally = table->tally;
	struct cf_tally_numbers others = { 0 };

	for (size_t row = table->shown; row < tally->count; row++)
		cf_tally_sum(&others, &tally->groups[table->order[row]].numbers);
	measure(table, &others);
	put_header(table, to);
	for (size_t row = 0; row < table->shown; row++) {
		const struct cf_tally_group *group = &tally->groups[table->order[row]];

		put_numbers(table, &group->numbers, to);
		for (uint32_t i = 0; i < tally->field_count; i++)
			put_field(table, value_cell(table, group, i), i, to);
		fputc('\n', to);
	}
	if (others.count) {
		put_numbers(table, &others, to);
		fprintf(to, "%*s(others) in %zu more groups (--top)\n", GAP, "", tally->count - table->shown);
	}
	if (tally->not_grouped.count) {
		put_numbers(table, &tally->not_grouped, to);
		fprintf(to, "%*s(not grouped) there were too many groups, or a value was too long\n", GAP, "");
	}
}

static void put_count(FILE *to, uint64_t count, const char *what)
{
	if (count)
		fprintf(to, ", %" PRIu64 " %s", count, what);
}

void cf_told_text(const struct cf_told *told, FILE *to)
{
	fprintf(to, "%" PRIu64 " record%s (%" PRIu64 " allow, %" PRIu64 " deny) of %" PRIu64 " event%s", told->records,
		told->records == 1 ? "" : "s", told->decisions[CF_ALLOW], told->decisions[CF_DENY], told->events,
		told->events == 1 ? "" : "s");
	put_count(to, told->deduplicated, "deduplicated");
	put_count(to, told->suppressed, "suppressed");
	put_count(to, told->filtered, "filtered");
	put_count(to, told->failed, "failed");
	put_count(to, told->refused, "refused");
	put_count(to, told->script_errors, "script errors");
	put_count(to, told->lost, "lost when it was recorded");
	fputs(told->is_whole ? "\n" : "; the recording was not read to its end, or has none\n", to);
}

int cf_tally_report_text(const struct cf_tally_report *report, FILE *to)
{
	static struct table table;

	cf_told_text(report->told, to);
	for (int i = 0; i < report->tally_count; i++) {
		const struct cf_tally *tally = report->tallies[i];
		uint32_t *order = cf_tally_order(tally);

		if (tally->count && !order)
			return -1;
		table.tally = tally;
		table.order = order;
		table.shown = tally->count < report->top ? tally->count : report->top;
		put_table(&table, to);
		free(order);
	}
	return fflush(to) != 0 || ferror(to) ? -1 : 0;
}
