/* SPDX-License-Identifier: MIT
 *
 * The options that say what of the output to show and how: filters (read by lua/cellflow/selection.lua, whose words
 * these are), --limit, -o and --color. For every verb that writes records; a filter changes the output and nothing
 * else.
 */
#ifndef CF_SELECT_H
#define CF_SELECT_H
#include "error.h"
#include "options.h"
#include "plan.h"

enum cf_select_filter {
	CF_SELECT_WHERE,
	CF_SELECT_KIND,
	CF_SELECT_DECISION,
	CF_SELECT_PROTOCOL,
	CF_SELECT_PORT,
	CF_SELECT_FROM_PORT,
	CF_SELECT_TO_PORT,
	CF_SELECT_IP,
	CF_SELECT_FROM_IP,
	CF_SELECT_TO_IP,
	CF_SELECT_CELL,
	CF_SELECT_REASON,
	CF_SELECT_RULE,
	CF_SELECT_SINCE,
	CF_SELECT_UNTIL,
	CF_SELECT_COUNT,
};

struct cf_select_options { /* as the command line has it */
	struct cf_option_list filters[CF_SELECT_COUNT];
	const char *output, *color; /* NULL: not given */
	long long limit; /* 0: none */
};

enum { CF_SELECT_WORDS_MAX = 2 * CF_SELECT_COUNT * CF_OPTION_LIST_MAX + 1 };

struct cf_selection { /* what a run is handed */
	const char *words[CF_SELECT_WORDS_MAX]; /* option, value, option, value, ..., NULL: for cf_script_select */
	uint64_t limit; /* for cf_emit_limit; 0: none */
	uint32_t format; /* enum cf_output_format of stdout; CF_SELECT_AS_PLANNED: as the plan says */
	int color; /* 1: stdout may have colours */
	int is_silent; /* 1: there are no outputs, whatever the plan says */
	int is_live; /* 1: what is to come is selected, so --until lies ahead */
	double now; /* seconds since 1970 from which "5m" counts, whenever a worker reads the words */
};

enum { CF_SELECT_AS_PLANNED = 255 };

/* `cell_name` is what the verb calls the option for cells. Looks at stdout, NO_COLOR and the time of day. The texts
 * stay the options'. 0, or -1 with CF_FAIL_USAGE. */
int cf_select_fill(const struct cf_select_options *given, const char *cell_name, struct cf_selection *selection,
		   struct cf_error *error);

/* -o into the plan: the format of its stdout, which it gets when it has none, or no output at all. 0, or -1 when the
 * plan is full. */
int cf_select_merge(const struct cf_selection *selection, struct cf_plan *plan, struct cf_error *error);
#endif
