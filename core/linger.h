/* SPDX-License-Identifier: MIT
 * How long the worker waits between two looks at its rings while events come. Whether it waits at all, and for what
 * else, is loop.c's. */
#ifndef CF_LINGER_H
#define CF_LINGER_H

#include <stdint.h>

struct cf_linger {
	uint32_t times; /* of the wake interval; 0 is 1 */
};

/* In nanoseconds, after a look that found that many events in rings of which the fuller one was `permille` thousandths
 * full. The wake interval when little comes; up to 32 times that, but no more than 32 ms, when so much does that each
 * look is several batches, and the rings have plenty of room for what comes meanwhile. */
uint64_t cf_linger_after(struct cf_linger *linger, uint64_t interval_ns, uint32_t found, uint32_t permille);

#endif
