/* SPDX-License-Identifier: MIT
 *
 * One side of a comparison: recordings through one policy, in a process of its own (the Lua runtime is a process's),
 * which tells by diff_stream.h what became of each event. Writes no records.
 */
#ifndef CF_DIFF_SIDE_H
#define CF_DIFF_SIDE_H
#include <sys/types.h>
#include "capture.h"
#include "script.h"

struct cf_diff_side {
	struct cf_policy policy;
	const struct cf_opener *opener; /* of what it includes */
	char *const *paths; /* of the recordings */
	int path_count;
	const struct cf_capture_options *capture; /* NULL: nothing was said of captures */
	int tells_flows; /* 1: with each event goes what it is of */
	unsigned int log_level;
};

/* Start the process. `*fd`: where to read its messages, the caller's to close; when nobody reads, the process ends.
 * Returns its id, or -1 with CF_FAIL_INTERNAL. */
pid_t cf_diff_side_start(const struct cf_diff_side *side, int *fd, struct cf_error *error);
#endif
