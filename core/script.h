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
#include "select.h"

struct cf_policy {
	const char *text; /* NULL: no policy, the default mapping decides */
	size_t len;
	const char *name; /* the file's name, as errors say it */
	const char *const *args; /* name, value, name, value, ..., NULL */
};

/* Make the state and the runtime in it. */
int cf_script_open(struct cf_error *error);
int cf_script_is_open(void);
/* End the state and all that the policy holds; cf_script_open makes another. Idempotent. */
void cf_script_close(void);
/* There is no other worker that could take over: a policy that bursts its memory ends the process with 1. */
void cf_script_alone(void);

/* Let the stack grow to what Lua's own limits of recursion can make of it, so that it is they who end a policy that
 * calls itself through string.gsub or table.sort. Once, before anything is confined. */
void cf_script_stack(void);

/* "LuaJIT 2.1.0-beta3", for people. */
const char *cf_script_version(void);

/* How the files that a policy includes are read: as cf_policy_read, with a context of the opener's own. */
struct cf_opener {
	int (*read)(void *context, const char *path, char **text, size_t *len, struct cf_error *error);
	void *context;
};

/* What the policy may hold, in MB; 0: no limit. Twice as much is never given out: Lua's "not enough memory". */
void cf_script_limit(uint32_t memory_mb);

/* Before cf_script_load: the events whose records are to be written. *until_ns: the time of --until, since 1970, or 0.
 * -1 with CF_FAIL_USAGE: the selection says it wrongly. */
int cf_script_select(const struct cf_selection *selection, uint64_t *until_ns, struct cf_error *error);

/* Run the policy file, which declares into *plan. An error is one line "file:line: what". */
int cf_script_load(const struct cf_policy *policy, const struct cf_opener *opener, struct cf_plan *plan,
		   struct cf_error *error);

/* Decide the batch of cf_batch_get(): one crossing. -1: the runtime itself failed (not a hook: those are caught
 * inside); what was not ended then is the caller's to count. */
int cf_script_batch(struct cf_error *error);

/* The latest batch took `seconds`, and `limit` is what it should. Returns 1 when the next one is to be told as well. */
int cf_script_slow(double seconds, double limit);

/* What happens between batches: handlers of start, stop and lost, and the timers that are due. */
enum cf_moment {
	CF_MOMENT_START, /* once, before everything else of a worker */
	CF_MOMENT_STOP,
	CF_MOMENT_LOST,
	CF_MOMENT_TIMER,
};
struct cf_script_moment {
	enum cf_moment moment;
	uint64_t now_ns; /* CLOCK_BOOTTIME */
	uint64_t lost; /* events, since handlers were told last */
	uint64_t lost_total;
};
/* *timer_ns: when it is to be called next with CF_MOMENT_TIMER, 0: never. */
int cf_script_moment(const struct cf_script_moment *now, uint64_t *timer_ns, struct cf_error *error);

/* Exit code of a worker whose policy held or wanted more memory than it may: the next one goes on at once. */
enum { CF_SCRIPT_FULL = 75 };

/* 1: in the interpreter, nothing compiled; 0: compiled. Interpreted at first. Beyond the memory ceiling interpreted
 * code gets Lua's "not enough memory", while compiled code ends the process with CF_SCRIPT_FULL. */
void cf_script_interpret(int on);

/* 1: after the latest batch or moment the policy held more than its soft memory limit, also after a full collection. */
int cf_script_is_full(void);

/* Who says that a policy held or wanted too much, and how often; NULL, at first: a warning each time. */
enum cf_script_full { CF_SCRIPT_HELD, CF_SCRIPT_WANTED, CF_SCRIPT_FULL_KINDS };
void cf_script_on_full(void (*tell)(enum cf_script_full how, const char *text));

/* Interface names as the supervisor resolved them, and cell names: plan index by event slot. */
int cf_script_bind(const struct cf_plan *plan, struct cf_error *error);

/* Count from now on what the compiler does (cf_trace_count). While nothing is compiled yet. */
int cf_script_count_traces(struct cf_error *error);

/* Log what is left to say (counts of repeated errors). */
void cf_script_stop(void);

/* Before cf_script_open: the runtime is not there to decide events but to be asked ("check", "explain"). Static text.
 */
void cf_script_purpose(const char *purpose);

/* What asks.lua knows under the name `what`, of `texts` (ended by NULL). Returns its number: 0 fine, 1 trouble, 2 asked
 * wrongly, 3 something is wrong with the policy; -1: the runtime failed. *text is what it said, to be freed; "" when it
 * said nothing, NULL after -1. It may change *plan, where it says so. */
int cf_script_ask(const char *what, struct cf_plan *plan, const char *const *texts, char **text,
		  struct cf_error *error);

/* Run the trusted module `name` of lua/cellflow in a state of its own, with every library and no sandbox: it returns a
 * function, which gets `texts` (ended by NULL) as a list and returns an exit code. Once a process, and then nothing of
 * the above. Returns that code; -1: the module failed. */
int cf_script_run(const char *name, const char *const *texts, struct cf_error *error);
#endif
