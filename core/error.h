/* SPDX-License-Identifier: MIT
 *
 * A failure that a person will read: its kind (which decides the exit code and whether another source may take
 * over) and one line of text that names the thing and the remedy. Made by cf_fail, passed up, printed once.
 */
#ifndef CF_ERROR_H
#define CF_ERROR_H

enum cf_failure {
	CF_OK = 0,
	CF_FAIL_UNSUPPORTED_HOST, /* kernel without what we need, or privileges missing */
	CF_FAIL_FEATURE_DISABLED, /* left out when cellflow was built */
	CF_FAIL_OBJECT_MISSING, /* BPF object not found or not usable as a file */
	CF_FAIL_SETNS, /* namespace could not be opened or entered */
	CF_FAIL_LOAD, /* kernel or libbpf refused the object */
	CF_FAIL_ATTACH, /* interface missing, or hook refused */
	CF_FAIL_RING_OPEN,
	CF_FAIL_POLICY, /* policy does not load */
	CF_FAIL_USAGE, /* command line */
	CF_FAIL_OUTPUT, /* an output cannot be opened */
	CF_FAIL_RECORDING, /* a recording cannot be read, or not to its end */
	CF_FAIL_INTERNAL,
};

struct cf_error {
	enum cf_failure kind;
	int err; /* errno value behind it, positive; 0: none */
	char text[1024]; /* one line, no newline, no "error:" in front */
};

/* Fill `error` (may be NULL) and return -1, so that callers write `return cf_fail(...)`.
 * `err` is an errno value, positive; its words are appended by the caller's format where they help (%m is not used). */
__attribute__((format(printf, 4, 5))) int cf_fail(struct cf_error *error, enum cf_failure kind, int err,
						  const char *format, ...);
/* The process's exit code for a failure of this kind. */
int cf_failure_exit_code(enum cf_failure kind);
#endif
