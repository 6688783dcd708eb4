/* SPDX-License-Identifier: MIT
 *
 * What this host can do for cellflow: a report of checks, filled in by real attempts. Each attempt runs in a child
 * process with a time limit, in a network namespace of its own where it changes anything, so that nothing is left
 * behind however it ends. The verb (cmd_doctor.c) decides which attempts are made; doctor_report.c prints.
 */
#ifndef CF_DOCTOR_H
#define CF_DOCTOR_H
#include <stdint.h>
#include <stdio.h>
#include "plan.h"

enum cf_doctor_state {
	CF_DOCTOR_OK = 0,
	CF_DOCTOR_INFO, /* good to know, decides nothing */
	CF_DOCTOR_WARN, /* works, but with less */
	CF_DOCTOR_FAIL, /* something that a source needs */
};

enum {
	CF_DOCTOR_CHECKS_MAX = 40,
	CF_DOCTOR_PROGRAMS_MAX = 64, /* of one hook; the kernel takes as many by tcx */
	CF_DOCTOR_NAME_LEN = 24,
	CF_DOCTOR_TEXT_LEN = 512,
	CF_DOCTOR_WORD_LEN = 64,
};

struct cf_doctor_check {
	uint32_t state; /* enum cf_doctor_state */
	char name[CF_DOCTOR_NAME_LEN];
	char detail[CF_DOCTOR_TEXT_LEN];
	char remedy[CF_DOCTOR_TEXT_LEN]; /* "": none */
};

enum cf_doctor_kind { /* in the order in which the kernel runs them */
		      CF_DOCTOR_XDP = 0,
		      CF_DOCTOR_TCX,
		      CF_DOCTOR_CLSACT,
};

struct cf_doctor_program {
	uint32_t kind; /* enum cf_doctor_kind */
	uint32_t id; /* of the BPF program; 0: none, or not told */
	uint32_t preference; /* this and the rest: clsact only */
	uint32_t handle;
	uint32_t chain;
	char filter[CF_DOCTOR_WORD_LEN]; /* "bpf", "flower", ... */
	char name[CF_DOCTOR_WORD_LEN]; /* "": none, or not told */
};

/* Who is on one direction of an interface, first to last. */
struct cf_doctor_hook {
	uint32_t direction; /* enum cf_flow_direction */
	uint32_t count;
	uint32_t left_out; /* more than there is room for */
	int32_t own; /* index of a cellflow's; -1: none */
	struct cf_doctor_program programs[CF_DOCTOR_PROGRAMS_MAX];
};

enum cf_doctor_works { /* bits: what was tried and worked */
		       CF_DOCTOR_NAMESPACE = 1,
		       CF_DOCTOR_WORKER = 2,
		       CF_DOCTOR_LOAD = 4,
		       CF_DOCTOR_BY_TCX = 8,
		       CF_DOCTOR_BY_CLSACT = 16,
		       CF_DOCTOR_NFLOG = 32,
		       CF_DOCTOR_CELL = 64, /* its namespace can be entered; also set when no cell was given */
		       CF_DOCTOR_INTERFACE = 128, /* as above */
};

/* Lives in memory that the children share; from cf_doctor_new. */
struct cf_doctor {
	uint32_t works; /* enum cf_doctor_works, or-ed */
	uint32_t check_count;
	uint32_t hook_count;
	int32_t ifindex; /* of the interface that was asked about */
	char interface[CF_IFNAME_LEN];
	struct cf_plan_cell cell; /* what was asked about; neither netns nor pid: nothing */
	struct cf_doctor_hook hooks[2];
	struct cf_doctor_check checks[CF_DOCTOR_CHECKS_MAX];
};

/* NULL: no memory. Freed by cf_doctor_free. */
struct cf_doctor *cf_doctor_new(void);
void cf_doctor_free(struct cf_doctor *doctor);

/* Add a check, then what helps; one line each, without a newline. */
__attribute__((format(printf, 4, 5))) void cf_doctor_add(struct cf_doctor *doctor, enum cf_doctor_state state,
							 const char *name, const char *format, ...);
__attribute__((format(printf, 2, 3))) void cf_doctor_remedy(struct cf_doctor *doctor, const char *format, ...);

/* Run `attempt` in a child process, which is killed when it takes too long. `name` names the check that says so, or
 * that the child was ended by a signal. Nothing of the child stays: descriptors, namespaces, privileges. */
void cf_doctor_try(struct cf_doctor *doctor, const char *name, void (*attempt)(struct cf_doctor *doctor));
/* The same in a new network namespace. When there can be none, each of `names` (ended by NULL) is a check that says so.
 */
void cf_doctor_try_apart(struct cf_doctor *doctor, const char *const *names, void (*attempt)(struct cf_doctor *doctor));

/* The attempts. Those of the host need no child. */
void cf_doctor_host(struct cf_doctor *doctor);
void cf_doctor_namespace(struct cf_doctor *doctor); /* apart */
void cf_doctor_worker(struct cf_doctor *doctor); /* gives up privileges */
void cf_doctor_bpf(struct cf_doctor *doctor);
void cf_doctor_attach(struct cf_doctor *doctor); /* apart */
void cf_doctor_nflog(struct cf_doctor *doctor); /* apart */
void cf_doctor_look(struct cf_doctor *doctor); /* at doctor->cell */

/* The first line of a small file, without the newline. Returns 0, or -errno and "". */
int cf_doctor_read_line(const char *path, char *line, size_t size);

/* Whether the sources would work; 0 or 1. */
int cf_doctor_ebpf_works(const struct cf_doctor *doctor);
int cf_doctor_nflog_works(const struct cf_doctor *doctor);

/* The report, for people and as one JSON object. Return 0, or -1 when it could not be written. */
int cf_doctor_print(const struct cf_doctor *doctor, FILE *to, int coloured);
int cf_doctor_print_json(const struct cf_doctor *doctor, FILE *to);
#endif
