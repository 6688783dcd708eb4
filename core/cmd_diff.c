/* SPDX-License-Identifier: MIT
 * cellflow diff: what another policy would have decided of recorded traffic. A process for each policy, and the join of
 * what they say in this one. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "api.h"
#include "cmd.h"
#include "diff_join.h"
#include "diff_report.h"
#include "diff_side.h"
#include "log.h"
#include "policy_file.h"

enum { SAME = 0, DIFFERS = 1, TROUBLE = 2 };

struct diffing {
	char *texts[CF_DIFF_SIDES]; /* of the policies */
	struct cf_diff_side sides[CF_DIFF_SIDES];
	int fds[CF_DIFF_SIDES];
	pid_t pids[CF_DIFF_SIDES];
	struct cf_diff_join *join;
	struct cf_diff_end ends[CF_DIFF_SIDES];
	long long limit;
	int as_json;
};

static int trouble(const struct cf_error *error)
{
	cf_error_log("%s", error->text);
	return TROUBLE;
}

static int open_all(struct diffing *self, struct cf_error *error)
{
	for (int i = 0; i < CF_DIFF_SIDES; i++) {
		struct cf_policy *policy = &self->sides[i].policy;

		if (cf_policy_read(policy->name, NULL, 0, &self->texts[i], &policy->len, error) < 0)
			return -1;
		policy->text = self->texts[i];
	}
	self->join = cf_diff_join_new();
	if (!self->join)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "diff: no memory");
	for (int i = 0; i < CF_DIFF_SIDES; i++) {
		self->pids[i] = cf_diff_side_start(&self->sides[i], &self->fds[i], error);
		if (self->pids[i] < 0)
			return -1;
	}
	return 0;
}

static void close_all(struct diffing *self)
{
	/* Both have told their end, or are of no use any more; in a policy's loop they would not see their pipe close.
	 */
	for (int i = 0; i < CF_DIFF_SIDES; i++) {
		if (self->pids[i] > 0) {
			close(self->fds[i]);
			kill(self->pids[i], SIGKILL);
			waitpid(self->pids[i], NULL, 0);
		}
		free(self->texts[i]);
	}
	cf_diff_join_free(self->join);
}

static int names_policy(const struct cf_error *error, const char *name)
{
	return strncmp(error->text, name, strlen(name)) == 0;
}

/* 1: there is something to tell, of what could be read. */
static int say_failures(const struct diffing *self)
{
	const struct cf_error *a = &self->ends[0].error, *b = &self->ends[1].error;
	int both = self->ends[0].head.type && self->ends[1].head.type;

	/* Of one that was not read to its end there is nothing to say: the other one is why. */
	for (int i = 0; i < CF_DIFF_SIDES; i++) {
		const struct cf_diff_end *end = &self->ends[i], *other = &self->ends[!i];

		if (end->error.kind != CF_OK && i == 1 && strcmp(a->text, b->text) == 0)
			continue;
		if (end->error.kind == CF_FAIL_RECORDING || names_policy(&end->error, self->sides[i].policy.name))
			cf_error_log("%s", end->error.text);
		else if (end->error.kind != CF_OK)
			cf_error_log("%s: %s", self->sides[i].policy.name, end->error.text);
		else if (!end->head.type && other->error.kind == CF_OK)
			cf_error_log("%s: its replay did not come to its end", self->sides[i].policy.name);
	}
	return both && (a->kind == CF_OK || a->kind == CF_FAIL_RECORDING) &&
	       (b->kind == CF_OK || b->kind == CF_FAIL_RECORDING) &&
	       (self->ends[0].events > 0 || (a->kind == CF_OK && b->kind == CF_OK));
}

static int report(struct diffing *self)
{
	const struct cf_diff_counts *counts = cf_diff_join_counts(self->join);
	struct cf_diff_report found = { .names = { self->sides[0].policy.name, self->sides[1].policy.name },
					.ends = self->ends,
					.counts = counts };
	int rc;

	found.groups = cf_diff_join_groups(self->join, &found.group_count);
	found.shown = found.group_count < (size_t)self->limit ? found.group_count : (size_t)self->limit;
	if (self->ends[0].has_no_end && self->ends[0].error.kind == CF_OK)
		cf_warn("the recording has no end: its writer was killed, or still writes");
	rc = self->as_json ? cf_diff_report_json(&found, stdout) : cf_diff_report_text(&found, stdout);
	if (rc < 0) {
		cf_error_log("diff: cannot write to stdout");
		return TROUBLE;
	}
	if (self->ends[0].error.kind != CF_OK || self->ends[1].error.kind != CF_OK)
		return TROUBLE;
	return counts->changed ? DIFFERS : SAME;
}

static int compare(struct diffing *self)
{
	struct cf_error error = { 0 };
	int code;

	if (open_all(self, &error) < 0 || cf_diff_join_read(self->join, self->fds, self->ends, &error) < 0)
		code = trouble(&error);
	else
		code = say_failures(self) ? report(self) : TROUBLE;
	close_all(self);
	return code;
}

static int parse_output(const char *text, int *as_json, struct cf_error *error)
{
	static const char *const names[] = { "text", "json" };
	int choice = text ? cf_option_choice(text, names, 2, "--output", error) : 0;

	*as_json = choice == 1;
	return choice < 0 ? -1 : 0;
}

/* Both are as `side`, but for their policies; flows need not be told twice. */
static void fill_sides(struct diffing *self, const struct cf_diff_side *side, char *const *policies)
{
	for (int i = 0; i < CF_DIFF_SIDES; i++) {
		self->sides[i] = *side;
		self->sides[i].policy.name = policies[i];
		self->sides[i].tells_flows = i == 0;
	}
}

static int run(int argc, char **argv)
{
	static struct diffing self;
	const char *output = NULL;
	int verbose = 0, operands;
	static struct cf_capture_options capture;
	struct cf_option_list list = { 0 };
	struct cf_cmd_capture of_captures = { 0 };
	struct cf_diff_side side = { .opener = &cf_cmd_opener };
	int has_capture;
	const char *args[2 * CF_OPTION_LIST_MAX + 1];
	struct cf_error error = { 0 };
	const struct cf_option table[] = {
		{ "output", 'o', CF_OPTION_TEXT, "FORMAT", "text or json, one object (default: text)", &output, 0, 0 },
		{ "limit", 0, CF_OPTION_NUMBER, "N", "groups of changes to show (default: 20)", &self.limit, 0,
		  CF_DIFF_GROUPS_MAX },
		{ "arg", 'a', CF_OPTION_LIST, "NAME=VALUE",
		  "args.NAME in both policies; may be given often (default: as\nrecorded)", &list, 0, 0 },
		CF_CMD_CAPTURE_OPTIONS(of_captures),
		{ "verbose", 'v', CF_OPTION_FLAG, NULL, "log what the policies log, too", &verbose, 0, 0 },
		{ 0 },
	};
	int rc;

	self.limit = 20;
	rc = cf_options_parse(&cf_verb_diff, table, argc, argv, &operands, &error);
	if (rc > 0)
		return 0;
	if (rc == 0 && operands < 3)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "diff: want two policies and at least one recording or capture");
	if (rc < 0 || parse_output(output, &self.as_json, &error) < 0 || cf_cmd_args(&list, args, &error) < 0 ||
	    (has_capture = cf_cmd_capture(&of_captures, &capture, &error)) < 0)
		return trouble(&error);
	side.policy.args = list.count ? args : NULL;
	side.paths = argv + CF_DIFF_SIDES;
	side.path_count = operands - CF_DIFF_SIDES;
	side.capture = has_capture ? &capture : NULL;
	side.log_level = verbose ? CF_LOG_DEBUG : CF_LOG_ERROR;
	fill_sides(&self, &side, argv);
	return compare(&self);
}

const struct cf_verb cf_verb_diff = {
	.name = "diff",
	.arguments = "OLD.lua NEW.lua [OPTION]... FILE...",
	.summary = "what another policy would have decided of recordings or captures",
	.notes = "Needs no privileges. Each policy gets the recordings as replay gives them, and what both said of "
		 "each\n"
		 "event is compared: decision, reason, rule, and whether there is a record at all.\n"
		 "Exit codes: 0 no difference, 1 there are differences, 2 trouble.\n\n"
		 "Example:\n"
		 "  cellflow diff today.lua tomorrow.lua yesterday.rec\n",
	.run = run,
};
