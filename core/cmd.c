/* SPDX-License-Identifier: MIT
 * What verbs share: see cmd.h. */
#include <string.h>
#include "cmd.h"
#include "log.h"

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
