/* SPDX-License-Identifier: MIT
 * Verbs: which there are, and how they are found. Each is one file, cmd_VERB.c. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cmd.h"
#include "log.h"
#include "script.h"

static const struct cf_verb *const verbs[] = { &cf_verb_run,	  &cf_verb_record, &cf_verb_check,   &cf_verb_explain,
					       &cf_verb_test,	  &cf_verb_init,   &cf_verb_replay,  &cf_verb_summary,
					       &cf_verb_coverage, &cf_verb_diff,   &cf_verb_suggest, &cf_verb_info,
					       &cf_verb_doctor,	  &cf_verb_version };

enum { VERB_COUNT = sizeof(verbs) / sizeof(verbs[0]) };

static void print_usage(FILE *to)
{
	fprintf(to, "cellflow: flow decisions for network namespaces, by a policy written in Lua\n\n"
		    "Usage: cellflow VERB [OPTION]...\n\n");
	for (int i = 0; i < VERB_COUNT; i++)
		fprintf(to, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
	fprintf(to, "\nOptions of a verb: cellflow VERB --help. Records go to stdout, everything else to stderr.\n"
		    "Exit codes: 0 ok, 1 failure, 2 usage, 3 policy does not load, 5 no source usable, 6 cell gone;\n"
		    "with --fail-on: 4 script-error, 7 loss, 8 deny.\n");
}

static int unknown_verb(const char *word)
{
	const char *names[VERB_COUNT];
	const char *near;

	for (int i = 0; i < VERB_COUNT; i++)
		names[i] = verbs[i]->name;
	near = cf_suggest(word, names, VERB_COUNT);
	if (near)
		cf_error_log("unknown verb \"%s\" (did you mean \"%s\"?)", word, near);
	else
		cf_error_log("unknown verb \"%s\" (see: cellflow --help)", word);
	return 2;
}

/* A descriptor 0..2 that was closed would be given to the first map or socket, and a log line written into it. In the
 * place of stdout comes one that cannot be written to: records sent there must be refused, not vanish. */
static void hold_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd == STDOUT_FILENO) {
			close(fd);
			fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		}
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	hold_standard_descriptors();
	cf_script_stack();
	if (argc < 2) {
		print_usage(stderr);
		return 2;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		print_usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return cf_verb_version.run(1, argv + 1);
	for (int i = 0; i < VERB_COUNT; i++)
		if (strcmp(argv[1], verbs[i]->name) == 0)
			return verbs[i]->run(argc - 1, argv + 1);
	return unknown_verb(argv[1]);
}
