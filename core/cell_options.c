/* SPDX-License-Identifier: MIT
 * Which cell to watch and how, as the command line has it: see cell_options.h. */
#include <stdio.h>
#include <string.h>
#include "cell_options.h"
#include "event.h"
#include "plan_check.h"

/* By the bits of enum cf_plan_sources. */
static const char *const source_names[] = { "ebpf", "nflog" };

static int copy_text(char *to, size_t size, const char *from, const char *option, struct cf_error *error)
{
	if (!from)
		return 0;
	if (strlen(from) >= size)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--%s: longer than %zu bytes", option, size - 1);
	strcpy(to, from);
	return 0;
}

/* As for `ip netns`: a bare name lives in /run/netns. */
static int netns_path(char *to, size_t size, const char *from, struct cf_error *error)
{
	if (!from)
		return 0;
	if (snprintf(to, size, "%s%s", strchr(from, '/') ? "" : "/run/netns/", from) >= (int)size)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--netns: longer than %zu bytes", size - 1);
	return 0;
}

static int fill_texts(const struct cf_cell_options *given, struct cf_plan_cell *cell, struct cf_error *error)
{
	const char *name = given->cell;

	if (given->netns && given->pid)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--netns and --pid: give one of them");
	cell->pid = (int32_t)given->pid;
	strcpy(cell->place, "command line");
	if (!name && (given->netns || given->pid))
		name = "cell";
	if (copy_text(cell->name, sizeof(cell->name), name, "cell", error) < 0 ||
	    netns_path(cell->netns, sizeof(cell->netns), given->netns, error) < 0 ||
	    copy_text(cell->interface, sizeof(cell->interface), given->interface, "interface", error) < 0 ||
	    copy_text(cell->bpf_object, sizeof(cell->bpf_object), given->bpf_object, "bpf-object", error) < 0)
		return -1;
	return 0;
}

static int fill_hooks(const char *text, uint32_t *hooks, struct cf_error *error)
{
	static const char *const names[] = { "egress", "ingress", "both" };
	uint32_t bits = 0, both = CF_PLAN_EGRESS | CF_PLAN_INGRESS;

	if (text && cf_option_choices(text, names, 3, "--hooks", &bits, error) < 0)
		return -1;
	if (text)
		*hooks = bits & 4 ? both : bits & both;
	return 0;
}

static int fill_tc(const char *text, uint32_t *tc, struct cf_error *error)
{
	static const char *const names[] = { "auto", "tcx", "clsact" };
	int choice = text ? cf_option_choice(text, names, 3, "--tc", error) : -1;

	if (text && choice >= 0)
		*tc = (uint32_t)choice | CF_CELL_GIVEN;
	return text && choice < 0 ? -1 : 0;
}

static int fill_sources(const char *text, uint32_t *sources, struct cf_error *error)
{
	static const char *const names[] = { "ebpf", "nflog", "auto", "noop" };
	uint32_t bits = 0;

	if (!text)
		return 0;
	if (cf_option_choices(text, names, 4, "--sources", &bits, error) < 0)
		return -1;
	if (bits > 3 && bits != 4 && bits != 8)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--sources: \"%s\": only ebpf and nflog go together", text);
	*sources = (bits == 4 ? CF_SOURCES_AUTO : bits == 8 ? CF_SOURCES_NOOP : bits) | CF_CELL_GIVEN;
	return 0;
}

static int fill_stand(const char *text, uint32_t *stand, struct cf_error *error)
{
	static const char *const names[] = { "inside", "peer", "tap" };
	static const char *const ways[] = { "auto", "tcx", "clsact" };

	if (!text)
		return 0;
	for (int i = 0; i < 3; i++)
		if (strcmp(text, ways[i]) == 0)
			return cf_fail(error, CF_FAIL_USAGE, 0,
				       "--attach: \"%s\": this is where to attach (inside, peer, tap); how is --tc %s",
				       text, text);
	if (cf_option_choices(text, names, 3, "--attach", stand, error) < 0)
		return -1;
	if ((*stand & CF_STAND_TAP) && *stand != CF_STAND_TAP)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--attach: \"%s\": tap goes with no other", text);
	return 0;
}

static int fill_events(const char *text, uint32_t *events, struct cf_error *error)
{
	static const char *const names[] = { "opened", "updated", "closed", "logged" };
	uint32_t bits = 0;

	if (text && cf_option_choices(text, names, 4, "--events", &bits, error) < 0)
		return -1;
	*events = bits << CF_KIND_OPENED;
	return 0;
}

static int fill_group(long long group, uint32_t *out, struct cf_error *error)
{
	if (group == 0)
		return cf_fail(error, CF_FAIL_USAGE, 0,
			       "--nflog-group: the kernel's own log messages go to group 0; want one from 1 to %d",
			       CF_NFLOG_GROUP_MAX);
	*out = group < 0 ? 0 : (uint32_t)group;
	return 0;
}

int cf_cell_options_fill(const struct cf_cell_options *given, struct cf_plan_cell *cell, struct cf_error *error)
{
	if (fill_texts(given, cell, error) < 0 || fill_hooks(given->hooks, &cell->hooks, error) < 0 ||
	    fill_tc(given->tc, &cell->attach, error) < 0 || fill_sources(given->sources, &cell->sources, error) < 0 ||
	    fill_stand(given->attach, &cell->stand, error) < 0 ||
	    fill_events(given->events, &cell->events, error) < 0 ||
	    fill_group(given->nflog_group, &cell->nflog_group, error) < 0)
		return -1;
	return cell->name[0] || cell->interface[0] || cell->bpf_object[0] || cell->hooks || cell->attach ||
	       cell->sources || cell->stand || cell->events || cell->nflog_group;
}

int cf_cell_options_required(const struct cf_option_list *list, uint32_t *sources, struct cf_error *error)
{
	for (int i = 0; i < list->count; i++)
		if (cf_option_choices(list->items[i], source_names, 2, "--require", sources, error) < 0)
			return -1;
	return 0;
}
