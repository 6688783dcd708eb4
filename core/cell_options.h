/* SPDX-License-Identifier: MIT
 *
 * The options of `run` that say which cell to watch and how: from texts to a cell with the fields that were given.
 * What a policy says of the same cell is merged elsewhere (worker.c).
 */
#ifndef CF_CELL_OPTIONS_H
#define CF_CELL_OPTIONS_H
#include "error.h"
#include "options.h"
#include "plan.h"

struct cf_cell_options {
	const char *cell, *netns, *interface, *hooks, *sources, *events, *attach, *tc,
		*bpf_object; /* NULL: not given */
	long long pid; /* 0: not given */
	long long nflog_group; /* -1: not given */
};

/* Fill `cell`, zeroed before; its name is empty when the options are for all cells of the policy. Returns 1 when
 * anything was given, 0, or -1 with CF_FAIL_USAGE. */
int cf_cell_options_fill(const struct cf_cell_options *given, struct cf_plan_cell *cell, struct cf_error *error);

/* The names under which another program's environment says the same; what was given already stays. 0, or -1 with
 * CF_FAIL_USAGE:
 *   CELLOS_PER_FLOW_BACKEND=ebpf|nflog  sources "auto" (eBPF, NFLOG where that fails) or "nflog", when
 *                                       CELLOS_PER_FLOW_REALTIME or CELLOS_FIRECRACKER_PER_FLOW_EBPF is exactly 1
 *   CELLOS_EBPF_OBJECT_PATH             bpf_object */
int cf_cell_options_aliases(struct cf_cell_options *given, struct cf_error *error);

/* --require: 1 << index of an option's list into CF_SOURCES_EBPF, CF_SOURCES_NFLOG. 0, or -1 with CF_FAIL_USAGE. */
int cf_cell_options_required(const struct cf_option_list *list, uint32_t *sources, struct cf_error *error);
#endif
