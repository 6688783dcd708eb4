/* SPDX-License-Identifier: MIT
 * Another program's environment as options: see cell_options.h. There the switches turned per-flow events on; whoever
 * starts `run` has done that, so here they only make the choice of a source count, as they did there. */
#include <stdlib.h>
#include <string.h>
#include "cell_options.h"
#include "log.h"

static const char backend_name[] = "CELLOS_PER_FLOW_BACKEND";

static const char *get(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL;
}

/* "true", "yes" and "on" were no switch there, and are none here. */
static int is_on(const char *name)
{
	const char *text = get(name);

	return text && strcmp(text, "1") == 0;
}

static int backend(const char **sources, struct cf_error *error)
{
	static const char *const names[] = { "ebpf", "nflog" };
	const char *text = get(backend_name);
	int choice;

	if (!text || *sources)
		return 0;
	if (!is_on("CELLOS_PER_FLOW_REALTIME") && !is_on("CELLOS_FIRECRACKER_PER_FLOW_EBPF")) {
		cf_warn("%s=%s: without effect, as CELLOS_PER_FLOW_REALTIME is not 1 (or give: --sources %s)",
			backend_name, text, text);
		return 0;
	}
	choice = cf_option_choice(text, names, 2, backend_name, error);
	if (choice < 0)
		return -1;
	/* Its eBPF was never without the other source behind it. */
	*sources = choice == 0 ? "auto" : "nflog";
	return 0;
}

int cf_cell_options_aliases(struct cf_cell_options *given, struct cf_error *error)
{
	if (!given->bpf_object)
		given->bpf_object = get("CELLOS_EBPF_OBJECT_PATH");
	return backend(&given->sources, error);
}
