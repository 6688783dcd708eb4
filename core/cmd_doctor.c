/* SPDX-License-Identifier: MIT
 * cellflow doctor: what this host can do for cellflow, what stops it, and who else is on a cell's interface. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cmd.h"
#include "doctor.h"

struct doctor_arguments {
	const char *netns, *interface;
	long long pid;
	int as_json;
};

static int fill_cell(const struct doctor_arguments *given, struct cf_plan_cell *cell, struct cf_error *error)
{
	const char *netns = given->netns ? given->netns : "", *interface = given->interface ? given->interface : "";
	/* As for `ip netns`: a bare name lives in /run/netns. */
	const char *directory = netns[0] && !strchr(netns, '/') ? "/run/netns/" : "";

	if (given->netns && given->pid)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--netns and --pid: give one of them");
	if (given->interface && !given->netns && !given->pid)
		return cf_fail(error, CF_FAIL_USAGE, 0, "--interface: of which cell? (give --netns NAME or --pid PID)");
	snprintf(cell->name, sizeof(cell->name), "doctor");
	cell->pid = (int32_t)given->pid;
	if (snprintf(cell->netns, sizeof(cell->netns), "%s%s", directory, netns) >= (int)sizeof(cell->netns))
		return cf_fail(error, CF_FAIL_USAGE, 0, "--netns: longer than %zu bytes", sizeof(cell->netns) - 1);
	if (snprintf(cell->interface, sizeof(cell->interface), "%s", interface) >= (int)sizeof(cell->interface))
		return cf_fail(error, CF_FAIL_USAGE, 0, "--interface: longer than %zu bytes",
			       sizeof(cell->interface) - 1);
	return 0;
}

static void examine(struct cf_doctor *doctor)
{
	static const char *const attach[] = { "load", "tcx", "clsact", NULL }, *const nflog[] = { "nflog", NULL };

	cf_doctor_host(doctor);
	cf_doctor_try(doctor, "namespaces", cf_doctor_namespace);
	cf_doctor_try(doctor, "worker", cf_doctor_worker);
	cf_doctor_try(doctor, "bpf", cf_doctor_bpf);
	cf_doctor_try_apart(doctor, attach, cf_doctor_attach);
	cf_doctor_try_apart(doctor, nflog, cf_doctor_nflog);
	if (doctor->cell.netns[0] || doctor->cell.pid)
		cf_doctor_try(doctor, "cell", cf_doctor_look);
	else
		doctor->works |= CF_DOCTOR_CELL | CF_DOCTOR_INTERFACE;
}

static int is_coloured(void)
{
	const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_colour && no_colour[0]) && !(terminal && strcmp(terminal, "dumb") == 0);
}

/* Returns the exit code, or -1. */
static int report(const struct cf_doctor *doctor, int as_json, struct cf_error *error)
{
	int rc = as_json ? cf_doctor_print_json(doctor, stdout) : cf_doctor_print(doctor, stdout, is_coloured());

	if (rc < 0)
		return cf_fail(error, CF_FAIL_OUTPUT, 0, "doctor: the report cannot be written to stdout");
	if (cf_doctor_ebpf_works(doctor) || cf_doctor_nflog_works(doctor))
		return 0;
	return cf_failure_exit_code(CF_FAIL_UNSUPPORTED_HOST);
}

static int run(int argc, char **argv)
{
	struct doctor_arguments given = { 0 };
	const struct cf_option table[] = {
		{ "netns", 0, CF_OPTION_TEXT, "NAME|PATH", "look at a cell: its network namespace", &given.netns, 0,
		  0 },
		{ "pid", 0, CF_OPTION_NUMBER, "PID", "the same, as that of a process", &given.pid, 1, INT_MAX },
		{ "interface", 0, CF_OPTION_TEXT, "NAME", "its interface (else the only one that is up)",
		  &given.interface, 0, 0 },
		{ "json", 0, CF_OPTION_FLAG, NULL, "one JSON object on stdout", &given.as_json, 0, 0 },
		{ 0 },
	};
	struct cf_error error = { 0 };
	struct cf_doctor *doctor = NULL;
	int operands;
	int rc = cf_options_parse(&cf_verb_doctor, table, argc, argv, &operands, &error);

	if (rc > 0)
		return 0;
	if (rc == 0 && operands)
		rc = cf_fail(&error, CF_FAIL_USAGE, 0, "doctor: takes no operand, got \"%s\"", argv[0]);
	if (rc == 0 && !(doctor = cf_doctor_new()))
		rc = cf_fail(&error, CF_FAIL_INTERNAL, 0, "doctor: no memory");
	if (rc == 0)
		rc = fill_cell(&given, &doctor->cell, &error);
	if (rc == 0) {
		examine(doctor);
		rc = report(doctor, given.as_json, &error);
	}
	cf_doctor_free(doctor);
	return rc < 0 ? cf_cmd_failed(&error) : rc;
}

const struct cf_verb cf_verb_doctor = {
	.name = "doctor",
	.arguments = "[--netns NAME|PATH | --pid PID] [--interface NAME] [--json]",
	.summary = "what this host can do for cellflow, what stops it, and who else is on a cell's interface",
	.notes = "Everything is really tried, in processes and network namespaces made for it, which are gone "
		 "afterwards.\n"
		 "Exit code 0 when at least one source would work, 5 when none would.\n",
	.run = run,
};
