/* SPDX-License-Identifier: MIT
 * Plans as data: see plan.h and plan_check.h. */
#include <string.h>
#include <sys/mman.h>
#include "api.h"
#include "plan_check.h"

struct cf_plan *cf_plan_new(void)
{
	struct cf_plan *plan =
		mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return plan == MAP_FAILED ? NULL : plan;
}

void cf_plan_free(struct cf_plan *plan)
{
	if (plan)
		munmap(plan, sizeof(*plan));
}

struct cf_plan_cell *cf_plan_add_cell(struct cf_plan *plan)
{
	return plan->cell_count < CF_CELLS_MAX ? &plan->cells[plan->cell_count++] : NULL;
}

struct cf_plan_output *cf_plan_add_output(struct cf_plan *plan)
{
	return plan->output_count < CF_OUTPUTS_MAX ? &plan->outputs[plan->output_count++] : NULL;
}

const char *cf_plan_output_name(const struct cf_plan_output *output)
{
	return output->kind == CF_OUTPUT_STDOUT ? "-" : output->path;
}

#define TERMINATED(field) (memchr((field), '\0', sizeof(field)) != NULL)

/* What a 0 in a cell means. */
static uint32_t stand_of(const struct cf_plan_cell *cell)
{
	return cell->stand ? cell->stand : CF_STAND_INSIDE;
}

static uint32_t group_of(const struct cf_plan_cell *cell)
{
	return cell->nflog_group ? cell->nflog_group : CF_NFLOG_GROUP_DEFAULT;
}

static uint32_t events_of(const struct cf_plan_cell *cell)
{
	return cell->events ? cell->events : CF_EVENTS_DEFAULT;
}

void cf_plan_cell_complete(struct cf_plan_cell *cell)
{
	cell->stand = stand_of(cell);
	cell->nflog_group = group_of(cell);
	cell->events = events_of(cell);
	cell->hooks = cell->hooks ? cell->hooks : CF_PLAN_EGRESS;
}

/* The kernel gives the group of a namespace to one socket. A cell that merely may come to read it is no reason to
 * refuse another such one: with nothing said, cells that share a namespace would all be mistakes. */
static int same_group(const struct cf_plan_cell *a, const struct cf_plan_cell *b)
{
	int a_reads = a->sources == CF_SOURCES_NFLOG || a->sources == CF_SOURCES_BOTH;
	int b_reads = b->sources == CF_SOURCES_NFLOG || b->sources == CF_SOURCES_BOTH;
	int both_may = (a_reads || a->sources == CF_SOURCES_AUTO) && (b_reads || b->sources == CF_SOURCES_AUTO);

	return both_may && (a_reads || b_reads) && group_of(a) == group_of(b) && a->pid == b->pid &&
	       strcmp(a->netns, b->netns) == 0;
}

static int check_choices(const struct cf_plan_cell *cell, struct cf_error *error)
{
	const uint32_t kinds =
		1U << CF_KIND_OPENED | 1U << CF_KIND_UPDATED | 1U << CF_KIND_CLOSED | 1U << CF_KIND_LOGGED;

	if (cell->hooks == 0 || cell->hooks > (CF_PLAN_EGRESS | CF_PLAN_INGRESS) || cell->attach > CF_ATTACH_CLSACT)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "plan: cell \"%s\": hooks %u, tc %u", cell->name,
			       cell->hooks, cell->attach);
	if (cell->sources > CF_SOURCES_NOOP || cell->nflog_group > CF_NFLOG_GROUP_MAX || (cell->events & ~kinds) != 0)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "plan: cell \"%s\": sources %u, nflog_group %u, events %u",
			       cell->name, cell->sources, cell->nflog_group, cell->events);
	if (cell->stand > (CF_STAND_INSIDE | CF_STAND_PEER | CF_STAND_TAP))
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "plan: cell \"%s\": attach %u", cell->name, cell->stand);
	if ((cell->stand & CF_STAND_TAP) && cell->stand != CF_STAND_TAP)
		return cf_fail(
			error, CF_FAIL_POLICY, 0,
			"%s: cell \"%s\": attach: a tap is the whole way into a microVM: \"tap\" goes with no other",
			cell->place, cell->name);
	return 0;
}

static int check_cell(const struct cf_plan *plan, uint32_t index, struct cf_error *error)
{
	const struct cf_plan_cell *cell = &plan->cells[index];

	if (!TERMINATED(cell->name) || !TERMINATED(cell->interface) || !TERMINATED(cell->netns) ||
	    !TERMINATED(cell->bpf_object) || !TERMINATED(cell->run_id) || !TERMINATED(cell->place))
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "plan: cell %u: a text without its end", index);
	if (!cell->name[0])
		return cf_fail(error, CF_FAIL_POLICY, 0, "%s: a cell without a name", cell->place);
	if ((cell->netns[0] != '\0') == (cell->pid != 0) || cell->pid < 0)
		return cf_fail(error, CF_FAIL_POLICY, 0, "%s: cell \"%s\": needs exactly one of netns and pid",
			       cell->place, cell->name);
	if (check_choices(cell, error) < 0)
		return -1;
	for (uint32_t i = 0; i < index; i++) {
		const struct cf_plan_cell *other = &plan->cells[i];

		if (strcmp(other->name, cell->name) == 0)
			return cf_fail(error, CF_FAIL_POLICY, 0, "%s: cell \"%s\": the name is taken by the cell at %s",
				       cell->place, cell->name, other->place);
		if (same_group(other, cell))
			return cf_fail(error, CF_FAIL_POLICY, 0,
				       "%s: cell \"%s\": NFLOG group %u of its namespace is read for cell \"%s\" at %s "
				       "(give one of them another nflog_group, or sources = \"ebpf\")",
				       cell->place, cell->name, group_of(cell), other->name, other->place);
	}
	return 0;
}

static int check_metadata(const struct cf_plan_metadata *metadata, struct cf_error *error)
{
	if (!TERMINATED(metadata->run_id) || !TERMINATED(metadata->policy_digest) || !TERMINATED(metadata->keyset_id) ||
	    !TERMINATED(metadata->issuer_kid) || !TERMINATED(metadata->correlation_id))
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "plan: metadata: a text without its end");
	return 0;
}

static int check_limits(const struct cf_plan_limits *limits, struct cf_error *error)
{
	if (limits->slow_ms < 1 || limits->slow_ms > CF_SLOW_MS_MAX || limits->stuck_s < 1 ||
	    limits->stuck_s > CF_STUCK_S_MAX || limits->memory_mb < CF_MEMORY_MB_MIN ||
	    limits->memory_mb > CF_MEMORY_MB_MAX || limits->interpreted > 1 || limits->wants_lost > 1)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "plan: limits: slow_ms %u, stuck_s %u, memory_mb %u",
			       limits->slow_ms, limits->stuck_s, limits->memory_mb);
	return 0;
}

static int check_flows(const struct cf_plan_flows *flows, struct cf_error *error)
{
	for (int i = 0; i < CF_IDLE_COUNT; i++)
		if (flows->idle_s[i] < 1 || flows->idle_s[i] > CF_IDLE_S_MAX)
			return cf_fail(error, CF_FAIL_INTERNAL, 0, "plan: flows: idle time %d is %u", i,
				       flows->idle_s[i]);
	if (flows->update_s > CF_IDLE_S_MAX)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "plan: flows: update %u", flows->update_s);
	return 0;
}

int cf_plan_check(const struct cf_plan *plan, struct cf_error *error)
{
	if (plan->cell_count > CF_CELLS_MAX || plan->output_count > CF_OUTPUTS_MAX)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "plan: %u cells, %u outputs", plan->cell_count,
			       plan->output_count);
	if (check_metadata(&plan->metadata, error) < 0 || check_limits(&plan->limits, error) < 0 ||
	    check_flows(&plan->flows, error) < 0)
		return -1;
	for (uint32_t i = 0; i < plan->output_count; i++)
		if (plan->outputs[i].kind < CF_OUTPUT_STDOUT || plan->outputs[i].kind > CF_OUTPUT_UNIX ||
		    plan->outputs[i].format >= CF_FORMAT_COUNT || !TERMINATED(plan->outputs[i].path) ||
		    !TERMINATED(plan->outputs[i].place))
			return cf_fail(error, CF_FAIL_INTERNAL, 0, "plan: output %u is malformed", i);
	for (uint32_t i = 0; i < plan->cell_count; i++)
		if (check_cell(plan, i, error) < 0)
			return -1;
	return 0;
}

static int same_attachment(const struct cf_plan_cell *a, const struct cf_plan_cell *b)
{
	return a->pid == b->pid && a->hooks == b->hooks && a->attach == b->attach && a->sources == b->sources &&
	       stand_of(a) == stand_of(b) && group_of(a) == group_of(b) && events_of(a) == events_of(b) &&
	       strcmp(a->netns, b->netns) == 0 && strcmp(a->interface, b->interface) == 0 &&
	       strcmp(a->bpf_object, b->bpf_object) == 0;
}

void cf_plan_diff(const struct cf_plan *old, const struct cf_plan *next, int *keep)
{
	uint8_t taken[CF_CELLS_MAX] = { 0 };

	for (uint32_t i = 0; i < next->cell_count; i++) {
		keep[i] = -1;
		for (uint32_t j = 0; j < old->cell_count && keep[i] < 0; j++)
			if (!taken[j] && same_attachment(&old->cells[j], &next->cells[i])) {
				keep[i] = (int)j;
				taken[j] = 1;
			}
	}
}
