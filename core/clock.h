/* SPDX-License-Identifier: MIT
 *
 * From the boot clock that events carry to the time of day that records carry, and to the boot clock from the one that
 * some BPF objects stamp with. Events keep boot-clock stamps,
 * because the time of day jumps; the difference between the two clocks is sampled when it may have changed, and kept
 * to the nanosecond while it has not.
 * When that is (a timer, the step descriptor) is the worker's business. One thread only.
 */
#ifndef CF_CLOCK_H
#define CF_CLOCK_H
#include "api.h"

/* Sample the difference of the clocks again; at most once a second and after a step. Without effect while a
 * difference is set by hand. */
void cf_clock_refresh(void);
/* Fix the difference (time of day minus boot clock, ns): replay and specs must give the same bytes each time. */
void cf_clock_set_offset(int64_t offset_ns);
/* The difference in force, ns; sampled where none is known. */
int64_t cf_clock_offset(void);
/* Stop the boot clock at `boot_ns` until the next call: a recording's time. 0: the host's again. */
void cf_clock_set_boot(uint64_t boot_ns);
/* Back to the host's clocks, after cf_clock_set_offset and cf_clock_set_boot. */
void cf_clock_follow(void);

/* A descriptor (the caller's to close) that polls readable when the time of day was set, or -errno. */
int cf_clock_step_fd(void);
/* 1: the clock was set since the last call, and the descriptor is armed again; 0: it was not; or -errno. */
int cf_clock_stepped(int fd);

/* The boot clock now, ns; the only clock that the deciding half asks, but for cf_monotonic_seconds. */
uint64_t cf_clock_boot_now(void);
/* What the boot clock is ahead of CLOCK_MONOTONIC, which stands still while the host sleeps; ns, sampled anew by each
 * call. */
uint64_t cf_clock_boot_offset(void);

/* RFC 3339 in UTC with nine digits and Z, into CF_TIME_TEXT_LEN bytes; returns the length. Seconds since 1970 outside
 * the years 1970..9999 are clamped to them, where `ns` no longer counts. */
size_t cf_clock_format(int64_t seconds, uint32_t ns, char *out);
#endif
