/* SPDX-License-Identifier: MIT
 *
 * Has a policy file changed since it was read? By looking at it some times a second: editors replace files, mounts
 * come and go, and a look costs a microsecond. What to do then is the supervisor's.
 */
#ifndef CF_POLICY_WATCH_H
#define CF_POLICY_WATCH_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum { CF_POLICY_FILES_MAX = 64 };

struct cf_policy_watch {
	struct {
		char *path; /* owned */
		struct stat seen;
	} files[CF_POLICY_FILES_MAX];
	uint32_t count;
	bool changing;
};

/* Forget all files; then note each as it is read. More than CF_POLICY_FILES_MAX are not watched. */
void cf_policy_watch_begin(struct cf_policy_watch *watch);
void cf_policy_watch_note(struct cf_policy_watch *watch, const char *path);
/* 1, once for each change: some file is not as it was noted, and has stayed the same between two calls, so that it is
 * not read half-written. A file that has gone is waited for. */
bool cf_policy_watch_changed(struct cf_policy_watch *watch);
#endif
