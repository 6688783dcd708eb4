/* SPDX-License-Identifier: MIT
 * cellflow info: what is in recordings and captures, and whether they are whole. */
#include "capture.h"
#include "cmd.h"
#include "info.h"
#include "log.h"

/* Exit code of one file. */
static int tell(const char *path, int as_json)
{
	struct cf_info *info = cf_info_new();
	int code = 0, rc = 0;

	if (!info) {
		cf_error_log("%s: no memory to read the recording with", path);
		return 1;
	}
	if (cf_info_read(info, path) < 0) {
		cf_error_log("%s", info->error.text);
		code = cf_failure_exit_code(info->error.kind);
	}
	if (as_json)
		rc = cf_info_print_json(info, path, stdout);
	else if (info->meta_bytes)
		rc = cf_info_print(info, path, stdout);
	if (rc < 0) {
		cf_error_log("info: cannot write to stdout");
		code = 1;
	}
	cf_info_free(info);
	return code;
}

static int run(int argc, char **argv)
{
	struct cf_error error = { 0 };
	int as_json = 0, code = 0;
	const struct cf_option table[] = {
		{ "json", 0, CF_OPTION_FLAG, NULL, "one JSON object on one line for each file", &as_json, 0, 0 },
		{ 0 },
	};
	int operands;
	int rc = cf_options_parse(&cf_verb_info, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0 && operands == 0)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "info: want at least one recording or capture");
	if (rc < 0)
		return cf_cmd_failed(&error);
	for (int i = 0; i < operands; i++) {
		int one = cf_capture_is(argv[i]) ? cf_capture_info(argv[i], as_json, stdout) : tell(argv[i], as_json);

		code = one > code ? one : code;
	}
	return code;
}

const struct cf_verb cf_verb_info = {
	.name = "info",
	.arguments = "[--json] FILE...",
	.summary = "what is in recordings and captures, and whether they are whole",
	.notes =
		"Reads all of each file, and needs no privileges. Exit code 1 when one is damaged or cut off: what is\n"
		"shown of it is what could be read. A recording without an end, whose writer was killed between "
		"blocks, is\n"
		"not damaged. Captures are files of pcap or pcapng.\n",
	.run = run,
};
