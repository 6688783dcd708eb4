/* SPDX-License-Identifier: MIT
 * The verbs, one file each. */
#ifndef CF_CMD_H
#define CF_CMD_H
#include "options.h"

extern const struct cf_verb cf_verb_run;
extern const struct cf_verb cf_verb_check;
extern const struct cf_verb cf_verb_explain;
extern const struct cf_verb cf_verb_test;
extern const struct cf_verb cf_verb_init;
extern const struct cf_verb cf_verb_info;
extern const struct cf_verb cf_verb_replay;
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

struct cf_opener;
/* Reads what a policy includes, without privileges. */
extern const struct cf_opener cf_cmd_opener;

struct cf_plan;
/* Read and load the policy file at `path` without privileges, into a plan of its own (*plan, to be freed; NULL on
 * failure). `purpose` as for cf_script_purpose. */
int cf_cmd_load(const char *path, const char *const *args, const char *purpose, struct cf_plan **plan,
		struct cf_error *error);
#endif
