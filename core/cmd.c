/* SPDX-License-Identifier: MIT
 * What verbs share: see cmd.h. */
#include <stdlib.h>
#include <string.h>
#include "cmd.h"
#include "log.h"
#include "plan_check.h"
#include "policy_file.h"
#include "script.h"
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

static int read_include(void *context, const char *path, char **text, size_t *len, struct cf_error *error)
{
	(void)context;
	return cf_policy_read(path, NULL, 0, text, len, error);
}

int cf_cmd_load(const char *path, const char *const *args, const char *purpose, struct cf_plan **plan,
		struct cf_error *error)
{
	static const struct cf_plan_metadata no_metadata;
	struct cf_worker_config config = { .policy = { .name = path, .args = args }, .metadata = &no_metadata };
	const struct cf_opener opener = { .read = read_include };
	char *text = NULL;
	int rc = -1;

	cf_script_purpose(purpose);
	*plan = cf_plan_new();
	if (!*plan)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for a plan");
	if (cf_policy_read(path, NULL, 0, &text, &config.policy.len, error) == 0) {
		config.policy.text = text;
		rc = cf_worker_load(&config, &opener, *plan, error);
	}
	free(text);
	if (rc < 0) {
		cf_plan_free(*plan);
		*plan = NULL;
	}
	return rc;
}
