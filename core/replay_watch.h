/* SPDX-License-Identifier: MIT
 *
 * Ends a replay whose policy hangs: there is no supervisor that could. What was decided is written out first, and the
 * function that hangs is named.
 */
#ifndef CF_REPLAY_WATCH_H
#define CF_REPLAY_WATCH_H
#include "outcome.h"
#include "sink.h"

/* From now on (SIGALRM and ITIMER_REAL are taken), all of which is used until the process ends. */
void cf_replay_watch(const struct cf_shared *shared, struct cf_sink *sinks, uint32_t sink_count);
/* What the policy allows itself; 0: not known yet, nothing is watched. */
void cf_replay_watch_limit(uint32_t stuck_s);
#endif
