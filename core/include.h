/* SPDX-License-Identifier: MIT
 *
 * Files that a policy includes: the worker asks for them while it loads, the supervisor reads them and hands over
 * sealed copies. The copies stay: a worker that replaces a dead one gets the text that is in force, whatever has
 * become of the file. Which files, and what they say, is the policy's business (lua/cellflow/include.lua).
 */
#ifndef CF_INCLUDE_H
#define CF_INCLUDE_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "error.h"
#include "plan.h"
#include "policy_watch.h"

enum { CF_INCLUDES_MAX = 64 }; /* files of one policy */

struct cf_includes {
	uint32_t count;
	int frozen; /* 1: in force, nothing new is read */
	struct cf_policy_watch *watch; /* is told of each file that is looked for; NULL: nobody is */
	struct {
		char path[CF_PATH_LEN];
		int fd; /* owned; a sealed memfd */
		size_t len;
	} files[CF_INCLUDES_MAX];
};

struct cf_includes *cf_includes_new(void); /* NULL: no memory */
void cf_includes_free(struct cf_includes *includes);

/* Answer a worker's request on its channel; `worker` and `group` as of cf_policy_read. 0, or -errno of the channel. */
int cf_includes_answer(struct cf_includes *includes, int channel, const char *path, const uid_t *worker, gid_t group);

/* The worker's end, a cf_opener's function: *context is the channel. */
int cf_include_ask(void *context, const char *path, char **text, size_t *len, struct cf_error *error);
#endif
