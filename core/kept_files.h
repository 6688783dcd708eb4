/* SPDX-License-Identifier: MIT
 *
 * An opener (script.h) that reads each file once: a policy that is read again during a replay must be the same one,
 * whatever has become of what it includes.
 */
#ifndef CF_KEPT_FILES_H
#define CF_KEPT_FILES_H
#include "include.h"
#include "script.h"

struct cf_kept_files {
	const struct cf_opener *opener; /* by which they are read first */
	uint32_t count;
	struct {
		char path[CF_PATH_LEN];
		char *text; /* owned */
		size_t len;
	} files[CF_INCLUDES_MAX];
};

/* As cf_opener's read, with *context a struct cf_kept_files. */
int cf_kept_files_read(void *context, const char *path, char **text, size_t *len, struct cf_error *error);
void cf_kept_files_free(struct cf_kept_files *kept);
#endif
