/* SPDX-License-Identifier: MIT
 *
 * Log lines on stderr, one write each: "cellflow: warning: TEXT". Control bytes in the text are escaped, so that
 * names from a cell cannot forge lines. Levels are enum cf_log_level (api.h).
 */
#ifndef CF_LOG_H
#define CF_LOG_H
#include <stdint.h>

enum {
	CF_LOG_PATIENCE_MS = 100, /* in a second of a run: a log that nobody reads must not hold up events */
	CF_LOG_LAST_PATIENCE_MS = 2000, /* for the last lines of a run together */
};

/* Wait in each second at most so many milliseconds for room on stderr; a line that finds none is left out, counted in
 * *lost (shared between processes; not NULL) and told with the next one. UINT32_MAX, at the start: wait for ever, as
 * verbs of one shot do. */
void cf_log_patience(uint32_t ms, _Atomic uint64_t *lost);
/* From now on so many milliseconds in all, where patience has a limit. */
void cf_log_last_patience(uint32_t ms);

void cf_log_set_level(unsigned int level);
__attribute__((format(printf, 2, 3))) void cf_log(unsigned int level, const char *format, ...);
#define cf_error_log(...) cf_log(0, __VA_ARGS__)
#define cf_warn(...) cf_log(1, __VA_ARGS__)
#define cf_info(...) cf_log(2, __VA_ARGS__)
#define cf_debug(...) cf_log(3, __VA_ARGS__)
#endif
