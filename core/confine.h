/* SPDX-License-Identifier: MIT
 *
 * What a worker cannot do any more, whatever runs in it: asked for once, after its privileges are gone
 * (privilege.h) and before any operator's Lua is read. Never fails: a kernel that lacks a part goes without it,
 * and what is in force is told.
 */
#ifndef CF_CONFINE_H
#define CF_CONFINE_H
#include <stddef.h>
#include <stdint.h>

enum {
	CF_CONFINEMENT_LEN = 160, /* bytes of its text with the NUL */
	CF_CONFINE_DESCRIPTORS = 256, /* that a worker may have open */
	CF_CONFINE_SLACK_MB = 192, /* private memory besides the policy's: tables in C, machine code, malloc's losses */
};

struct cf_confinement {
	unsigned int uid;
	int capabilities; /* 1: some are left */
	int no_new_privs; /* 1: none can be gained */
	int seccomp; /* 0: in force; else -errno of the attempt */
	int landlock; /* version of it in force; negative: -errno of the attempt */
	uint64_t data_base; /* private memory at the start; 0: unknown, or a sanitizer's */
	uint64_t data_max; /* hard limit of private memory that the process came with */
	uint64_t data_bytes; /* private memory that the process may have; 0: not limited */
};

/* `policy_bytes`: what the policy may hold while it is read, `descriptors`: how many may be open (a worker:
 * CF_CONFINE_DESCRIPTORS). Limits these, processes (none) and private memory,
 * then Landlock, then the system call filter. */
void cf_confine(uint64_t policy_bytes, uint32_t descriptors, struct cf_confinement *got);

/* Once the policy has said what it may hold: from here on that limit is the kernel's, and cannot be raised. */
void cf_confine_memory(uint64_t policy_bytes, struct cf_confinement *got);

/* "uid 65534, no capabilities, no new privileges, seccomp, landlock 7, at most 712 MB of memory":
 * `text` has CF_CONFINEMENT_LEN bytes. */
void cf_confinement_text(const struct cf_confinement *got, char *text);

/* Whether a part is missing that newer kernels have. */
int cf_confinement_lacks(const struct cf_confinement *got);
#endif
