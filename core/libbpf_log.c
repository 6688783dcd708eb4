/* SPDX-License-Identifier: MIT
 * libbpf's words: see libbpf_log.h. */
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "libbpf_log.h"
#include "log.h"

enum {
	REASON_LINES = 3,
};

static _Thread_local char warning[1024];

static int take_line(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[1024], *line = text, *end;
	int len;

	len = vsnprintf(text, sizeof(text), format, args);
	if (len < 0)
		return len;
	for (end = text; *end; end++)
		if (*end == '\n')
			*end = end[1] ? ' ' : '\0';
	if (strncmp(line, "libbpf: ", 8) == 0)
		line += 8;
	cf_debug("libbpf: %s", line);
	/* The summary comes after the cause and would hide it. */
	if (level == LIBBPF_WARN && strncmp(line, "failed to load object", 21) != 0)
		snprintf(warning, sizeof(warning), "%s", line);
	return len;
}

void cf_libbpf_log_begin(void)
{
	libbpf_set_print(take_line);
	warning[0] = '\0';
}

const char *cf_libbpf_log_warning(void)
{
	return warning;
}

static const char *line_before(const char *log, const char *end)
{
	while (end > log && end[-1] != '\n')
		end--;
	return end;
}

void cf_verifier_reason(const char *log, char *out, size_t size)
{
	const char *line, *from, *end = log + strlen(log);
	size_t used = 0;
	int lines = 0;

	from = end;
	while (from > log && lines < REASON_LINES) {
		line = line_before(log, from - 1);
		from = line;
		if (strncmp(line, "processed ", 10) == 0) {
			end = line;
			lines = 0;
		} else if (*line != '\n') {
			lines++;
		}
	}
	for (; from < end && used + 3 < size; from++) {
		if (*from != '\n') {
			out[used++] = *from;
		} else if (used && from + 1 < end && from[1] != '\n') {
			out[used++] = ';';
			out[used++] = ' ';
		}
	}
	out[used] = '\0';
}
