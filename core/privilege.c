/* SPDX-License-Identifier: MIT
 * Giving privileges up: see privilege.h. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "privilege.h"

uint64_t cf_privilege_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &header, data) < 0)
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

int cf_privilege_user(const char *user, uid_t *uid, gid_t *gid, struct cf_error *error)
{
	struct passwd *entry = NULL;
	char *end;
	unsigned long number;

	if (user) {
		entry = getpwnam(user);
		number = strtoul(user, &end, 10);
		if (!entry && *user && !*end && number <= UINT32_MAX - 1)
			entry = getpwuid((uid_t)number);
		if (!entry)
			return cf_fail(error, CF_FAIL_USAGE, 0, "--user %s: no such user", user);
	} else {
		entry = getpwnam("cellflow");
		if (!entry)
			entry = getpwnam("nobody");
	}
	/* 65534 is "nobody" also where no user database says so, as in a bare container. */
	*uid = entry ? entry->pw_uid : 65534;
	*gid = entry ? entry->pw_gid : 65534;
	return 0;
}

static int drop_bounding_set(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (prctl(PR_CAPBSET_READ, cap) == 1 && prctl(PR_CAPBSET_DROP, cap) < 0 && errno != EPERM)
			return -1;
	return 0;
}

static int clear_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -1;
	return (int)syscall(SYS_capset, &header, data);
}

static int become(uid_t uid, gid_t gid)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -1;
	return 0;
}

int cf_privilege_drop(uid_t uid, gid_t gid, pid_t parent, struct cf_error *error)
{
	struct rlimit no_core = { 0, 0 };

	if (drop_bounding_set() < 0 || become(uid, gid) < 0 || clear_capabilities() < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &no_core) < 0)
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "worker: cannot give up privileges: %s",
			       strerror(errno));
	if (uid != 0 && geteuid() == 0)
		return cf_fail(error, CF_FAIL_INTERNAL, EPERM, "worker: still root after giving up privileges");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "worker: parent-death signal: %s", strerror(errno));
	if (getppid() != parent) /* it died before the signal was asked for */
		_exit(1);
	return 0;
}
