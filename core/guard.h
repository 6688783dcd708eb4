/* SPDX-License-Identifier: MIT
 *
 * The end of a verb whose policy does not come back from a call into C, which no count of instructions ends: a signal
 * after so much processor time, whose handler writes what was laid ready and exits. A run has its supervisor for that,
 * and a replay under way replay_watch.h; here is what reads and tries policies. The functions that Lua calls as well
 * are in api.h. */
#ifndef CF_GUARD_H
#define CF_GUARD_H

enum {
	CF_GUARD_LOAD_S = 10, /* as long as a supervisor gives a worker; host.lua ends loops before */
	CF_GUARD_TEXT_MAX = 1 << 18,
};

/* cf_guard_begin for the reading of the policy file at `path`; exit code 3. `text`: what to write on stdout, or NULL
 * for a line on stderr. To be ended by cf_guard_finish. */
void cf_guard_load(const char *path, const char *text);
/* What that line says, without "cellflow: error: ". */
void cf_guard_load_text(const char *path, char *text, unsigned long size);
#endif
