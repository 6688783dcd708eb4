/* SPDX-License-Identifier: MIT
 * cellflow run: from options to cf_run_options. What is done with them is the supervisor's. */
#include <stdio.h>
#include <string.h>
#include "api.h"
#include "cmd.h"
#include "cmd_run.h"
#include "log.h"
#include "select_table.h"

/* --cell is taken: it says which cell the command line describes. */
#define SELECT_CELL "select-cell"

int cf_cmd_run_fill(const struct cf_verb *verb, struct cf_cmd_run *given, struct cf_plan_cell *cell, const char **args,
		    struct cf_run_options *run, struct cf_error *error)
{
	int wants_cell;

	cf_log_set_level(given->verbose ? CF_LOG_DEBUG : given->quiet ? CF_LOG_ERROR : CF_LOG_INFO);
	if (given->quiet && given->verbose)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--quiet and --verbose: give one of them");
	if (!given->config && !given->cell.netns && !given->cell.pid)
		return cf_fail(error, CF_FAIL_USAGE, 0,
			       "%s: nothing to watch (give --netns NAME, --pid PID, or a policy with -c FILE)",
			       verb->name);
	if (given->run_id && strlen(given->run_id) >= sizeof(run->metadata.run_id))
		return cf_fail(error, CF_FAIL_USAGE, 0, "--run-id: longer than %zu bytes",
			       sizeof(run->metadata.run_id) - 1);
	if (given->run_id)
		strcpy(run->metadata.run_id, given->run_id);
	if (cf_cell_options_aliases(&given->cell, error) < 0)
		return -1;
	wants_cell = cf_cell_options_fill(&given->cell, cell, error);
	if (wants_cell < 0 || cf_cmd_fail_on(&given->fail_on, &run->fail_on, error) < 0 ||
	    cf_cell_options_required(&given->require, &run->required, error) < 0 ||
	    cf_cmd_args(&given->args, args, error) < 0)
		return -1;
	run->policy_path = given->config;
	run->args = args;
	run->cell = wants_cell ? cell : NULL;
	run->user = given->user;
	run->ring_bytes = (uint64_t)given->ring_mb << 20;
	run->flow_entries = (uint32_t)given->flow_entries;
	run->connections_cap = (uint64_t)given->connections_cap;
	run->wake_interval_ns = (uint64_t)given->wake_us * 1000;
	run->drain_ms = (uint64_t)given->drain_s * 1000;
	run->summary_record = given->summary_record;
	run->watch = given->watch;
	run->record = (struct cf_record_options){ .path = given->record,
						  .replace = given->force,
						  .part_bytes = (uint64_t)given->record_mb << 20,
						  .part_ns = (uint64_t)given->record_s * 1000000000ULL };
	if (!given->record && (given->force || given->record_mb || given->record_s))
		return cf_fail(error, CF_FAIL_USAGE, 0, "--%s: only with --record FILE",
			       given->force	  ? "force"
			       : given->record_mb ? "record-size"
						  : "record-time");
	if ((run->ring_bytes & (run->ring_bytes - 1)) != 0)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--ring-size: %lld is not a power of two", given->ring_mb);
	return 0;
}

static int run(int argc, char **argv)
{
	struct cf_cmd_run given = CF_CMD_RUN_DEFAULTS;
	struct cf_select_options select = { 0 };
	struct cf_plan_cell cell = { 0 };
	static struct cf_selection selection = { .is_live = 1 };
	struct cf_run_options options = { .selection = &selection };
	const char *args[2 * CF_OPTION_LIST_MAX + 1];
	struct cf_error error = { 0 };
	int operands;
	const struct cf_option table[] = {
		CF_CMD_RUN_CELL_OPTIONS(given),
		CF_SELECT_OPTIONS(select, SELECT_CELL),
		CF_SELECT_FILTER("since", "TIME", "observed at or after a time, or in +30s, +5m, +2h, +1d", select,
				 CF_SELECT_SINCE),
		CF_SELECT_FILTER("until", "TIME", "observed before a time (or in +5m); then the run ends", select,
				 CF_SELECT_UNTIL),
		{ "run-id", 0, CF_OPTION_TEXT, "ID", "run_id of every record", &given.run_id, 0, 0 },
		{ "fail-on", 0, CF_OPTION_LIST, "WHAT",
		  "deny (exit 8), loss (7) or script-error (4); may be given often", &given.fail_on, 0, 0 },
		{ "summary-record", 0, CF_OPTION_FLAG, NULL, "end every output with the summary as a record",
		  &given.summary_record, 0, 0 },
		{ "record", 0, CF_OPTION_TEXT, "FILE",
		  "record what the policy is given, for info and replay;\na file that exists is refused", &given.record,
		  0, 0 },
		CF_CMD_RUN_FILE_OPTIONS(given),
		CF_CMD_RUN_SIZE_OPTIONS(given),
		{ 0 },
	};
	int rc = cf_options_parse(&cf_verb_run, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0 && operands > 0)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "run: unexpected \"%s\" (a policy is given with -c FILE)",
			     argv[0]);
	if (rc < 0 || cf_cmd_run_fill(&cf_verb_run, &given, &cell, args, &options, &error) < 0 ||
	    cf_select_fill(&select, SELECT_CELL, &selection, &error) < 0)
		return cf_cmd_failed(&error);
	return cf_supervisor_run(&options);
}

const struct cf_verb cf_verb_run = {
	.name = "run",
	.arguments = "[-c FILE] [--netns NAME|PATH | --pid PID] [OPTION]...",
	.summary = "watch cells and write a decision record for each flow",
	.notes =
		"Without --cell, --netns and --pid the options from --interface to --bpf-object are those of all cells "
		"of\n"
		"the policy.\n\n"
		"CELLOS_PER_FLOW_BACKEND (ebpf or nflog, where CELLOS_PER_FLOW_REALTIME or\n"
		"CELLOS_FIRECRACKER_PER_FLOW_EBPF is exactly 1) and CELLOS_EBPF_OBJECT_PATH are read for --sources "
		"and\n"
		"--bpf-object, after the variables of cellflow's own.\n\n"
		"Signals: TERM and INT drain, print the summary, detach and end (a second one: at once);\n"
		"HUP reads the policy again and opens the outputs anew, USR1 prints the numbers so far.\n\n"
		"Examples:\n"
		"  cellflow run --netns build-42\n"
		"  cellflow run --netns build-42 --sources ebpf,nflog --events opened,closed,logged\n"
		"  cellflow run -c egress.lua -a team=web >> decisions.jsonl\n",
	.run = run,
};
