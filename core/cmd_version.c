/* SPDX-License-Identifier: MIT
 * cellflow version: what this executable is made of. */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <sys/utsname.h>
#include "cmd.h"
#include "log.h"
#include "script.h"

static int run(int argc, char **argv)
{
	const struct cf_option none[] = { { 0 } };
	struct cf_error error = { 0 };
	struct utsname host;
	int operands;
	int rc = cf_options_parse(&cf_verb_version, none, argc, argv, &operands, &error);

	if (rc)
		return rc > 0 ? 0 : cf_cmd_failed(&error);
	printf("cellflow %s\nlibbpf   %s\nLua      %s\n", CF_VERSION, libbpf_version_string() + 1, cf_script_version());
	if (uname(&host) == 0)
		printf("kernel   %s %s\n", host.release, host.machine);
	return 0;
}

const struct cf_verb cf_verb_version = {
	.name = "version",
	.arguments = "",
	.summary = "versions of cellflow, its libraries and the kernel",
	.run = run,
};
