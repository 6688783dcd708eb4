/* SPDX-License-Identifier: MIT
 * Boot clock to time of day: see clock.h. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "json.h"

#define NS_PER_SECOND 1000000000
#define SECONDS_PER_DAY 86400
#define LAST_SECOND INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

enum {
	DATE_LEN = 11, /* "2026-01-31T" */
	SAMPLES = 5,
	TOLERANCE_NS = 100000, /* a step below it is not worth that the stamps of a flow differ */
};

static struct {
	int64_t seconds; /* the difference is seconds + ns, ns in 0..999999999 */
	uint32_t ns;
	bool known;
	bool fixed;
} offset;

static uint64_t given_boot_ns; /* 0: the host's */

/* Most stamps of a run are of the same day; only the date is worth remembering, the time of day is six divisions. */
static struct {
	int64_t day;
	char text[DATE_LEN];
} date = { .day = -1 };

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

static void keep_offset(int64_t ns)
{
	offset.seconds = ns / NS_PER_SECOND;
	ns %= NS_PER_SECOND;
	if (ns < 0) {
		offset.seconds--;
		ns += NS_PER_SECOND;
	}
	offset.ns = ns;
	offset.known = true;
}

/* What `clock` is ahead of the boot clock; *width is twice what it may be off by. */
static int64_t sample_ahead(clockid_t clock, int64_t *width_ns)
{
	int64_t best_width = INT64_MAX, best = 0;

	/* A preemption between the reads shifts the sample by as much; the tightest of a few had none. */
	for (int i = 0; i < SAMPLES; i++) {
		int64_t before = read_clock(CLOCK_BOOTTIME);
		int64_t other = read_clock(clock);
		int64_t width = read_clock(CLOCK_BOOTTIME) - before;

		if (width < best_width) {
			best_width = width;
			best = other - (before + width / 2);
		}
	}
	*width_ns = best_width;
	return best;
}

/* Between two steps the clocks are apart by the same time to the nanosecond (NTP slews both), and what differs from
 * sample to sample is the sampling. A flow's first_seen must be the same text in all of its records. */
void cf_clock_refresh(void)
{
	int64_t width, ahead, change;

	if (offset.fixed)
		return;
	ahead = sample_ahead(CLOCK_REALTIME, &width);
	change = ahead - (offset.seconds * NS_PER_SECOND + offset.ns);
	if (!offset.known || change > width + TOLERANCE_NS || -change > width + TOLERANCE_NS)
		keep_offset(ahead);
}

uint64_t cf_clock_boot_now(void)
{
	return given_boot_ns ? given_boot_ns : (uint64_t)read_clock(CLOCK_BOOTTIME);
}

void cf_clock_set_boot(uint64_t boot_ns)
{
	given_boot_ns = boot_ns;
}

uint64_t cf_clock_boot_offset(void)
{
	int64_t width, ahead = sample_ahead(CLOCK_MONOTONIC, &width);

	/* On a host that never slept the two are equal, and the middle of two readings may be off by a few ns. */
	return ahead < 0 ? (uint64_t)-ahead : 0;
}

double cf_monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void cf_clock_set_offset(int64_t offset_ns)
{
	keep_offset(offset_ns);
	offset.fixed = true;
}

int64_t cf_clock_offset(void)
{
	if (!offset.known)
		cf_clock_refresh();
	return offset.seconds * NS_PER_SECOND + offset.ns;
}

void cf_clock_follow(void)
{
	offset.fixed = false;
	given_boot_ns = 0;
	offset.known = false;
	cf_clock_refresh();
}

/* Armed so far ahead that only a set clock can end it. */
static int arm(int fd)
{
	const struct itimerspec never = { .it_value.tv_sec = LAST_SECOND };

	if (timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL))
		return -errno;
	return 0;
}

int cf_clock_step_fd(void)
{
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = arm(fd);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int cf_clock_stepped(int fd)
{
	uint64_t expirations;
	int err;

	if (read(fd, &expirations, sizeof(expirations)) >= 0 || errno == EAGAIN)
		return 0;
	if (errno != ECANCELED)
		return -errno;
	err = arm(fd);
	return err ? err : 1;
}

static void put_pair(char *out, unsigned int value)
{
	memcpy(out, cf_digit_pairs + 2 * value, 2);
}

/* Years counted from March end in the leap day, so that month lengths follow one formula; 400 years are 146097 days. */
static void format_date(int64_t day)
{
	unsigned int z = day + 719468; /* days since 0000-03-01 */
	unsigned int era = z / 146097, of_era = z % 146097;
	unsigned int year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned int of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned int from_march = (5 * of_year + 2) / 153;
	unsigned int month = from_march < 10 ? from_march + 3 : from_march - 9;
	unsigned int year = era * 400 + year_of_era + (month <= 2);

	put_pair(date.text, year / 100);
	put_pair(date.text + 2, year % 100);
	date.text[4] = '-';
	put_pair(date.text + 5, month);
	date.text[7] = '-';
	put_pair(date.text + 8, of_year - (153 * from_march + 2) / 5 + 1);
	date.text[10] = 'T';
	date.day = day;
}

static void put_fraction(char *out, uint32_t ns)
{
	*out++ = '0' + ns / 100000000;
	ns %= 100000000;
	put_pair(out, ns / 1000000);
	put_pair(out + 2, ns / 10000 % 100);
	put_pair(out + 4, ns / 100 % 100);
	put_pair(out + 6, ns % 100);
}

size_t cf_clock_format(int64_t seconds, uint32_t ns, char *out)
{
	unsigned int of_day;

	if (seconds < 0 || seconds > LAST_SECOND) {
		ns = seconds < 0 ? 0 : NS_PER_SECOND - 1;
		seconds = seconds < 0 ? 0 : LAST_SECOND;
	}
	of_day = seconds % SECONDS_PER_DAY;
	if (seconds / SECONDS_PER_DAY != date.day)
		format_date(seconds / SECONDS_PER_DAY);
	memcpy(out, date.text, DATE_LEN);
	put_pair(out + 11, of_day / 3600);
	out[13] = ':';
	put_pair(out + 14, of_day / 60 % 60);
	out[16] = ':';
	put_pair(out + 17, of_day % 60);
	out[19] = '.';
	put_fraction(out + 20, ns);
	memcpy(out + 29, "Z", 2);
	return 30;
}

/* Split before adding: a sum in nanoseconds would overflow for stamps and differences near the ends of their types. */
static int64_t wall(uint64_t boot_ns, uint32_t *ns)
{
	int64_t seconds;

	if (!offset.known)
		cf_clock_refresh();
	seconds = (int64_t)(boot_ns / NS_PER_SECOND) + offset.seconds;
	*ns = boot_ns % NS_PER_SECOND + offset.ns;
	if (*ns < NS_PER_SECOND)
		return seconds;
	*ns -= NS_PER_SECOND;
	return seconds + 1;
}

size_t cf_time_text(uint64_t boot_ns, char *out)
{
	uint32_t ns;
	int64_t seconds = wall(boot_ns, &ns);

	return cf_clock_format(seconds, ns, out);
}

double cf_wall_seconds(uint64_t boot_ns)
{
	uint32_t ns;
	int64_t seconds = wall(boot_ns, &ns);

	return (double)seconds + ns * 1e-9;
}
