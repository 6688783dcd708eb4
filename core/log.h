/* SPDX-License-Identifier: MIT
 *
 * Log lines on stderr, one write each: "cellflow: warning: TEXT". Control bytes in the text are escaped, so that
 * names from a cell cannot forge lines. Levels are enum cf_log_level (api.h).
 */
#ifndef CF_LOG_H
#define CF_LOG_H

void cf_log_set_level(unsigned int level);
__attribute__((format(printf, 2, 3))) void cf_log(unsigned int level, const char *format, ...);
#define cf_error_log(...) cf_log(0, __VA_ARGS__)
#define cf_warn(...) cf_log(1, __VA_ARGS__)
#define cf_info(...) cf_log(2, __VA_ARGS__)
#define cf_debug(...) cf_log(3, __VA_ARGS__)
#endif
