/* SPDX-License-Identifier: MIT
 * The watch over a replay's policy: see replay_watch.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "replay_watch.h"
#include "stuck.h"

enum { LOOK_US = 200000 };

static struct {
	const struct cf_shared *shared;
	struct cf_sink *sinks;
	uint32_t sink_count;
	volatile uint32_t stuck_s;
	struct cf_stuck stuck;
} watch;

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* While a batch is under way nothing else is in the sinks' hands, and the policy is not in this code: all of it is as
 * good here as in another process. */
static void end(void)
{
	char where[CF_PLACE_NAME_LEN] = "the runtime", line[256];
	struct cf_progress progress = watch.shared->progress[0];
	int len;

	for (uint32_t i = 0; i < watch.sink_count; i++)
		cf_sink_flush(&watch.sinks[i], cf_outcome_current(watch.shared)->outputs[i].head);
	cf_stuck_switch_off(&progress, where);
	len = snprintf(line, sizeof(line),
		       "%scellflow: error: %s did not come back within %u s (limits.stuck_s); the replay ends there\n",
		       isatty(STDERR_FILENO) ? "\r\033[K" : "", where, watch.stuck_s);
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		_exit(1);
	_exit(1);
}

static void look(int signal_number)
{
	int before = errno;

	(void)signal_number;
	if (watch.stuck_s && cf_stuck_look(&watch.stuck, watch.shared, &watch.shared->progress[0], getpid(), now_ms(),
					   (int64_t)watch.stuck_s * 1000))
		end();
	errno = before;
}

void cf_replay_watch(const struct cf_shared *shared, struct cf_sink *sinks, uint32_t sink_count)
{
	struct sigaction action = { .sa_handler = look, .sa_flags = SA_RESTART };
	const struct itimerval often = { .it_interval.tv_usec = LOOK_US, .it_value.tv_usec = LOOK_US };

	watch.shared = shared;
	watch.sinks = sinks;
	watch.sink_count = sink_count;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

void cf_replay_watch_limit(uint32_t stuck_s)
{
	watch.stuck_s = stuck_s;
}
