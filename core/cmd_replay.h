/* SPDX-License-Identifier: MIT
 * What `cellflow replay` does, once its options are read. */
#ifndef CF_CMD_REPLAY_H
#define CF_CMD_REPLAY_H
#include <stdint.h>
#include "capture.h"
#include "plan.h"
#include "select.h"

struct cf_cmd_replay {
	char *const *paths;
	int path_count;
	const struct cf_capture_options *capture; /* NULL: nothing was said of captures */
	const char *policy_path; /* NULL: default mapping */
	const char *const *args; /* NULL: the recorded ones */
	const struct cf_plan_metadata *metadata;
	const struct cf_selection *selection;
	double pace; /* recorded seconds in a second; 0: as many as there can be */
	uint32_t fail_on; /* enum cf_fail_on, or-ed */
	int summary_record;
	int is_quiet;
};

/* Returns the process's exit code; everything worth saying was logged. */
int cf_cmd_replay_run(const struct cf_cmd_replay *given);
#endif
