/* SPDX-License-Identifier: MIT
 *
 * The Lua boundary: script.c is the only file that includes lua.h. One state a process. Every call is protected;
 * no Lua error ever crosses into C as a jump.
 */
#ifndef CF_SCRIPT_H
#define CF_SCRIPT_H
#include <stddef.h>
#include "error.h"
#include "plan.h"

struct cf_policy {
	const char *text; /* NULL: no policy, the default mapping decides */
	size_t len;
	const char *name; /* the file's name, as errors say it */
	const char *const *args; /* name, value, name, value, ..., NULL */
};

/* Make the state and the runtime in it. */
int cf_script_open(struct cf_error *error);
void cf_script_close(void);

/* "LuaJIT 2.1.0-beta3", for people. */
const char *cf_script_version(void);

/* Run the policy file, which declares into *plan. An error is one line "file:line: what". */
int cf_script_load(const struct cf_policy *policy, struct cf_plan *plan, struct cf_error *error);

/* Decide the batch of cf_batch_get(): one crossing. -1: the runtime itself failed (not a hook: those are caught
 * inside); what was not ended then is the caller's to count. */
int cf_script_batch(struct cf_error *error);

/* Interface names as the supervisor resolved them, and cell names: plan index by event slot. */
int cf_script_bind(const struct cf_plan *plan, struct cf_error *error);

/* Log what is left to say (counts of repeated errors). */
void cf_script_stop(void);

/* Feed every hook synthetic events of every kind, interpreted and bounded; each finding goes to `report`. Returns
 * their number, or -1. What is only worth a warning is logged as one and does not count. */
int cf_script_check(void (*report)(const char *line), struct cf_error *error);
#endif
