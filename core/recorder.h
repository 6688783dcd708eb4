/* SPDX-License-Identifier: MIT
 *
 * The recorder process: takes frames out of the record ring and writes them into files, in compressed blocks. No Lua,
 * no privileges: files are opened by the supervisor, which it asks for the next one. It may die at any time: what is
 * not in a file is still in the ring, and a successor goes on there, in another part.
 */
#ifndef CF_RECORDER_H
#define CF_RECORDER_H
#include <sys/types.h>
#include "host_ring.h"
#include "recorded.h"

struct cf_recorder_config {
	struct cf_recorded *recorded;
	const struct cf_host_ring *ring;
	uint64_t id; /* of the recording */
	uint64_t part_bytes; /* another part after so much; 0: never */
	uint64_t part_ns; /* the same by time */
	uid_t uid;
	gid_t gid;
};

/* Life of a recorder process: never returns. `channel` is its end of the pair, `parent` the supervisor's pid. */
__attribute__((noreturn)) void cf_recorder_main(const struct cf_recorder_config *config, int channel, pid_t parent);
#endif
