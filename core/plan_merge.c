/* SPDX-License-Identifier: MIT
 * What the command line says of cells goes before what the policy says of them: see plan_check.h. */
#include <string.h>
#include "api.h"
#include "plan_check.h"

static void override_cell(struct cf_plan_cell *to, const struct cf_plan_cell *from)
{
	if (from->netns[0] || from->pid) {
		memcpy(to->netns, from->netns, sizeof(to->netns));
		to->pid = from->pid;
	}
	if (from->hooks)
		to->hooks = from->hooks;
	if (from->attach & CF_CELL_GIVEN)
		to->attach = from->attach & ~CF_CELL_GIVEN;
	if (from->sources & CF_CELL_GIVEN)
		to->sources = from->sources & ~CF_CELL_GIVEN;
	if (from->stand)
		to->stand = from->stand;
	if (from->nflog_group)
		to->nflog_group = from->nflog_group;
	if (from->events)
		to->events = from->events;
	if (from->interface[0])
		memcpy(to->interface, from->interface, sizeof(to->interface));
	if (from->bpf_object[0])
		memcpy(to->bpf_object, from->bpf_object, sizeof(to->bpf_object));
}

int cf_plan_merge_cell(struct cf_plan *plan, const struct cf_plan_cell *from, struct cf_error *error)
{
	int found = from->name[0] == '\0';
	struct cf_plan_cell *more;

	for (uint32_t i = 0; i < plan->cell_count; i++)
		if (!from->name[0] || strcmp(plan->cells[i].name, from->name) == 0) {
			override_cell(&plan->cells[i], from);
			found = 1;
		}
	if (found)
		return 0;
	more = cf_plan_add_cell(plan);
	if (!more)
		return cf_fail(error, CF_FAIL_POLICY, 0, "more than %d cells", CF_CELLS_MAX);
	memcpy(more->name, from->name, sizeof(more->name));
	memcpy(more->place, from->place, sizeof(more->place));
	override_cell(more, from);
	return 0;
}
