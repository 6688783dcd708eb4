/* SPDX-License-Identifier: MIT
 * cellflow suggest: an allow-list of what recordings hold, as a policy or an nftables ruleset. */
#include <stdlib.h>
#include <string.h>
#include "allow_list.h"
#include "allow_text.h"
#include "cmd.h"
#include "log.h"
#include "replay_files.h"

static int parse_bits(const char **at, uint32_t max, uint32_t *bits)
{
	char *after;
	unsigned long value;

	if (**at < '0' || **at > '9')
		return -1;
	value = strtoul(*at, &after, 10);
	*at = after;
	*bits = (uint32_t)value;
	return value <= max ? 0 : -1;
}

/* "24" or "24,64": what counts of an IPv4 address, and of an IPv6 address. */
static int parse_cidr(const char *text, struct cf_allow_options *options, struct cf_error *error)
{
	const char *at = text;

	if (!text)
		return 0;
	if (parse_bits(&at, 32, &options->prefix4) == 0 && *at == ',') {
		at++;
		if (parse_bits(&at, 128, &options->prefix6) == 0 && *at == '\0')
			return 0;
	} else if (at != text && options->prefix4 <= 32 && *at == '\0') {
		return 0;
	}
	return cf_fail(error, CF_FAIL_USAGE, 0,
		       "--cidr: want the bits of an IPv4 network, and of an IPv6 network behind a comma (24 or 24,64), "
		       "got \"%s\"",
		       text);
}

static int read_all(struct cf_allow_list *list, char *const *paths, int count, const struct cf_capture_options *capture,
		    struct cf_error *error)
{
	static struct cf_replay_files files;
	struct cf_frame frame;
	int rc;

	if (cf_replay_files_open_as(&files, paths, count, capture, error) < 0)
		return -1;
	while ((rc = cf_replay_files_next(&files, &frame, error)) > 0) {
		rc = cf_allow_list_frame(list, &frame, error);
		if (rc < 0)
			break;
	}
	cf_replay_files_close(&files);
	return rc;
}

/* Of a damaged recording, what could be read is worth having. */
static int suggest(struct cf_allow_list *list, char *const *paths, int count, const struct cf_capture_options *capture,
		   int as_nft)
{
	struct cf_error error = { 0 };
	int code = 0;

	if (read_all(list, paths, count, capture, &error) < 0) {
		code = cf_cmd_failed(&error);
		if (error.kind != CF_FAIL_RECORDING || list->count == 0)
			return code;
	}
	cf_allow_list_sort(list);
	if ((as_nft ? cf_allow_text_nft(list, stdout) : cf_allow_text_lua(list, stdout)) < 0) {
		cf_error_log("suggest: cannot write to stdout");
		return 1;
	}
	return code;
}

static int run(int argc, char **argv)
{
	static const char *const names[] = { "lua", "nft" };
	struct cf_allow_options options = { .prefix4 = 32, .prefix6 = 128 };
	static struct cf_capture_options capture;
	struct cf_cmd_capture of_captures = { 0 };
	const char *output = NULL, *cidr = NULL;
	struct cf_allow_list *list;
	struct cf_error error = { 0 };
	int operands, code, has_capture, choice = 0;
	const struct cf_option table[] = {
		{ "output", 'o', CF_OPTION_TEXT, "FORMAT", "lua or nft (default: lua)", &output, 0, 0 },
		{ "cidr", 0, CF_OPTION_TEXT, "BITS[,BITS6]",
		  "one rule for all addresses of such a network, of IPv4 and\nof IPv6 (default: 32,128)", &cidr, 0, 0 },
		{ "ports", 0, CF_OPTION_FLAG, NULL, "one rule for all ports of a destination, seen or not",
		  &options.any_port, 0, 0 },
		CF_CMD_CAPTURE_OPTIONS(of_captures),
		{ 0 },
	};
	int rc = cf_options_parse(&cf_verb_suggest, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0 && operands == 0)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "suggest: want at least one recording or capture");
	if (rc == 0 && output)
		choice = cf_option_choice(output, names, 2, "--output", &error);
	/* How much a flow was is evidence as well. */
	if (rc == 0 && !of_captures.events && cf_capture_is(argv[0]))
		of_captures.events = "opened,closed";
	if (rc < 0 || choice < 0 || parse_cidr(cidr, &options, &error) < 0 ||
	    (has_capture = cf_cmd_capture(&of_captures, &capture, &error)) < 0)
		return cf_cmd_failed(&error);
	list = cf_allow_list_new(&options);
	if (!list) {
		cf_error_log("suggest: no memory");
		return 1;
	}
	code = suggest(list, argv, operands, has_capture ? &capture : NULL, choice == 1);
	cf_allow_list_free(list);
	return code;
}

const struct cf_verb cf_verb_suggest = {
	.name = "suggest",
	.arguments = "[OPTION]... FILE...",
	.summary = "an allow-list of what was seen, with its evidence",
	.notes = "Needs no privileges. The policy allows what left the cells and was not dropped, and denies the "
		 "rest. Of\ncaptures it reads opened and closed, unless --events is given.\n\n"
		 "Examples:\n"
		 "  cellflow suggest yesterday.rec > egress.lua\n"
		 "  cellflow suggest --cidr 24,64 -o nft yesterday.rec > egress.nft\n",
	.run = run,
};
