/* SPDX-License-Identifier: MIT
 * cellflow explain: one event through a policy, with everything that was asked on the way. Loads as check does; what is
 * shown is explain.lua's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "clock.h"
#include "cmd.h"
#include "plan_check.h"
#include "record.h"
#include "script.h"

enum { WORDS_MAX = 64 };

/* The one line that stdin has; NULL: none, or no memory. */
static char *read_line(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len = getline(&line, &size, stdin);

	if (len > 0 && line[len - 1] == '\n')
		line[len - 1] = '\0';
	if (len > 0 && line[0])
		return line;
	free(line);
	return NULL;
}

/* `texts` gets the time of day and the words of the event. */
static int gather(const char **texts, char **words, int count, struct cf_error *error)
{
	static char now_text[32];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(now_text, sizeof(now_text), "%lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
	if (count > WORDS_MAX)
		return cf_fail(error, CF_FAIL_USAGE, 0, "event: more than %d words", WORDS_MAX);
	texts[0] = now_text;
	for (int i = 0; i < count; i++)
		texts[i + 1] = words[i];
	texts[count + 1] = NULL;
	if (count != 1 || strcmp(words[0], "-") != 0)
		return 0;
	texts[1] = read_line();
	return texts[1] ? 0 : cf_fail(error, CF_FAIL_USAGE, 0, "event: stdin has no line");
}

static int read_event(struct cf_plan *plan, const char *const *texts, struct cf_error *error)
{
	char *said = NULL;
	int answer = cf_script_ask("event", plan, texts, &said, error);

	if (answer > 0)
		answer = cf_fail(error, CF_FAIL_USAGE, 0, "%s", said);
	free(said);
	return answer;
}

/* Returns the exit code, or -1. */
static int explain(struct cf_plan *plan, int as_json, int all, struct cf_error *error)
{
	const char *texts[] = { as_json ? "json" : "", all ? "all" : "", NULL };
	char *said = NULL;
	int answer;

	if (cf_record_bind(plan, error) < 0 || cf_script_bind(plan, error) < 0)
		return -1;
	answer = cf_script_ask("explain", plan, texts, &said, error);
	if (answer >= 0)
		printf("%s", said);
	free(said);
	if (answer > 0)
		return cf_fail(error, CF_FAIL_INTERNAL, 0,
			       "explain: rules asked one by one and their index disagree; please report this policy "
			       "and event");
	return answer;
}

static int run(int argc, char **argv)
{
	struct cf_option_list given = { 0 };
	const char *path = NULL;
	const char *args[2 * CF_OPTION_LIST_MAX + 1];
	const char *texts[WORDS_MAX + 2];
	struct cf_error error = { 0 };
	struct cf_plan *plan = NULL;
	int as_json = 0, all = 0, operands;
	const struct cf_option table[] = {
		{ "config", 'c', CF_OPTION_TEXT, "FILE", "the policy", &path, 0, 0 },
		{ "arg", 'a', CF_OPTION_LIST, "NAME=VALUE", "args.NAME in the policy; may be given often", &given, 0,
		  0 },
		{ "all", 0, CF_OPTION_FLAG, NULL, "every rule that does not match, however many", &all, 0, 0 },
		{ "json", 0, CF_OPTION_FLAG, NULL, "one JSON object on stdout", &as_json, 0, 0 },
		{ 0 },
	};
	int rc = cf_options_parse(&cf_verb_explain, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0 && !path)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "explain: no policy (give one with -c FILE)");
	if (rc == 0 && operands == 0)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0,
			     "explain: no event (give field=value words, a JSON record, or - to read one from stdin)");
	cf_clock_set_offset(0); /* event times are times of day here: those of a record need not be after the boot */
	if (rc < 0 || cf_cmd_args(&given, args, &error) < 0 || gather(texts, argv, operands, &error) < 0 ||
	    cf_cmd_load(path, args, "explain", NULL, &plan, &error) < 0 || read_event(plan, texts, &error) < 0 ||
	    explain(plan, as_json, all, &error) < 0)
		rc = cf_cmd_failed(&error);
	cf_plan_free(plan);
	return rc;
}

const struct cf_verb cf_verb_explain = {
	.name = "explain",
	.arguments = "-c FILE [-a NAME=VALUE]... [--all] [--json] EVENT",
	.summary = "show what each rule and hook of a policy says of one event",
	.notes = "EVENT is field=value words (protocol=tcp dst_addr=192.0.2.7 dst_port=22), a JSON record, or - for a "
		 "record on\n"
		 "stdin. What the words leave open is made up: an opened flow, egress, of the first cell. Needs no "
		 "privileges.\n",
	.run = run,
};
