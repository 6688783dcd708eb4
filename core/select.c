/* SPDX-License-Identifier: MIT
 * What of the output to show and how, as the command line has it: see select.h. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "api.h"
#include "select.h"

/* As selection.lua knows them; that of cells goes by the verb's name for it. */
static const char *const words[CF_SELECT_COUNT] = {
	[CF_SELECT_WHERE] = "where",	   [CF_SELECT_KIND] = "kind",	  [CF_SELECT_DECISION] = "decision",
	[CF_SELECT_PROTOCOL] = "protocol", [CF_SELECT_PORT] = "port",	  [CF_SELECT_FROM_PORT] = "from-port",
	[CF_SELECT_TO_PORT] = "to-port",   [CF_SELECT_IP] = "ip",	  [CF_SELECT_FROM_IP] = "from-ip",
	[CF_SELECT_TO_IP] = "to-ip",	   [CF_SELECT_REASON] = "reason", [CF_SELECT_RULE] = "rule",
	[CF_SELECT_SINCE] = "since",	   [CF_SELECT_UNTIL] = "until",
};

static int fill_format(const char *text, uint32_t *format, struct cf_error *error)
{
	static const char *const names[] = { "json", "compact", "table", "csv" }; /* enum cf_output_format */
	int choice = text ? cf_option_choice(text, names, CF_FORMAT_COUNT, "--output", error) : CF_SELECT_AS_PLANNED;

	*format = (uint32_t)choice;
	return choice < 0 ? -1 : 0;
}

/* https://no-color.org: any text that is not empty. What was asked for in words goes before it. */
static int fill_color(const char *text, int *color, struct cf_error *error)
{
	static const char *const names[] = { "auto", "never", "always" };
	const char *no_color = getenv("NO_COLOR");
	int choice = text ? cf_option_choice(text, names, 3, "--color", error) : 0;

	if (choice < 0)
		return -1;
	*color = choice == 2 || (choice == 0 && !(no_color && *no_color) && isatty(STDOUT_FILENO));
	return 0;
}

int cf_select_fill(const struct cf_select_options *given, const char *cell_name, struct cf_selection *selection,
		   struct cf_error *error)
{
	struct timespec now;
	int count = 0;

	for (int i = 0; i < CF_SELECT_COUNT; i++) {
		for (int j = 0; j < given->filters[i].count; j++) {
			selection->words[count++] = words[i] ? words[i] : cell_name;
			selection->words[count++] = given->filters[i].items[j];
		}
	}
	selection->words[count] = NULL;
	selection->limit = (uint64_t)given->limit;
	clock_gettime(CLOCK_REALTIME, &now);
	selection->now = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	if (fill_format(given->output, &selection->format, error) < 0)
		return -1;
	return fill_color(given->color, &selection->color, error);
}

int cf_select_merge(const struct cf_selection *selection, struct cf_plan *plan, struct cf_error *error)
{
	struct cf_plan_output *output = plan->outputs;

	if (selection->is_silent)
		plan->output_count = 0;
	if (selection->is_silent || selection->format == CF_SELECT_AS_PLANNED)
		return 0;
	while (output < plan->outputs + plan->output_count && output->kind != CF_OUTPUT_STDOUT)
		output++;
	if (output == plan->outputs + plan->output_count) {
		output = cf_plan_add_output(plan);
		if (!output)
			return cf_fail(error, CF_FAIL_USAGE, 0,
				       "--output: the policy has %d outputs already, and none of them is stdout",
				       CF_OUTPUTS_MAX);
		output->kind = CF_OUTPUT_STDOUT;
		strcpy(output->place, "command line");
	}
	output->format = selection->format;
	return 0;
}
