/* SPDX-License-Identifier: MIT
 * cellflow check: the worker's half of a start, without privileges: load, plan, try every function, report. */
#include <stdio.h>
#include <stdlib.h>
#include "cmd.h"
#include "guard.h"
#include "plan_check.h"
#include "record.h"
#include "script.h"

static const char *hook_names(uint32_t hooks)
{
	return hooks == CF_PLAN_EGRESS ? "egress" : hooks == CF_PLAN_INGRESS ? "ingress" : "egress and ingress";
}

/* Where a cell is watched otherwise than most are. */
static void print_ways(const struct cf_plan_cell *cell)
{
	static const char *const sources[] = { "", "by ebpf alone", "by nflog", "by ebpf and nflog", "by nothing" };
	static const char *const stands[] = { "", "", "at its peer", "inside and at its peer", "at its tap" };

	if (cell->sources != CF_SOURCES_AUTO)
		printf(", %s", sources[cell->sources]);
	if (cell->stand != CF_STAND_INSIDE)
		printf(", %s", stands[cell->stand]);
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
		printf(", %s, %s", cell->interface[0] ? cell->interface : "its only interface",
		       hook_names(cell->hooks));
		print_ways(cell);
		printf("\n");
	}
	for (uint32_t i = 0; i < plan->output_count; i++)
		printf("  output %s\n", plan->outputs[i].kind == CF_OUTPUT_STDOUT ? "stdout" : plan->outputs[i].path);
}

/* An editor wants its object also for a policy that cannot be read, and for one that does not load: that object, to be
 * freed, or NULL. */
static char *not_loaded(const char *path, const char *why)
{
	const char *texts[] = { path, why, NULL };
	struct cf_error ignored = { 0 };
	char *said = NULL;

	if (!cf_script_is_open() && cf_script_open(&ignored) < 0)
		return NULL;
	if (cf_script_ask("not_loaded", NULL, texts, &said, &ignored) < 0)
		return NULL;
	return said;
}

static int print_failure(const char *path, struct cf_error *error)
{
	char *said = error->kind == CF_FAIL_POLICY ? not_loaded(path, error->text) : NULL;

	if (!said)
		return -1;
	printf("%s", said);
	free(said);
	return cf_failure_exit_code(error->kind);
}

/* What is to be said of a policy that is not read to its end; a Lua state of its own makes it, before there is one. */
static char *hanging(const char *path)
{
	char why[8192];
	char *said;

	cf_guard_load_text(path, why, sizeof(why));
	said = not_loaded(path, why);
	cf_script_close();
	return said;
}

/* Returns the exit code, or -1 with an error that is still to be told. */
static int check(const char *path, const char *const *args, int as_json, int strict, struct cf_error *error)
{
	const char *texts[] = { path, as_json ? "json" : "", strict ? "strict" : "", NULL };
	struct cf_plan *plan;
	char *said = as_json ? hanging(path) : NULL;
	int answer = cf_cmd_load(path, args, "check", said, &plan, error);

	free(said);
	said = NULL;
	if (answer < 0)
		return as_json ? print_failure(path, error) : -1;
	answer = cf_record_bind(plan, error) < 0 || cf_script_bind(plan, error) < 0
			 ? -1
			 : cf_script_ask("checked", plan, texts, &said, error);
	if (answer >= 0 && as_json)
		printf("%s", said);
	else if (answer == 0)
		print_plan(path, plan);
	else if (answer > 0)
		answer = cf_fail(error, CF_FAIL_POLICY, 0, "%s", said);
	free(said);
	cf_plan_free(plan);
	return answer;
}

static int run(int argc, char **argv)
{
	struct cf_option_list given = { 0 };
	int as_json = 0, strict = 0;
	const char *args[2 * CF_OPTION_LIST_MAX + 1];
	struct cf_error error = { 0 };
	const struct cf_option table[] = {
		{ "arg", 'a', CF_OPTION_LIST, "NAME=VALUE", "args.NAME in the policy; may be given often", &given, 0,
		  0 },
		{ "json", 0, CF_OPTION_FLAG, NULL, "one JSON object on stdout, for editors", &as_json, 0, 0 },
		{ "strict", 0, CF_OPTION_FLAG, NULL, "warnings are errors", &strict, 0, 0 },
		{ 0 },
	};
	int operands;
	int rc = cf_options_parse(&cf_verb_check, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0 && operands != 1)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "check: want one policy file, got %d", operands);
	if (rc == 0)
		rc = cf_cmd_args(&given, args, &error);
	if (rc == 0)
		rc = check(argv[0], args, as_json, strict, &error);
	return rc < 0 ? cf_cmd_failed(&error) : rc;
}

const struct cf_verb cf_verb_check = {
	.name = "check",
	.arguments = "[-a NAME=VALUE]... [--strict] [--json] FILE",
	.summary = "load a policy, try its functions on made-up events, show its plan",
	.notes = "Needs no privileges and touches no namespace. Exit code 3 when something is wrong; warnings alone "
		 "leave it\n"
		 "at 0, unless --strict.\n",
	.run = run,
};
