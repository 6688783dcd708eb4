/* SPDX-License-Identifier: MIT
 * cellflow test: specs of policies, run by busted in a Lua state of this process. Options are read here; which specs
 * there are, and everything else, is lua/cellflow/test_run.lua's. */
#include <stdio.h>
#include <string.h>
#include "cmd.h"
#include "script.h"

enum { TEXTS_MAX = 4096 };

/* Where "--" stands; argc when it does not. What comes behind it is busted's. */
static int own_words(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i;
	return argc;
}

static int gather(const char **texts, int count, char **operands, int operand_count, char **rest)
{
	for (int i = 0; i < operand_count && count < TEXTS_MAX; i++)
		texts[count++] = operands[i];
	if (count < TEXTS_MAX)
		texts[count++] = "--";
	for (; *rest && count < TEXTS_MAX; rest++)
		texts[count++] = *rest;
	texts[count] = NULL;
	return count;
}

static int run(int argc, char **argv)
{
	struct cf_error error = { 0 };
	int update = 0, coverage = 0, operands, code = -1;
	long long least = -1, seed = 1;
	char least_text[24], seed_text[24];
	const char *texts[TEXTS_MAX + 1];
	const struct cf_option table[] = {
		{ "update", 'u', CF_OPTION_FLAG, NULL, "write golden files anew instead of comparing with them",
		  &update, 0, 0 },
		{ "coverage", 0, CF_OPTION_FLAG, NULL, "lines of the policies that never ran, on stderr", &coverage, 0,
		  0 },
		{ "coverage-min", 0, CF_OPTION_NUMBER, "PERCENT", "fail when fewer lines ran; implies --coverage",
		  &least, 0, 100 },
		{ "seed", 0, CF_OPTION_NUMBER, "NUMBER", "of everything random (default: 1)", &seed, 1, 2147483647 },
		{ 0 },
	};
	int own = own_words(argc, argv);
	int rc = cf_options_parse(&cf_verb_test, table, own, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0) {
		snprintf(least_text, sizeof(least_text), "%lld", least);
		snprintf(seed_text, sizeof(seed_text), "%lld", seed);
		texts[0] = update ? "update" : "";
		texts[1] = coverage || least >= 0 ? "coverage" : "";
		texts[2] = least_text;
		texts[3] = seed_text;
		if (gather(texts, 4, argv, operands, argv + own + (own < argc)) == TEXTS_MAX)
			rc = cf_fail(&error, CF_FAIL_USAGE, 0, "test: more than %d words", TEXTS_MAX - 6);
	}
	if (rc == 0)
		code = cf_script_run("cellflow.test_run", texts, &error);
	return code < 0 ? cf_cmd_failed(&error) : code;
}

const struct cf_verb cf_verb_test = {
	.name = "test",
	.arguments = "[--update] [--coverage] [--coverage-min PERCENT] [--seed NUMBER] [SPEC]... [-- BUSTED-OPTION...]",
	.summary = "run the specs of policies",
	.notes = "SPEC is a spec, a directory of *_spec.lua files, or a policy, whose NAME_spec.lua lies beside it or\n"
		 "in spec; default: spec. They are busted's (Debian: lua-busted); options for it come behind --\n"
		 "Needs no privileges and no namespace. Exit code 1: a spec failed, or too little was covered.\n",
	.run = run,
};
