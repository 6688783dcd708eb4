/* SPDX-License-Identifier: MIT
 *
 * The privileged half: no Lua, no decisions. Spawns a worker, takes its plan, carries it out (namespaces, BPF,
 * outputs), hands the descriptors over and watches: signals, the worker, the cells.
 */
#ifndef CF_SUPERVISOR_H
#define CF_SUPERVISOR_H
#include <stdint.h>
#include "error.h"
#include "plan.h"
#include "record_keeper.h"
#include "select.h"

enum cf_fail_on { /* bits */
		  CF_FAIL_ON_DENY = 1,
		  CF_FAIL_ON_LOSS = 2,
		  CF_FAIL_ON_SCRIPT_ERROR = 4,
};

struct cf_run_options {
	const char *policy_path; /* NULL: default mapping */
	const char *const *args; /* name, value, ..., NULL */
	const struct cf_plan_cell
		*cell; /* from the command line: fields that were given; no name: for all cells; NULL: none */
	const struct cf_selection *selection; /* what of the output to show */
	struct cf_plan_metadata metadata; /* fields given on the command line */
	const char *user; /* the worker's; NULL: default */
	uint64_t ring_bytes; /* 0: default */
	uint32_t flow_entries; /* 0: default */
	uint64_t connections_cap; /* different connections counted one by one */
	uint64_t wake_interval_ns;
	uint64_t drain_ms; /* how long outputs may take at the end */
	uint32_t fail_on; /* enum cf_fail_on, or-ed */
	uint32_t required; /* CF_SOURCES_EBPF, CF_SOURCES_NFLOG, or-ed: where such a source fails, nothing takes its
			      place */
	struct cf_record_options record;
	int watch; /* read the policy again when its file changes */
	int summary_record; /* the last line of every output is the summary */
};

/* Run until told to end. Returns the process's exit code; everything worth saying was logged. */
int cf_supervisor_run(const struct cf_run_options *options);
#endif
