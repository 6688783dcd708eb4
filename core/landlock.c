/* SPDX-License-Identifier: MIT
 * Landlock by its system calls: see landlock.h. Names and numbers are the kernel's, written out here because libc's
 * headers know the first version at most. */
#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "landlock.h"

enum {
	CREATE_RULESET = 444, /* system calls: the same number everywhere */
	RESTRICT_SELF = 446,
	ONLY_VERSION = 1, /* flag of CREATE_RULESET */
	VERSION_TCP = 4,
	VERSION_SCOPE = 6,
};

struct ruleset { /* a longer one than the kernel knows is fine as long as the rest is zero */
	uint64_t files;
	uint64_t network;
	uint64_t scope;
};

/* Rights of files by version: 1 had thirteen, then came refer, truncate, and (5) ioctl of devices. */
static uint64_t all_files(int version)
{
	int rights = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;

	return (1ULL << rights) - 1;
}

int cf_landlock_restrict(void)
{
	int version = (int)syscall(CREATE_RULESET, NULL, 0, ONLY_VERSION);
	struct ruleset rules = { 0 };
	int fd;
	int rc = 0;

	if (version < 0)
		return -errno;
	rules.files = all_files(version);
	if (version >= VERSION_TCP)
		rules.network = 3; /* bind, connect */
	if (version >= VERSION_SCOPE)
		rules.scope = 3; /* abstract sockets, signals */
	fd = (int)syscall(CREATE_RULESET, &rules, sizeof(rules), 0);
	if (fd < 0)
		return -errno;
	/* Without a single rule that gives anything back. */
	if (syscall(RESTRICT_SELF, fd, 0) < 0)
		rc = -errno;
	close(fd);
	return rc ? rc : version;
}
