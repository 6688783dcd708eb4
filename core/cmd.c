/* SPDX-License-Identifier: MIT
 * What verbs share: see cmd.h. */
#include <stdlib.h>
#include <string.h>
#include "api.h"
#include "capture.h"
#include "cmd.h"
#include "guard.h"
#include "log.h"
#include "plan_check.h"
#include "policy_file.h"
#include "script.h"
#include "summary.h"
#include "supervisor.h"
#include "worker.h"

int cf_cmd_failed(const struct cf_error *error)
{
	cf_error_log("%s", error->text);
	return cf_failure_exit_code(error->kind);
}

int cf_cmd_args(const struct cf_option_list *list, const char **args, struct cf_error *error)
{
	for (int i = 0; i < list->count; i++) {
		const char *equals = strchr(list->items[i], '=');

		if (!equals || equals == list->items[i])
			return cf_fail(error, CF_FAIL_USAGE, 0, "-a %s: want NAME=VALUE", list->items[i]);
		args[2 * i] = strndup(list->items[i], (size_t)(equals - list->items[i]));
		args[2 * i + 1] = equals + 1;
	}
	args[2 * list->count] = NULL;
	return 0;
}

int cf_cmd_fail_on(const struct cf_option_list *list, uint32_t *bits, struct cf_error *error)
{
	static const char *const names[] = { "deny", "loss", "script-error" };

	for (int i = 0; i < list->count; i++) {
		int choice = cf_option_choice(list->items[i], names, 3, "--fail-on", error);

		if (choice < 0)
			return -1;
		*bits |= 1U << choice;
	}
	return 0;
}

int cf_cmd_exit_code(uint32_t fail_on, const struct cf_summary *summary)
{
	if ((fail_on & CF_FAIL_ON_SCRIPT_ERROR) && summary->outcome.script_errors)
		return 4;
	if ((fail_on & CF_FAIL_ON_LOSS) && summary->lost)
		return 7;
	if ((fail_on & CF_FAIL_ON_DENY) && summary->outcome.decisions[CF_DENY])
		return 8;
	return 0;
}

int cf_cmd_capture(const struct cf_cmd_capture *given, struct cf_capture_options *options, struct cf_error *error)
{
	for (int i = 0; i < given->nets.count; i++)
		if (cf_capture_add_net(options, given->nets.items[i], error) < 0)
			return -1;
	for (int i = 0; i < given->macs.count; i++)
		if (cf_capture_add_mac(options, given->macs.items[i], error) < 0)
			return -1;
	if ((given->cell_name && cf_capture_name_cell(options, given->cell_name, error) < 0) ||
	    (given->events && cf_capture_events(options, given->events, error) < 0))
		return -1;
	return given->nets.count || given->macs.count || given->cell_name || given->events;
}

static int read_include(void *context, const char *path, char **text, size_t *len, struct cf_error *error)
{
	(void)context;
	return cf_policy_read(path, NULL, 0, text, len, error);
}

const struct cf_opener cf_cmd_opener = { .read = read_include };

int cf_cmd_load(const char *path, const char *const *args, const char *purpose, const char *hanging,
		struct cf_plan **plan, struct cf_error *error)
{
	static const struct cf_plan_metadata no_metadata;
	struct cf_worker_config config = { .policy = { .name = path, .args = args }, .metadata = &no_metadata };
	char *text = NULL;
	int rc = -1;

	cf_script_purpose(purpose);
	*plan = cf_plan_new();
	if (!*plan)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for a plan");
	if (cf_policy_read(path, NULL, 0, &text, &config.policy.len, error) == 0) {
		config.policy.text = text;
		cf_guard_load(path, hanging);
		rc = cf_worker_load(&config, &cf_cmd_opener, *plan, error);
		cf_guard_finish();
	}
	free(text);
	if (rc < 0) {
		cf_plan_free(*plan);
		*plan = NULL;
	}
	return rc;
}
