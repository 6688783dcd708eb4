/* SPDX-License-Identifier: MIT
 *
 * The supervisor's view of a plan: allocation, what it must satisfy (the worker that sent it is not trusted), and
 * the difference between two plans, as pure functions.
 */
#ifndef CF_PLAN_CHECK_H
#define CF_PLAN_CHECK_H
#include "error.h"
#include "plan.h"

struct cf_plan *cf_plan_new(void); /* zeroed, pages touched only where used; NULL: no memory */
void cf_plan_free(struct cf_plan *plan);

/* What was not said of a cell, as plan.h has it: hooks egress, inside, the default group and events. */
void cf_plan_cell_complete(struct cf_plan_cell *cell);

/* In a cell of the command line, or-ed to sources and attach, which are choices with a 0: it was given. */
enum { CF_CELL_GIVEN = 1 << 30 };

/* The command line's cell into the plan: its fields that are given go over those of the policy's cell of that name, or
 * without a name over those of every cell; a name that the plan does not have is one cell more. 0, or -1 when the plan
 * is full. */
int cf_plan_merge_cell(struct cf_plan *plan, const struct cf_plan_cell *from, struct cf_error *error);

/* Texts terminated, counts and enums in range, names unique, exactly one of netns and pid, no NFLOG group of a
 * namespace twice. */
int cf_plan_check(const struct cf_plan *plan, struct cf_error *error);

/* What to call an output in messages: its path, "-" for stdout. */
const char *cf_plan_output_name(const struct cf_plan_output *output);

/* For each cell of `next` the index of the cell of `old` whose attachment it can keep (same namespace, interface,
 * hooks, object, way and place to attach, sources, NFLOG group and events; its name and metadata may differ), or -1:
 * attach anew. What of `old` no one keeps is to be detached. `keep` has room for next->cell_count. */
void cf_plan_diff(const struct cf_plan *old, const struct cf_plan *next, int *keep);
#endif
