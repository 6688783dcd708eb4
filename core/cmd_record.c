/* SPDX-License-Identifier: MIT
 * cellflow record: a run that is recorded and writes nothing else. What is done is the supervisor's, as for run. */
#include "api.h"
#include "cmd.h"
#include "cmd_run.h"
#include "log.h"
#include "select_table.h"

static int run(int argc, char **argv)
{
	struct cf_cmd_run given = CF_CMD_RUN_DEFAULTS;
	struct cf_select_options select = { 0 };
	struct cf_plan_cell cell = { 0 };
	static struct cf_selection selection = { .is_live = 1, .is_silent = 1 };
	struct cf_run_options options = { .selection = &selection };
	const char *args[2 * CF_OPTION_LIST_MAX + 1];
	struct cf_error error = { 0 };
	int operands;
	const struct cf_option table[] = {
		CF_CMD_RUN_CELL_OPTIONS(given),
		{ "limit", 0, CF_OPTION_NUMBER, "N", "end after so many events", &select.limit, 1, 1LL << 53 },
		CF_SELECT_FILTER("until", "TIME", "end at a time, or in +30s, +5m, +2h, +1d", select, CF_SELECT_UNTIL),
		{ "run-id", 0, CF_OPTION_TEXT, "ID", "run_id of its records", &given.run_id, 0, 0 },
		CF_CMD_RUN_FILE_OPTIONS(given),
		CF_CMD_RUN_SIZE_OPTIONS(given),
		{ 0 },
	};
	int rc = cf_options_parse(&cf_verb_record, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0 && operands != 1)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "record: want one file to record into, got %d", operands);
	given.record = argv[0];
	if (rc < 0 || cf_cmd_run_fill(&cf_verb_record, &given, &cell, args, &options, &error) < 0 ||
	    cf_select_fill(&select, "select-cell", &selection, &error) < 0)
		return cf_cmd_failed(&error);
	return cf_supervisor_run(&options);
}

const struct cf_verb cf_verb_record = {
	.name = "record",
	.arguments = "FILE [-c POLICY] [--netns NAME|PATH | --pid PID] [OPTION]...",
	.summary = "watch cells and only record, for replay and its kin",
	.notes = "As run --record FILE, without records: neither stdout nor the outputs of a policy are written. A\n"
		 "policy says which cells there are, and is the one that a replay without -c has.\n\n"
		 "Signals: TERM and INT end it, HUP reads the policy again, USR1 prints the numbers so far.\n\n"
		 "Examples:\n"
		 "  cellflow record day.rec --netns build-42 --events opened,closed\n"
		 "  cellflow record day.rec -c egress.lua --until +8h --record-size 256\n",
	.run = run,
};
