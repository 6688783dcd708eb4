/* SPDX-License-Identifier: MIT
 * cellflow run: from options to cf_run_options. What is done with them is the supervisor's. */
#include <stdio.h>
#include <string.h>
#include "api.h"
#include "cell_options.h"
#include "cmd.h"
#include "connections.h"
#include "log.h"
#include "select_table.h"
#include "supervisor.h"

struct run_arguments {
	const char *config, *run_id, *user, *record;
	struct cf_cell_options cell;
	struct cf_select_options select;
	struct cf_option_list args, fail_on, require;
	long long ring_mb, flow_entries, connections_cap, wake_us, drain_s, record_mb, record_s;
	int force, summary_record, watch, verbose, quiet;
};

/* --cell is taken: it says which cell the command line describes. */
#define SELECT_CELL "select-cell"

static int fill(const struct run_arguments *given, struct cf_plan_cell *cell, const char **args,
		struct cf_run_options *run, struct cf_error *error)
{
	int wants_cell;

	if (given->quiet && given->verbose)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--quiet and --verbose: give one of them");
	if (!given->config && !given->cell.netns && !given->cell.pid)
		return cf_fail(error, CF_FAIL_USAGE, 0,
			       "run: nothing to watch (give --netns NAME, --pid PID, or a policy with -c FILE)");
	if (given->run_id && strlen(given->run_id) >= sizeof(run->metadata.run_id))
		return cf_fail(error, CF_FAIL_USAGE, 0, "--run-id: longer than %zu bytes",
			       sizeof(run->metadata.run_id) - 1);
	if (given->run_id)
		strcpy(run->metadata.run_id, given->run_id);
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
	struct run_arguments given = {
		.connections_cap = CF_CONNECTIONS_CAP, .wake_us = 1000, .drain_s = 5, .cell.nflog_group = -1
	};
	struct cf_plan_cell cell = { 0 };
	static struct cf_selection selection;
	struct cf_run_options options = { .selection = &selection };
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
		{ "cell", 0, CF_OPTION_TEXT, "NAME", "name of the cell, here and in the policy (default: cell)",
		  &given.cell.cell, 0, 0 },
		{ "netns", 0, CF_OPTION_TEXT, "NAME|PATH", "its network namespace, as ip netns or as a path",
		  &given.cell.netns, 0, 0 },
		{ "pid", 0, CF_OPTION_NUMBER, "PID", "its network namespace, as that of a process", &given.cell.pid, 1,
		  1 << 22 },
		{ "interface", 'i', CF_OPTION_TEXT, "IF", "interface in the cell (default: the only one)",
		  &given.cell.interface, 0, 0 },
		{ "hooks", 0, CF_OPTION_TEXT, "WHICH", "egress (default), ingress, or both of them", &given.cell.hooks, 0, 0 },
		{ "sources", 0, CF_OPTION_TEXT, "LIST",
		  "auto (default): ebpf, or nflog where that fails;\nebpf, nflog, ebpf,nflog (both, joined), noop "
		  "(none)",
		  &given.cell.sources, 0, 0 },
		{ "nflog-group", 0, CF_OPTION_NUMBER, "N", "to which the firewall's rules log (default: 100)",
		  &given.cell.nflog_group, 0, CF_NFLOG_GROUP_MAX },
		{ "events", 0, CF_OPTION_TEXT, "LIST", "opened,logged (default); closed, updated as well",
		  &given.cell.events, 0, 0 },
		{ "attach", 0, CF_OPTION_TEXT, "WHERE",
		  "inside (default), peer (host side of a veth), tap (of\na microVM), or inside,peer",
		  &given.cell.attach, 0, 0 },
		{ "tc", 0, CF_OPTION_TEXT, "HOW", "auto (default), tcx or clsact", &given.cell.tc, 0, 0 },
		{ "bpf-object", 0, CF_OPTION_TEXT, "FILE", "BPF object in place of the built-in one",
		  &given.cell.bpf_object, 0, 0 },
		{ "require", 0, CF_OPTION_LIST, "SOURCE",
		  "exit 5 where ebpf or nflog fails, instead of going on\nwithout; may be given often", &given.require,
		  0, 0 },
		CF_SELECT_OPTIONS(given.select, SELECT_CELL),
		{ "run-id", 0, CF_OPTION_TEXT, "ID", "run_id of every record", &given.run_id, 0, 0 },
		{ "fail-on", 0, CF_OPTION_LIST, "WHAT",
		  "deny (exit 8), loss (7) or script-error (4); may be given often", &given.fail_on, 0, 0 },
		{ "summary-record", 0, CF_OPTION_FLAG, NULL, "end every output with the summary as a record",
		  &given.summary_record, 0, 0 },
		{ "record", 0, CF_OPTION_TEXT, "FILE",
		  "record what the policy is given, for info and replay;\na file that exists is refused", &given.record,
		  0, 0 },
		{ "force", 0, CF_OPTION_FLAG, NULL, "write over a recording that exists", &given.force, 0, 0 },
		{ "record-size", 0, CF_OPTION_NUMBER, "MIB", "go on in FILE.1, FILE.2, ... after so much",
		  &given.record_mb, 1, 1 << 24 },
		{ "record-time", 0, CF_OPTION_NUMBER, "S", "the same after so many seconds", &given.record_s, 1,
		  366 * 86400 },
		{ "flow-entries", 0, CF_OPTION_NUMBER, "N", "size of the flow table (default: 245760)",
		  &given.flow_entries, 1, 1 << 26 },
		{ "connections-cap", 0, CF_OPTION_NUMBER, "N",
		  "count this many connections exactly, then estimate (default: 1000000)", &given.connections_cap, 1,
		  CF_CONNECTIONS_CAP_MAX },
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
	cf_log_set_level(given.verbose ? CF_LOG_DEBUG : given.quiet ? CF_LOG_ERROR : CF_LOG_INFO);
	if (rc < 0 || cf_cell_options_aliases(&given.cell, &error) < 0 ||
	    fill(&given, &cell, args, &options, &error) < 0 ||
	    cf_select_fill(&given.select, SELECT_CELL, &selection, &error) < 0)
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
