/* SPDX-License-Identifier: MIT
 * cellflow run: from options to cf_run_options. What is done with them is the supervisor's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "api.h"
#include "cmd.h"
#include "log.h"
#include "supervisor.h"

struct run_arguments {
	const char *config, *cell, *netns, *interface, *hooks, *attach, *bpf_object;
	const char *run_id, *user;
	struct cf_option_list args, fail_on;
	long long pid, ring_mb, flow_entries, wake_us, drain_s;
	int summary_record, watch, verbose, quiet;
};

static int copy_text(char *to, size_t size, const char *from, const char *option, struct cf_error *error)
{
	if (!from)
		return 0;
	if (strlen(from) >= size)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--%s: longer than %zu bytes", option, size - 1);
	strcpy(to, from);
	return 0;
}

static int one_of(const char *text, const char *const *names, int count, const char *option, struct cf_error *error)
{
	const char *near = cf_suggest(text, names, count);
	char all[128] = "";

	for (int i = 0; i < count; i++) {
		if (strcmp(text, names[i]) == 0)
			return i;
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", names[i]);
	}
	if (near)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--%s: \"%s\" is not known (did you mean \"%s\"?)", option,
			       text, near);
	return cf_fail(error, CF_FAIL_USAGE, 0, "--%s: \"%s\" is not known (there are: %s)", option, text, all);
}

/* As for `ip netns`: a bare name lives in /run/netns. */
static int netns_path(char *to, size_t size, const char *from, struct cf_error *error)
{
	if (!from)
		return 0;
	if (snprintf(to, size, "%s%s", strchr(from, '/') ? "" : "/run/netns/", from) >= (int)size)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--netns: longer than %zu bytes", size - 1);
	return 0;
}

static int fill_cell(const struct run_arguments *given, struct cf_plan_cell *cell, struct cf_error *error)
{
	static const char *const hook_names[] = { "egress", "ingress", "both" };
	static const char *const attach_names[] = { "auto", "tcx", "clsact" };
	int choice;

	if (given->netns && given->pid)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--netns and --pid: give one of them");
	cell->pid = (int32_t)given->pid;
	strcpy(cell->place, "command line");
	if (copy_text(cell->name, sizeof(cell->name), given->cell ? given->cell : "cell", "cell", error) < 0 ||
	    netns_path(cell->netns, sizeof(cell->netns), given->netns, error) < 0 ||
	    copy_text(cell->interface, sizeof(cell->interface), given->interface, "interface", error) < 0 ||
	    copy_text(cell->bpf_object, sizeof(cell->bpf_object), given->bpf_object, "bpf-object", error) < 0)
		return -1;
	if (given->hooks) {
		choice = one_of(given->hooks, hook_names, 3, "hooks", error);
		if (choice < 0)
			return -1;
		cell->hooks = (uint32_t)choice + 1;
	}
	if (given->attach) {
		choice = one_of(given->attach, attach_names, 3, "attach", error);
		if (choice < 0)
			return -1;
		cell->attach = (uint32_t)choice;
	}
	return 0;
}

static int fill_fail_on(const struct cf_option_list *list, uint32_t *bits, struct cf_error *error)
{
	static const char *const names[] = { "deny", "loss", "script-error" };

	for (int i = 0; i < list->count; i++) {
		int choice = one_of(list->items[i], names, 3, "fail-on", error);

		if (choice < 0)
			return -1;
		*bits |= 1U << choice;
	}
	return 0;
}

static int fill(const struct run_arguments *given, struct cf_plan_cell *cell, const char **args,
		struct cf_run_options *run, struct cf_error *error)
{
	int wants_cell = given->cell || given->netns || given->pid || given->interface || given->hooks ||
			 given->attach || given->bpf_object;

	if (given->quiet && given->verbose)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--quiet and --verbose: give one of them");
	if (!given->config && !given->netns && !given->pid)
		return cf_fail(error, CF_FAIL_USAGE, 0,
			       "run: nothing to watch (give --netns NAME, --pid PID, or a policy with -c FILE)");
	if (fill_cell(given, cell, error) < 0 || fill_fail_on(&given->fail_on, &run->fail_on, error) < 0 ||
	    cf_cmd_args(&given->args, args, error) < 0 ||
	    copy_text(run->metadata.run_id, sizeof(run->metadata.run_id), given->run_id, "run-id", error) < 0)
		return -1;
	run->policy_path = given->config;
	run->args = args;
	run->cell = wants_cell ? cell : NULL;
	run->user = given->user;
	run->ring_bytes = (uint64_t)given->ring_mb << 20;
	run->flow_entries = (uint32_t)given->flow_entries;
	run->wake_interval_ns = (uint64_t)given->wake_us * 1000;
	run->drain_ms = (uint64_t)given->drain_s * 1000;
	run->summary_record = given->summary_record;
	run->watch = given->watch;
	if ((run->ring_bytes & (run->ring_bytes - 1)) != 0)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--ring-size: %lld is not a power of two", given->ring_mb);
	return 0;
}

static int run(int argc, char **argv)
{
	struct run_arguments given = { .wake_us = 1000, .drain_s = 5 };
	struct cf_plan_cell cell = { 0 };
	struct cf_run_options options = { 0 };
	const char *args[2 * CF_OPTION_LIST_MAX + 1];
	struct cf_error error = { 0 };
	int operands;
	const struct cf_option table[] = {
		{ "config", 'c', CF_OPTION_TEXT, "FILE", "policy file; without it the default mapping", &given.config,
		  0, 0 },
		{ "watch", 'w', CF_OPTION_FLAG, NULL, "read the policy again when its file changes", &given.watch, 0,
		  0 },
		{ "arg", 'a', CF_OPTION_LIST, "NAME=VALUE", "args.NAME in the policy; may be given often", &given.args,
		  0, 0 },
		{ "cell", 0, CF_OPTION_TEXT, "NAME", "name of the cell (default: cell)", &given.cell, 0, 0 },
		{ "netns", 0, CF_OPTION_TEXT, "NAME|PATH", "its network namespace, as ip netns or as a path",
		  &given.netns, 0, 0 },
		{ "pid", 0, CF_OPTION_NUMBER, "PID", "its network namespace, as that of a process", &given.pid, 1,
		  1 << 22 },
		{ "interface", 'i', CF_OPTION_TEXT, "IF", "interface in the cell (default: the only one)",
		  &given.interface, 0, 0 },
		{ "hooks", 0, CF_OPTION_TEXT, "WHICH", "egress (default), ingress or both", &given.hooks, 0, 0 },
		{ "attach", 0, CF_OPTION_TEXT, "HOW", "auto (default), tcx or clsact", &given.attach, 0, 0 },
		{ "bpf-object", 0, CF_OPTION_TEXT, "FILE", "BPF object in place of the built-in one", &given.bpf_object,
		  0, 0 },
		{ "run-id", 0, CF_OPTION_TEXT, "ID", "run_id of every record", &given.run_id, 0, 0 },
		{ "fail-on", 0, CF_OPTION_LIST, "WHAT",
		  "deny (exit 8), loss (7) or script-error (4); may be given often", &given.fail_on, 0, 0 },
		{ "summary-record", 0, CF_OPTION_FLAG, NULL, "end every output with the summary as a record",
		  &given.summary_record, 0, 0 },
		{ "flow-entries", 0, CF_OPTION_NUMBER, "N", "size of the flow table (default: 245760)",
		  &given.flow_entries, 1, 1 << 26 },
		{ "ring-size", 0, CF_OPTION_NUMBER, "MIB", "size of the event ring (default: 16)", &given.ring_mb, 1,
		  1024 },
		{ "wake-interval", 0, CF_OPTION_NUMBER, "US", "wake the worker at most this often (default: 1000)",
		  &given.wake_us, 100, 1000000 },
		{ "drain-timeout", 0, CF_OPTION_NUMBER, "S", "time for slow outputs at the end (default: 5)",
		  &given.drain_s, 0, 3600 },
		{ "user", 'u', CF_OPTION_TEXT, "USER", "whom the policy runs as (default: cellflow, else nobody)",
		  &given.user, 0, 0 },
		{ "verbose", 'v', CF_OPTION_FLAG, NULL, "log more", &given.verbose, 0, 0 },
		{ "quiet", 'q', CF_OPTION_FLAG, NULL, "log errors only, no summary", &given.quiet, 0, 0 },
		{ 0 },
	};
	int rc = cf_options_parse(&cf_verb_run, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0 && operands > 0)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "run: unexpected \"%s\" (a policy is given with -c FILE)",
			     argv[0]);
	if (rc < 0 || fill(&given, &cell, args, &options, &error) < 0)
		return cf_cmd_failed(&error);
	cf_log_set_level(given.verbose ? CF_LOG_DEBUG : given.quiet ? CF_LOG_ERROR : CF_LOG_INFO);
	return cf_supervisor_run(&options);
}

const struct cf_verb cf_verb_run = {
	.name = "run",
	.arguments = "[-c FILE] [--netns NAME|PATH | --pid PID] [OPTION]...",
	.summary = "watch cells and write a decision record for each flow",
	.notes = "Signals: TERM and INT drain, print the summary, detach and end (a second one: at once);\n"
		 "HUP reads the policy again and opens the outputs anew, USR1 prints the numbers so far.\n\n"
		 "Examples:\n"
		 "  cellflow run --netns build-42\n"
		 "  cellflow run -c egress.lua -a team=web >> decisions.jsonl\n",
	.run = run,
};
