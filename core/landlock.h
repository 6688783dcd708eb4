/* SPDX-License-Identifier: MIT
 *
 * No file, no TCP, no signal to others, for good, where the kernel's Landlock can say so. What was open before
 * stays usable. What it is part of is confine.h's.
 */
#ifndef CF_LANDLOCK_H
#define CF_LANDLOCK_H

/* Take everything that Landlock can take from the calling process; needs NO_NEW_PRIVS. Returns the version of the
 * kernel's Landlock (1: files; 4: also TCP; 6: also signals and abstract sockets), or -errno where there is none. */
int cf_landlock_restrict(void);
#endif
