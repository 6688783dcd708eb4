/* SPDX-License-Identifier: MIT
 * Log lines on stderr: see log.h. */
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "api.h"
#include "log.h"

enum { LINE_LEN = 4096 }; /* PIPE_BUF: what fits into a pipe that has room, and is not torn there */

static unsigned int max_level = CF_LOG_INFO;

static struct {
	uint32_t ms; /* in a second */
	_Atomic uint64_t *lost; /* of all processes of the run */
	uint64_t untold; /* of this one */
	int is_last; /* nothing is added any more */
	int64_t second; /* in which `used` was waited */
	int64_t used;
} patience = { .ms = UINT32_MAX };

void cf_log_patience(uint32_t ms, _Atomic uint64_t *lost)
{
	patience.ms = ms;
	patience.lost = lost;
	patience.used = 0;
	patience.is_last = 0;
}

void cf_log_last_patience(uint32_t ms)
{
	if (patience.ms == UINT32_MAX)
		return;
	patience.ms = ms;
	patience.used = 0;
	patience.is_last = 1;
}

static int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* An error counts as room: the write will not wait. */
static int has_room(int wait_ms)
{
	struct pollfd log = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&log, 1, wait_ms) > 0;
}

static int wait_for_room(void)
{
	int64_t began, left;
	int found;

	if (patience.ms == UINT32_MAX || has_room(0))
		return 1;
	began = monotonic_ms();
	if (!patience.is_last && began / 1000 != patience.second) {
		patience.second = began / 1000;
		patience.used = 0;
	}
	left = (int64_t)patience.ms - patience.used;
	if (left <= 0)
		return 0;
	found = has_room((int)left);
	patience.used += monotonic_ms() - began;
	return found;
}

static void write_line(const char *line, size_t len)
{
	char told[128];

	if (!wait_for_room()) {
		patience.untold++;
		atomic_fetch_add(patience.lost, 1);
		return;
	}
	if (patience.untold) {
		int told_len = snprintf(told, sizeof(told),
					"cellflow: warning: %" PRIu64
					" log line%s lost: nobody read them in time\n",
					patience.untold, patience.untold == 1 ? " was" : "s were");

		patience.untold = 0;
		if (write(STDERR_FILENO, told, (size_t)told_len) < 0)
			return;
		write_line(line, len);
		return;
	}
	/* A log that cannot be written has nowhere to be reported. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

void cf_log_set_level(unsigned int level)
{
	max_level = level;
}

static const char *level_prefix(unsigned int level)
{
	switch (level) {
	case CF_LOG_ERROR:
		return "cellflow: error: ";
	case CF_LOG_WARN:
		return "cellflow: warning: ";
	case CF_LOG_INFO:
		return "cellflow: ";
	default:
		return "cellflow: debug: ";
	}
}

void cf_log_text(uint32_t level, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	char line[LINE_LEN];
	size_t used;

	if (level > max_level)
		return;
	used = strlen(level_prefix(level));
	memcpy(line, level_prefix(level), used);
	for (size_t i = 0; i < len && used < sizeof(line) - 5; i++) {
		unsigned char byte = (unsigned char)text[i];

		if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
			line[used++] = '\\';
			line[used++] = 'x';
			line[used++] = hex[byte >> 4];
			line[used++] = hex[byte & 15];
		} else {
			line[used++] = (char)byte;
		}
	}
	line[used++] = '\n';
	write_line(line, used);
}

void cf_log(unsigned int level, const char *format, ...)
{
	char text[4096];
	va_list args;
	int len;

	if (level > max_level)
		return;
	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len < 0)
		return;
	cf_log_text(level, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}
