/* SPDX-License-Identifier: MIT
 * cellflow check: the worker's half of a start, without privileges: load, plan, try every hook, report. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "api.h"
#include "cmd.h"
#include "log.h"
#include "plan_check.h"
#include "policy_file.h"
#include "record.h"
#include "script.h"
#include "worker.h"

static void report(const char *line)
{
	cf_error_log("%s", line);
}

static const char *hook_names(uint32_t hooks)
{
	return hooks == CF_PLAN_EGRESS ? "egress" : hooks == CF_PLAN_INGRESS ? "ingress" : "egress and ingress";
}

static void print_plan(const char *path, const struct cf_plan *plan)
{
	printf("%s: ok, %u cell%s, %u output%s\n", path, plan->cell_count, plan->cell_count == 1 ? "" : "s",
	       plan->output_count, plan->output_count == 1 ? "" : "s");
	for (uint32_t i = 0; i < plan->cell_count; i++) {
		const struct cf_plan_cell *cell = &plan->cells[i];

		printf("  cell %s: ", cell->name);
		if (cell->pid)
			printf("pid %d", cell->pid);
		else
			printf("%s", cell->netns);
		printf(", %s, %s\n", cell->interface[0] ? cell->interface : "its only interface",
		       hook_names(cell->hooks));
	}
	for (uint32_t i = 0; i < plan->output_count; i++)
		printf("  output %s\n", plan->outputs[i].kind == CF_OUTPUT_STDOUT ? "stdout" : plan->outputs[i].path);
}

static int read_include(void *context, const char *path, char **text, size_t *len, struct cf_error *error)
{
	(void)context;
	return cf_policy_read(path, NULL, 0, text, len, error);
}

static int check(const char *path, const char *const *args, struct cf_error *error)
{
	static const struct cf_plan_metadata no_metadata;
	struct cf_worker_config config = { .policy = { .name = path, .args = args }, .metadata = &no_metadata };
	const struct cf_opener opener = { .read = read_include };
	struct cf_plan *plan = cf_plan_new();
	char *text = NULL;
	int findings = -1;

	if (plan && cf_policy_read(path, NULL, 0, &text, &config.policy.len, error) == 0) {
		config.policy.text = text;
		if (cf_worker_load(&config, &opener, plan, error) == 0 && cf_record_bind(plan, error) == 0 &&
		    cf_script_bind(plan, error) == 0)
			findings = cf_script_check(report, error);
	}
	if (findings == 0)
		print_plan(path, plan);
	else if (findings > 0)
		cf_fail(error, CF_FAIL_POLICY, 0, "%s: %d finding%s", path, findings, findings == 1 ? "" : "s");
	free(text);
	cf_plan_free(plan);
	return findings == 0 ? 0 : -1;
}

static int run(int argc, char **argv)
{
	struct cf_option_list given = { 0 };
	const char *args[2 * CF_OPTION_LIST_MAX + 1];
	struct cf_error error = { 0 };
	const struct cf_option table[] = {
		{ "arg", 'a', CF_OPTION_LIST, "NAME=VALUE", "args.NAME in the policy; may be given often", &given, 0,
		  0 },
		{ 0 },
	};
	int operands;
	int rc = cf_options_parse(&cf_verb_check, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0 && operands != 1)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "check: want one policy file, got %d", operands);
	if (rc < 0 || cf_cmd_args(&given, args, &error) < 0 || check(argv[0], args, &error) < 0)
		return cf_cmd_failed(&error);
	return 0;
}

const struct cf_verb cf_verb_check = {
	.name = "check",
	.arguments = "[-a NAME=VALUE]... FILE",
	.summary = "load a policy, try its hooks on made-up events, show its plan",
	.notes = "Needs no privileges and touches no namespace. Exit code 3 when something is wrong.\n",
	.run = run,
};
