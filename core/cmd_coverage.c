/* SPDX-License-Identifier: MIT
 * cellflow coverage: which rules of a policy recordings exercise, and what no rule covers. */
#include "capture.h"
#include "cmd.h"
#include "coverage_report.h"
#include "log.h"

enum { FAIL_UNUSED = 1 << 0, FAIL_UNCOVERED = 1 << 1 };

struct covering {
	const char *output;
	struct cf_option_list args, fail_on;
	struct cf_cmd_capture capture;
	long long top;
	uint32_t fail_bits;
	int as_json, verbose;
	struct cf_coverage *coverage;
};

static int fill(struct covering *self, int operands, struct cf_error *error)
{
	static const char *const formats[] = { "text", "json" }, *const reasons[] = { "unused", "uncovered" };
	int choice = self->output ? cf_option_choice(self->output, formats, 2, "--output", error) : 0;

	if (choice < 0)
		return -1;
	self->as_json = choice == 1;
	for (int i = 0; i < self->fail_on.count; i++)
		if (cf_option_choices(self->fail_on.items[i], reasons, 2, "--fail-on", &self->fail_bits, error) < 0)
			return -1;
	if (operands < 2)
		return cf_fail(error, CF_FAIL_USAGE, 0,
			       "coverage: want a policy and at least one recording or capture");
	self->coverage = cf_coverage_new();
	return self->coverage ? 0 : cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for a coverage");
}

/* What --fail-on asks for. */
static int judge(const struct covering *self, const char *policy)
{
	const struct cf_coverage *coverage = self->coverage;
	size_t all, used = cf_coverage_used(coverage, &all);
	int code = 0;

	if ((self->fail_bits & FAIL_UNUSED) && used < all) {
		cf_error_log("%s: %zu of %zu rules decided nothing (--fail-on unused)", policy, all - used, all);
		code = 1;
	}
	if ((self->fail_bits & FAIL_UNCOVERED) &&
	    (coverage->uncovered->count || coverage->uncovered->not_grouped.count)) {
		cf_error_log("%s: no rule covers some events (--fail-on uncovered)", policy);
		code = 1;
	}
	return code;
}

/* Of a damaged recording, what could be read is told. */
static int cover(struct covering *self, const struct cf_told_options *options)
{
	struct cf_error error = { 0 };
	struct cf_told told;
	struct cf_coverage_told report = {
		.policy = options->policy_path, .told = &told, .coverage = self->coverage, .top = (size_t)self->top
	};
	int code = 0;

	if (cf_replay_told(options, &told, &error) < 0) {
		code = cf_cmd_failed(&error);
		if (error.kind != CF_FAIL_RECORDING || told.recordings == 0)
			return code;
	}
	if (self->coverage->is_full) {
		cf_error_log("coverage: no memory for what no rule covers");
		return 1;
	}
	if ((self->as_json ? cf_coverage_report_json(&report, stdout) : cf_coverage_report_text(&report, stdout)) < 0) {
		cf_error_log("coverage: cannot write to stdout");
		return 1;
	}
	return judge(self, options->policy_path) ? 1 : code;
}

static int run(int argc, char **argv)
{
	static struct covering self = { .top = 20 };
	static struct cf_capture_options capture;
	const char *args[2 * CF_OPTION_LIST_MAX + 1];
	struct cf_told_options options = { .opener = &cf_cmd_opener };
	struct cf_error error = { 0 };
	int operands, has_capture, code;
	const struct cf_option table[] = {
		{ "output", 'o', CF_OPTION_TEXT, "FORMAT", "text or json, one object (default: text)", &self.output, 0,
		  0 },
		{ "fail-on", 0, CF_OPTION_LIST, "WHAT",
		  "unused (a rule decided nothing) or uncovered (no rule decided\nan event): exit 1; may be given "
		  "often",
		  &self.fail_on, 0, 0 },
		{ "top", 0, CF_OPTION_NUMBER, "N", "destinations without a rule to show (default: 20)", &self.top, 0,
		  CF_TALLY_GROUPS_MAX },
		{ "arg", 'a', CF_OPTION_LIST, "NAME=VALUE",
		  "args.NAME in the policy; may be given often (default: as\nrecorded)", &self.args, 0, 0 },
		CF_CMD_CAPTURE_OPTIONS(self.capture),
		{ "verbose", 'v', CF_OPTION_FLAG, NULL, "log more", &self.verbose, 0, 0 },
		{ 0 },
	};
	int rc = cf_options_parse(&cf_verb_coverage, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc < 0 || fill(&self, operands, &error) < 0 || cf_cmd_args(&self.args, args, &error) < 0 ||
	    (has_capture = cf_cmd_capture(&self.capture, &capture, &error)) < 0)
		return cf_cmd_failed(&error);
	cf_log_set_level(self.verbose ? CF_LOG_DEBUG : CF_LOG_WARN);
	options.policy_path = argv[0];
	options.paths = argv + 1;
	options.path_count = operands - 1;
	options.capture = has_capture ? &capture : NULL;
	options.args = self.args.count ? args : NULL;
	options.tap = (struct cf_emit_tap){ .ended = cf_coverage_ended, .context = self.coverage };
	options.begun = cf_coverage_begun;
	options.context = self.coverage;
	code = cover(&self, &options);
	cf_coverage_free(self.coverage);
	return code;
}

const struct cf_verb cf_verb_coverage = {
	.name = "coverage",
	.arguments = "POLICY.lua [OPTION]... FILE...",
	.summary = "which rules recordings or captures exercise, and what no rule covers",
	.notes = "Needs no privileges. Each rule is shown with how many events it decided, or \"never\"; then where "
		 "the\n"
		 "events went that fell through to default, or to the default mapping.\n\n"
		 "Examples:\n"
		 "  cellflow coverage egress.lua yesterday.rec\n"
		 "  cellflow coverage egress.lua --fail-on unused --fail-on uncovered spec/recordings/*.rec\n",
	.run = run,
};
