/* SPDX-License-Identifier: MIT
 *
 * Which privileges there are, and giving them up, for good: what a worker does before any Lua runs. Which descriptors
 * it keeps is the caller's business.
 */
#ifndef CF_PRIVILEGE_H
#define CF_PRIVILEGE_H
#include <stdint.h>
#include <sys/types.h>
#include "error.h"

/* CAP_* of the calling process, effective: bit by number. 0 also when that cannot be had. */
uint64_t cf_privilege_capabilities(void);

/* The uid and gid of `user` (a name or a number); NULL: user "cellflow" where it exists, else "nobody". */
int cf_privilege_user(const char *user, uid_t *uid, gid_t *gid, struct cf_error *error);

/* No capability in any set, none to be gained (NO_NEW_PRIVS), no core file, not traceable by its uid's other
 * processes; as root also the given uid and gid and no other group. SIGKILL when the calling process's parent
 * `parent` dies (asked for last: a change of uid clears it). */
int cf_privilege_drop(uid_t uid, gid_t gid, pid_t parent, struct cf_error *error);
#endif
