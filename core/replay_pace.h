/* SPDX-License-Identifier: MIT
 *
 * When a frame is due, where a recording is to take its own time, or a multiple of it. Sleeps not.
 */
#ifndef CF_REPLAY_PACE_H
#define CF_REPLAY_PACE_H
#include <stdint.h>

struct cf_replay_pace {
	double pace; /* recorded seconds in a second; 0: as many as there can be */
	uint64_t recording; /* of whose times `from_ns` is one */
	uint64_t from_ns; /* 0: none yet */
	double from_s; /* cf_monotonic_seconds at that time */
};

/* Seconds until a frame of time `now_ns` (0: it has none) of the recording number `recording` is due; not above 0: it
 * is. The first frame of a recording is due at once. */
double cf_replay_pace_wait(struct cf_replay_pace *pace, uint64_t recording, uint64_t now_ns);
#endif
