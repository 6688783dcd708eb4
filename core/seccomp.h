/* SPDX-License-Identifier: MIT
 *
 * The worker's system call filter: a fixed list of what it needs; everything else is refused. What it is part of is
 * confine.h's.
 */
#ifndef CF_SECCOMP_H
#define CF_SECCOMP_H

/* Install the filter for the calling process, for good; needs NO_NEW_PRIVS. Calls that are not needed fail with
 * EPERM, ones newer than this list with ENOSYS (libc then does without), and the ones that only an attack makes
 * (exec, ptrace, mount, other namespaces, modules, ...) end the process. 0, or -errno where the kernel or the
 * architecture has no filters. */
int cf_seccomp_install(void);
#endif
