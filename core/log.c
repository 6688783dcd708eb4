/* SPDX-License-Identifier: MIT
 * Log lines on stderr: see log.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "api.h"
#include "log.h"

static unsigned int max_level = CF_LOG_INFO;

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
	char line[4096];
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
	/* A log that cannot be written has nowhere to be reported. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
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
