/* SPDX-License-Identifier: MIT
 *
 * Recordings or captures through a policy for verbs that count: no record is written, and the caller is told how each
 * event ended. What cf_cmd_replay_run does for `replay`, this does for those.
 */
#ifndef CF_REPLAY_TOLD_H
#define CF_REPLAY_TOLD_H
#include "capture.h"
#include "emit.h"
#include "script.h"
#include "select.h"

struct cf_told_options {
	char *const *paths;
	int path_count;
	const struct cf_capture_options *capture; /* NULL: nothing was said of captures */
	const char *policy_path; /* NULL: the default mapping */
	const char *const *args; /* NULL: those that were recorded */
	const struct cf_opener *opener; /* of what the policy includes */
	const struct cf_selection *selection; /* NULL: all events */
	struct cf_emit_tap tap;
	/* The policy was read, for this recording: cf_script_ask may be used. -1 ends it all. NULL: no one wants to
	 * know. */
	int (*begun)(void *context, struct cf_error *error);
	void *context; /* of begun */
};

struct cf_told {
	uint64_t recordings;
	uint64_t events; /* records + deduplicated + suppressed + filtered + failed */
	uint64_t records, decisions[3]; /* by enum cf_decision_code */
	uint64_t deduplicated, suppressed, filtered, failed;
	uint64_t refused; /* events of cells that the recording does not name */
	uint64_t script_errors;
	uint64_t lost; /* events, when it was recorded */
	int is_whole; /* 0: a recording was not read to its end, or has none */
};

/* Once a process. 0; -1: with CF_FAIL_RECORDING and told->recordings, what was readable was told. */
int cf_replay_told(const struct cf_told_options *options, struct cf_told *told, struct cf_error *error);
#endif
