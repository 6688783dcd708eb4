/* SPDX-License-Identifier: MIT
 *
 * Reading a policy file, in the privileged half: the worker may not be able to open it. What it says is Lua's.
 */
#ifndef CF_POLICY_FILE_H
#define CF_POLICY_FILE_H
#include <stddef.h>
#include <sys/types.h>
#include "error.h"

enum { CF_POLICY_MAX = 16 * 1024 * 1024 }; /* bytes */

/* Read the whole file into *text (malloc'ed, the caller frees; NUL-terminated besides its *len bytes). A regular file
 * only, and when `worker` is not NULL one that the worker's uid and group could not have written. */
int cf_policy_read(const char *path, const uid_t *worker, gid_t group, char **text, size_t *len,
		   struct cf_error *error);
#endif
