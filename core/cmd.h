/* SPDX-License-Identifier: MIT
 * The verbs, one file each. */
#ifndef CF_CMD_H
#define CF_CMD_H
#include "options.h"

extern const struct cf_verb cf_verb_run;
extern const struct cf_verb cf_verb_record;
extern const struct cf_verb cf_verb_check;
extern const struct cf_verb cf_verb_explain;
extern const struct cf_verb cf_verb_test;
extern const struct cf_verb cf_verb_init;
extern const struct cf_verb cf_verb_info;
extern const struct cf_verb cf_verb_replay;
extern const struct cf_verb cf_verb_diff;
extern const struct cf_verb cf_verb_summary;
extern const struct cf_verb cf_verb_coverage;
extern const struct cf_verb cf_verb_suggest;
extern const struct cf_verb cf_verb_doctor;
extern const struct cf_verb cf_verb_version;

/* Log the failure and give its exit code. */
int cf_cmd_failed(const struct cf_error *error);
/* "name=value" items into name, value, ..., NULL. `args` has room for 2 * CF_OPTION_LIST_MAX + 1; the names are
 * copies that live as long as the process. */
int cf_cmd_args(const struct cf_option_list *list, const char **args, struct cf_error *error);

/* --fail-on: enum cf_fail_on, or-ed into *bits. */
int cf_cmd_fail_on(const struct cf_option_list *list, uint32_t *bits, struct cf_error *error);
struct cf_summary;
/* What these bits make of a run that did not fail: 4, 7, 8, or 0. */
int cf_cmd_exit_code(uint32_t fail_on, const struct cf_summary *summary);

/* How captures are to be read, as the command line has it. */
struct cf_cmd_capture {
	struct cf_option_list nets, macs;
	const char *cell_name, *events;
};
/* clang-format off */
#define CF_CMD_CAPTURE_OPTIONS(given)                                                                                  \
	{ "cell-net", 0, CF_OPTION_LIST, "[NAME=]NET", "of captures: the cell's addresses, like 10.77.0.2 or\n"          \
	  "10.77.0.0/24; may be given often", &(given).nets, 0, 0 },                                                    \
	{ "cell-mac", 0, CF_OPTION_LIST, "[NAME=]MAC", "of captures: the cell's MAC address", &(given).macs, 0, 0 },     \
	{ "cell-name", 0, CF_OPTION_TEXT, "NAME", "of captures: the cell's name (default: the file's)",                  \
	  &(given).cell_name, 0, 0 },                                                                                   \
	{ "events", 0, CF_OPTION_TEXT, "LIST", "of captures: opened, updated, closed (default: opened)",                 \
	  &(given).events, 0, 0 }
/* clang-format on */
struct cf_capture_options;
/* 1: something was said of captures, and is in `options`; 0; -1 with CF_FAIL_USAGE. */
int cf_cmd_capture(const struct cf_cmd_capture *given, struct cf_capture_options *options, struct cf_error *error);

struct cf_opener;
/* Reads what a policy includes, without privileges. */
extern const struct cf_opener cf_cmd_opener;

struct cf_plan;
/* Read and load the policy file at `path` without privileges, into a plan of its own (*plan, to be freed; NULL on
 * failure). `purpose` as for cf_script_purpose; `hanging` as `text` for cf_guard_load, should it not come back. */
int cf_cmd_load(const char *path, const char *const *args, const char *purpose, const char *hanging,
		struct cf_plan **plan, struct cf_error *error);
#endif
