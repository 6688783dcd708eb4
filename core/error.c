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

static const int exit_codes[] = {
	[CF_OK] = 0,
	[CF_FAIL_UNSUPPORTED_HOST] = 5,
	[CF_FAIL_FEATURE_DISABLED] = 5,
	[CF_FAIL_OBJECT_MISSING] = 5,
	[CF_FAIL_SETNS] = 5,
	[CF_FAIL_LOAD] = 5,
	[CF_FAIL_ATTACH] = 5,
	[CF_FAIL_RING_OPEN] = 5,
	[CF_FAIL_POLICY] = 3,
	[CF_FAIL_USAGE] = 2,
	[CF_FAIL_OUTPUT] = 1,
	[CF_FAIL_RECORDING] = 1,
	[CF_FAIL_INTERNAL] = 1,
};

int cf_failure_exit_code(enum cf_failure kind)
{
	return exit_codes[kind];
}
