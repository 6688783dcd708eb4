/* SPDX-License-Identifier: MIT
 * A replay's pace: see replay_pace.h. */
#include "api.h"
#include "replay_pace.h"

double cf_replay_pace_wait(struct cf_replay_pace *pace, uint64_t recording, uint64_t now_ns)
{
	if (pace->pace <= 0 || now_ns == 0)
		return 0;
	if (recording != pace->recording || pace->from_ns == 0) {
		pace->recording = recording;
		pace->from_ns = now_ns;
		pace->from_s = cf_monotonic_seconds();
	}
	if (now_ns <= pace->from_ns)
		return 0;
	return pace->from_s + (double)(now_ns - pace->from_ns) / 1e9 / pace->pace - cf_monotonic_seconds();
}
