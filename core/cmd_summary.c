/* SPDX-License-Identifier: MIT
 * cellflow summary: the records that a policy makes of recordings, counted in groups. */
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "capture.h"
#include "log.h"
#include "select_table.h"
#include "tally_report.h"

enum { TALLIES_MAX = 8 };

/* What is shown when nobody says by what. */
static const char *const by_default[] = { "dst_addr,dst_port,protocol", "reason_code", "rule,decided_at", NULL };

struct summing {
	struct cf_tally *tallies[TALLIES_MAX];
	int tally_count;
	long long top;
	int as_json;
};

struct summary_arguments {
	const char *policy_path, *output;
	struct cf_option_list args, by;
	struct cf_cmd_capture capture;
	struct cf_select_options select;
	int verbose;
};

static void ended(void *context, const struct cf_event *event, const struct cf_decision *decision, uint32_t ending)
{
	static struct cf_member members[CF_MEMBER_COUNT];
	const struct summing *self = context;
	int is_readable;

	if (ending)
		return;
	is_readable = cf_record_members(event, decision, members) == 0; /* not one that no line could hold */
	for (int i = 0; i < self->tally_count; i++)
		cf_tally_add(self->tallies[i], event, decision, is_readable ? members : NULL);
}

static int add_tally(struct summing *self, const char *by, struct cf_error *error)
{
	struct cf_tally *tally;

	if (self->tally_count == TALLIES_MAX)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--by: given more than %d times", TALLIES_MAX);
	tally = cf_tally_new();
	if (!tally)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for groups");
	self->tallies[self->tally_count++] = tally;
	return cf_tally_fields(tally, by, "--by", error);
}

static int fill(struct summing *self, const struct summary_arguments *given, int operands, struct cf_error *error)
{
	static const char *const names[] = { "table", "json" };
	int choice = given->output ? cf_option_choice(given->output, names, 2, "--output", error) : 0;

	if (choice < 0)
		return -1;
	self->as_json = choice == 1;
	if (operands == 0)
		return cf_fail(error, CF_FAIL_USAGE, 0, "summary: want at least one recording or capture");
	for (int i = 0; i < given->by.count; i++)
		if (add_tally(self, given->by.items[i], error) < 0)
			return -1;
	for (int i = 0; !given->by.count && by_default[i]; i++)
		if (add_tally(self, by_default[i], error) < 0)
			return -1;
	return 0;
}

/* Of a damaged recording, what could be read is summed up. */
static int sum_up(struct summing *self, const struct cf_told_options *options)
{
	struct cf_error error = { 0 };
	struct cf_told told;
	struct cf_tally_report report = {
		.told = &told, .tallies = self->tallies, .tally_count = self->tally_count, .top = (size_t)self->top
	};
	int code = 0;

	if (cf_replay_told(options, &told, &error) < 0) {
		code = cf_cmd_failed(&error);
		if (error.kind != CF_FAIL_RECORDING || told.recordings == 0)
			return code;
	}
	if ((self->as_json ? cf_tally_report_json(&report, stdout) : cf_tally_report_text(&report, stdout)) < 0) {
		cf_error_log("summary: cannot write to stdout");
		return 1;
	}
	return code;
}

static int run(int argc, char **argv)
{
	static struct summing self = { .top = 20 };
	static struct summary_arguments given;
	static struct cf_selection selection;
	static struct cf_capture_options capture;
	const char *args[2 * CF_OPTION_LIST_MAX + 1];
	struct cf_told_options options = { .opener = &cf_cmd_opener, .selection = &selection };
	struct cf_error error = { 0 };
	int has_capture, code;
	const struct cf_option table[] = {
		{ "config", 'c', CF_OPTION_TEXT, "FILE", "policy file; without it the default mapping",
		  &given.policy_path, 0, 0 },
		{ "arg", 'a', CF_OPTION_LIST, "NAME=VALUE",
		  "args.NAME in the policy; may be given often (default: as\nrecorded)", &given.args, 0, 0 },
		{ "by", 0, CF_OPTION_LIST, "FIELD[,FIELD]...",
		  "groups of records with the same values of these fields; may\nbe given often, each makes a table "
		  "(default:\ndst_addr,dst_port,protocol; reason_code; rule,decided_at)",
		  &given.by, 0, 0 },
		{ "top", 0, CF_OPTION_NUMBER, "N", "groups to show of each (default: 20)", &self.top, 0,
		  CF_TALLY_GROUPS_MAX },
		{ "output", 'o', CF_OPTION_TEXT, "FORMAT", "table or json, one object (default: table)", &given.output,
		  0, 0 },
		CF_CMD_CAPTURE_OPTIONS(given.capture),
		CF_SELECT_FILTER_OPTIONS(given.select, "cell"),
		CF_SELECT_PAST_OPTIONS(given.select),
		{ "verbose", 'v', CF_OPTION_FLAG, NULL, "log more", &given.verbose, 0, 0 },
		{ 0 },
	};
	int rc = cf_options_parse(&cf_verb_summary, table, argc, argv, &options.path_count, &error);

	if (rc > 0)
		return 0;
	if (rc < 0 || fill(&self, &given, options.path_count, &error) < 0 ||
	    cf_cmd_args(&given.args, args, &error) < 0 ||
	    (has_capture = cf_cmd_capture(&given.capture, &capture, &error)) < 0 ||
	    cf_select_fill(&given.select, "cell", &selection, &error) < 0)
		return cf_cmd_failed(&error);
	cf_log_set_level(given.verbose ? CF_LOG_DEBUG : CF_LOG_WARN);
	options.paths = argv;
	options.capture = has_capture ? &capture : NULL;
	options.policy_path = given.policy_path;
	options.args = given.args.count ? args : NULL;
	options.tap = (struct cf_emit_tap){ .ended = ended, .context = &self };
	code = sum_up(&self, &options);
	for (int i = 0; i < self.tally_count; i++)
		cf_tally_free(self.tallies[i]);
	return code;
}

const struct cf_verb cf_verb_summary = {
	.name = "summary",
	.arguments = "[-c FILE] [--by FIELD[,FIELD]...]... [OPTION]... FILE...",
	.summary = "what is in recordings or captures, counted by any fields",
	.notes = "Needs no privileges. Counts the records that replay would write; of their fields any may be counted\n"
		 "by (docs/records.md lists them). Packets and bytes are those of flows that ended, in both "
		 "directions.\n\n"
		 "Examples:\n"
		 "  cellflow summary yesterday.rec\n"
		 "  cellflow summary -c egress.lua --decision deny --by cell_id,dst_addr,dst_port yesterday.rec\n"
		 "  cellflow summary --events opened,closed --by dst_port --top 5 -o json traffic.pcap\n",
	.run = run,
};
