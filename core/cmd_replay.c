/* SPDX-License-Identifier: MIT
 * cellflow replay: recordings through a policy, in their own time. The options; the rest is cmd_replay_run.c's. */
#include <stdlib.h>
#include <string.h>
#include "api.h"
#include "cmd.h"
#include "cmd_replay.h"
#include "log.h"
#include "select_table.h"

struct replay_arguments {
	const char *run_id, *pace;
	struct cf_option_list args, fail_on;
	struct cf_cmd_capture capture;
	struct cf_select_options select;
	int verbose;
};

static int parse_pace(const char *text, double *pace, struct cf_error *error)
{
	char *after = NULL;

	*pace = 0;
	if (!text || strcmp(text, "max") == 0)
		return 0;
	*pace = strtod(text, &after);
	if (after == text || (strcmp(after, "x") != 0 && *after) || !(*pace >= 0.001 && *pace <= 1e6))
		return cf_fail(error, CF_FAIL_USAGE, 0,
			       "--pace: want a multiple of the recorded time like 1x or 10x (or max), got \"%s\"",
			       text);
	return 0;
}

static int fill(const struct replay_arguments *given, struct cf_plan_metadata *metadata, const char **args,
		struct cf_cmd_replay *replay, struct cf_error *error)
{
	if (replay->is_quiet && given->verbose)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--quiet and --verbose: give one of them");
	if (replay->path_count == 0)
		return cf_fail(error, CF_FAIL_USAGE, 0, "replay: want at least one recording or capture");
	if (given->run_id && strlen(given->run_id) >= sizeof(metadata->run_id))
		return cf_fail(error, CF_FAIL_USAGE, 0, "--run-id: longer than %zu bytes",
			       sizeof(metadata->run_id) - 1);
	if (given->run_id)
		strcpy(metadata->run_id, given->run_id);
	replay->metadata = metadata;
	if (cf_cmd_args(&given->args, args, error) < 0)
		return -1;
	replay->args = given->args.count ? args : NULL;
	if (parse_pace(given->pace, &replay->pace, error) < 0)
		return -1;
	return cf_cmd_fail_on(&given->fail_on, &replay->fail_on, error);
}

static int run(int argc, char **argv)
{
	struct replay_arguments given = { 0 };
	static struct cf_selection selection;
	struct cf_cmd_replay replay = { .selection = &selection };
	struct cf_plan_metadata metadata = { 0 };
	static struct cf_capture_options capture;
	const char *args[2 * CF_OPTION_LIST_MAX + 1];
	struct cf_error error = { 0 };
	int has_capture;
	const struct cf_option table[] = {
		{ "config", 'c', CF_OPTION_TEXT, "FILE", "policy file; without it the default mapping",
		  &replay.policy_path, 0, 0 },
		{ "arg", 'a', CF_OPTION_LIST, "NAME=VALUE",
		  "args.NAME in the policy; may be given often (default: as\nrecorded)", &given.args, 0, 0 },
		{ "run-id", 0, CF_OPTION_TEXT, "ID", "run_id of every record (default: as recorded)", &given.run_id, 0,
		  0 },
		CF_CMD_CAPTURE_OPTIONS(given.capture),
		{ "pace", 0, CF_OPTION_TEXT, "Nx", "N seconds of the recording in one (default: max, all there can be)",
		  &given.pace, 0, 0 },
		{ "fail-on", 0, CF_OPTION_LIST, "WHAT",
		  "deny (exit 8), loss (7) or script-error (4); may be given often", &given.fail_on, 0, 0 },
		{ "summary-record", 0, CF_OPTION_FLAG, NULL, "end the output with the summary as a record",
		  &replay.summary_record, 0, 0 },
		CF_SELECT_OPTIONS(given.select, "cell"),
		CF_SELECT_PAST_OPTIONS(given.select),
		{ "verbose", 'v', CF_OPTION_FLAG, NULL, "log more", &given.verbose, 0, 0 },
		{ "quiet", 'q', CF_OPTION_FLAG, NULL, "log errors only, no progress, no summary", &replay.is_quiet, 0,
		  0 },
		{ 0 },
	};
	int rc = cf_options_parse(&cf_verb_replay, table, argc, argv, &replay.path_count, &error);

	if (rc > 0)
		return 0;
	replay.paths = argv;
	cf_log_set_level(given.verbose ? CF_LOG_DEBUG : replay.is_quiet ? CF_LOG_ERROR : CF_LOG_INFO);
	if (rc < 0 || fill(&given, &metadata, args, &replay, &error) < 0 ||
	    (has_capture = cf_cmd_capture(&given.capture, &capture, &error)) < 0 ||
	    cf_select_fill(&given.select, "cell", &selection, &error) < 0)
		return cf_cmd_failed(&error);
	replay.capture = has_capture ? &capture : NULL;
	return cf_cmd_replay_run(&replay);
}

const struct cf_verb cf_verb_replay = {
	.name = "replay",
	.arguments = "[-c FILE] [OPTION]... FILE...",
	.summary = "recordings or captures through a policy: the same records every time",
	.notes = "Needs no privileges. Records go to stdout, whatever outputs the policy declares; cells are the\n"
		 "recorded ones. Time is the recording's. Parts of one recording are given in their order;\n"
		 "captures (pcap, pcapng) in any.\n\n"
		 "Examples:\n"
		 "  cellflow replay -c egress.lua yesterday.rec > decisions.jsonl\n"
		 "  cellflow replay -c egress.lua --cell-net web=10.77.0.2 traffic.pcap\n"
		 "  cellflow replay -c tomorrow.lua --fail-on deny yesterday.rec yesterday.rec.1\n",
	.run = run,
};
