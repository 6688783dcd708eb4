/* SPDX-License-Identifier: MIT
 * Failures as data: see error.h. */
#include <stdarg.h>
#include <stdio.h>
#include "error.h"

int cf_fail(struct cf_error *error, enum cf_failure kind, int err, const char *format, ...)
{
	va_list args;

	if (!error)
		return -1;
	error->kind = kind;
	error->err = err;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return -1;
}

static const struct {
	const char *name;
	int exit_code;
} failures[] = {
	[CF_OK] = { "ok", 0 },
	[CF_FAIL_UNSUPPORTED_HOST] = { "unsupported host", 5 },
	[CF_FAIL_FEATURE_DISABLED] = { "feature disabled at build time", 5 },
	[CF_FAIL_OBJECT_MISSING] = { "BPF object missing", 5 },
	[CF_FAIL_SETNS] = { "setns failed", 5 },
	[CF_FAIL_LOAD] = { "load failed", 5 },
	[CF_FAIL_ATTACH] = { "attach failed", 5 },
	[CF_FAIL_RING_OPEN] = { "ring open failed", 5 },
	[CF_FAIL_POLICY] = { "policy does not load", 3 },
	[CF_FAIL_USAGE] = { "usage", 2 },
	[CF_FAIL_OUTPUT] = { "output failed", 1 },
	[CF_FAIL_INTERNAL] = { "internal failure", 1 },
};

const char *cf_failure_name(enum cf_failure kind)
{
	return failures[kind].name;
}

int cf_failure_exit_code(enum cf_failure kind)
{
	return failures[kind].exit_code;
}
