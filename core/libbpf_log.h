/* SPDX-License-Identifier: MIT
 *
 * libbpf talks on stderr by default. Here its lines go to the debug log, and the latest warning is kept so that an
 * error can say it; which error that is, is left to the caller.
 */
#ifndef CF_LIBBPF_LOG_H
#define CF_LIBBPF_LOG_H
#include <stddef.h>

/* Take libbpf's output over (for the process) and forget the warning of this thread. */
void cf_libbpf_log_begin(void);
/* This thread's latest warning since then, one line without "libbpf: "; "" when there was none. */
const char *cf_libbpf_log_warning(void);

/* The lines of a verifier log that say why: its last three before the statistics, on one line. `out` gets at most
 * `size` bytes with the NUL; "" when the log is empty. */
void cf_verifier_reason(const char *log, char *out, size_t size);
#endif
