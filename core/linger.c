/* SPDX-License-Identifier: MIT
 * The wait between looks: see linger.h.
 *
 * A look costs microseconds, whatever it finds: the timer, the switch, caches that somebody else has used meanwhile,
 * a write for each output. Below tens of thousands of events a second that is nothing, and who watches wants lines
 * soon; above, it is the larger part of an event's cost, and nobody reads that fast. */
#include "linger.h"

enum {
	BUSY = 32, /* events in an interval */
	TIMES_MAX = 32,
	LONGEST_NS = 32000000, /* however long an interval is */
	FULL_PERMILLE = 200, /* at a look: a burst of four times as many fits */
};

uint64_t cf_linger_after(struct cf_linger *linger, uint64_t interval_ns, uint32_t found, uint32_t permille)
{
	uint32_t times = linger->times ? linger->times : 1;

	if (found < BUSY * times || permille > FULL_PERMILLE)
		times = 1;
	else if (times < TIMES_MAX && 2 * times * interval_ns <= LONGEST_NS && 2 * permille <= FULL_PERMILLE)
		times *= 2;
	linger->times = times;
	return times * interval_ns;
}
