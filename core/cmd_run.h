/* SPDX-License-Identifier: MIT
 *
 * What `run` and `record` share: the options that say what to watch, how large things are and how much is logged, and
 * how they become cf_run_options. Options of what is shown are select_table.h's.
 */
#ifndef CF_CMD_RUN_H
#define CF_CMD_RUN_H
#include "cell_options.h"
#include "connections.h"
#include "options.h"
#include "supervisor.h"

struct cf_cmd_run { /* as the command line has it */
	const char *config, *run_id, *user, *record;
	struct cf_cell_options cell;
	struct cf_option_list args, fail_on, require;
	long long ring_mb, flow_entries, connections_cap, wake_us, drain_s, record_mb, record_s;
	int force, summary_record, watch, verbose, quiet;
};

/* What is not 0 when it is not given. */
#define CF_CMD_RUN_DEFAULTS                                                                                            \
	{                                                                                                              \
		.connections_cap = CF_CONNECTIONS_CAP, .wake_us = 1000, .drain_s = 5, .cell.nflog_group = -1           \
	}

/* clang-format off */
/* Entries of an option table; `given` is a struct cf_cmd_run. */
#define CF_CMD_RUN_CELL_OPTIONS(given)                                                                                \
	{ "config", 'c', CF_OPTION_TEXT, "FILE", "policy file; without it the default mapping", &(given).config,      \
	  0, 0 },                                                                                                     \
	{ "watch", 'w', CF_OPTION_FLAG, NULL, "read the policy again when its file changes", &(given).watch, 0,       \
	  0 },                                                                                                        \
	{ "arg", 'a', CF_OPTION_LIST, "NAME=VALUE", "args.NAME in the policy; may be given often", &(given).args,     \
	  0, 0 },                                                                                                     \
	{ "cell", 0, CF_OPTION_TEXT, "NAME", "name of the cell, here and in the policy (default: cell)",              \
	  &(given).cell.cell, 0, 0 },                                                                                 \
	{ "netns", 0, CF_OPTION_TEXT, "NAME|PATH", "its network namespace, as ip netns or as a path",                 \
	  &(given).cell.netns, 0, 0 },                                                                                \
	{ "pid", 0, CF_OPTION_NUMBER, "PID", "its network namespace, as that of a process", &(given).cell.pid, 1,     \
	  1 << 22 },                                                                                                  \
	{ "interface", 'i', CF_OPTION_TEXT, "IF", "interface in the cell (default: the only one)",                    \
	  &(given).cell.interface, 0, 0 },                                                                            \
	{ "hooks", 0, CF_OPTION_TEXT, "WHICH", "egress (default), ingress, or both of them",                 \
	  &(given).cell.hooks, 0, 0 },                                                                           \
	{ "sources", 0, CF_OPTION_TEXT, "LIST",                                                                       \
	  "auto (default): ebpf, or nflog where that fails;\nebpf, nflog, ebpf,nflog (both, joined), noop "           \
	  "(none)",                                                                                                   \
	  &(given).cell.sources, 0, 0 },                                                                              \
	{ "nflog-group", 0, CF_OPTION_NUMBER, "N", "to which the firewall's rules log (default: 100)",                \
	  &(given).cell.nflog_group, 0, CF_NFLOG_GROUP_MAX },                                                         \
	{ "events", 0, CF_OPTION_TEXT, "LIST", "opened,logged (default); closed, updated as well",                    \
	  &(given).cell.events, 0, 0 },                                                                               \
	{ "attach", 0, CF_OPTION_TEXT, "WHERE",                                                                       \
	  "inside (default), peer (host side of a veth), tap (of\na microVM), or inside,peer",                        \
	  &(given).cell.attach, 0, 0 },                                                                               \
	{ "tc", 0, CF_OPTION_TEXT, "HOW", "auto (default), tcx or clsact", &(given).cell.tc, 0, 0 },                  \
	{ "bpf-object", 0, CF_OPTION_TEXT, "FILE", "BPF object in place of the built-in one",                         \
	  &(given).cell.bpf_object, 0, 0 },                                                                           \
	{ "require", 0, CF_OPTION_LIST, "SOURCE",                                                                     \
	  "exit 5 where ebpf or nflog fails, instead of going on\nwithout; may be given often", &(given).require,     \
	  0, 0 }
#define CF_CMD_RUN_FILE_OPTIONS(given)                                                                                \
	{ "force", 0, CF_OPTION_FLAG, NULL, "write over a recording that exists", &(given).force, 0, 0 },             \
	{ "record-size", 0, CF_OPTION_NUMBER, "MIB", "go on in FILE.1, FILE.2, ... after so much",                    \
	  &(given).record_mb, 1, 1 << 24 },                                                                           \
	{ "record-time", 0, CF_OPTION_NUMBER, "S", "the same after so many seconds", &(given).record_s, 1,            \
	  366 * 86400 }
#define CF_CMD_RUN_SIZE_OPTIONS(given)                                                                                \
	{ "flow-entries", 0, CF_OPTION_NUMBER, "N", "size of the flow table (default: 245760)",                       \
	  &(given).flow_entries, 1, 1 << 26 },                                                                        \
	{ "connections-cap", 0, CF_OPTION_NUMBER, "N",                                                                \
	  "count this many connections exactly, then estimate (default: 1000000)", &(given).connections_cap, 1,       \
	  CF_CONNECTIONS_CAP_MAX },                                                                                   \
	{ "ring-size", 0, CF_OPTION_NUMBER, "MIB", "size of the event ring (default: 16)", &(given).ring_mb, 1,       \
	  1024 },                                                                                                     \
	{ "wake-interval", 0, CF_OPTION_NUMBER, "US", "wake the worker at most this often (default: 1000)",           \
	  &(given).wake_us, 100, 1000000 },                                                                           \
	{ "drain-timeout", 0, CF_OPTION_NUMBER, "S", "time for slow outputs at the end (default: 5)",                 \
	  &(given).drain_s, 0, 3600 },                                                                                \
	{ "user", 'u', CF_OPTION_TEXT, "USER", "whom the policy runs as (default: cellflow, else nobody)",            \
	  &(given).user, 0, 0 },                                                                                      \
	{ "verbose", 'v', CF_OPTION_FLAG, NULL, "log more", &(given).verbose, 0, 0 },                                 \
	{ "quiet", 'q', CF_OPTION_FLAG, NULL, "log errors only, no summary", &(given).quiet, 0, 0 }
/* clang-format on */

/* What a run is handed. `verb` is how errors name it; `cell` and `args` (room for 2 * CF_OPTION_LIST_MAX + 1) are the
 * caller's and must outlive the run. 0, or -1 with CF_FAIL_USAGE. */
int cf_cmd_run_fill(const struct cf_verb *verb, struct cf_cmd_run *given, struct cf_plan_cell *cell, const char **args,
		    struct cf_run_options *run, struct cf_error *error);
#endif
