/* SPDX-License-Identifier: MIT
 * A worker's limits and filters, in order: see confine.h. */
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "confine.h"
#include "landlock.h"
#include "seccomp.h"

/* More private memory than any of ours: the shadow of an address sanitizer. */
#define SHADOW_BYTES (1ULL << 40)

/* Private writable memory of this process now; 0: unknown. */
static uint64_t data_now(void)
{
	unsigned long data = 0;
	char text[256];
	ssize_t got;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[got < 0 ? 0 : got] = '\0';
	if (sscanf(text, "%*u %*u %*u %*u %*u %lu", &data) != 1)
		return 0;
	return (uint64_t)data * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int lower(int resource, uint64_t to)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return -1;
	if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < to)
		to = limit.rlim_max;
	limit.rlim_cur = limit.rlim_max = to;
	return setrlimit((__rlimit_resource_t)resource, &limit);
}

/* RLIMIT_DATA and not RLIMIT_AS: ring, output buffers and shared counters are no part of what a policy can grow. Not by
 * libc's setrlimit, which is another system call. A host's own hard limit, when it is lower, stays what it is. */
static void limit_memory(uint64_t policy_bytes, int for_good, struct cf_confinement *got)
{
	uint64_t bytes = got->data_base + policy_bytes + ((uint64_t)CF_CONFINE_SLACK_MB << 20);
	struct rlimit limit = { .rlim_cur = bytes, .rlim_max = got->data_max };

	if (got->data_base == 0)
		return;
	if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < bytes)
		limit.rlim_cur = limit.rlim_max;
	if (for_good)
		limit.rlim_max = limit.rlim_cur;
	got->data_bytes = syscall(SYS_setrlimit, RLIMIT_DATA, &limit) < 0 ? 0 : limit.rlim_cur;
}

static void look_at_memory(struct cf_confinement *got)
{
	struct rlimit limit;

	got->data_base = data_now();
	if (got->data_base > SHADOW_BYTES || getrlimit(RLIMIT_DATA, &limit) < 0)
		got->data_base = 0;
	else
		got->data_max = limit.rlim_max;
}

static int has_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	return syscall(SYS_capget, &header, data) < 0 || data[0].permitted || data[1].permitted;
}

void cf_confine(uint64_t policy_bytes, uint32_t descriptors, struct cf_confinement *got)
{
	*got = (struct cf_confinement){ .uid = geteuid() };
	got->capabilities = has_capabilities();
	got->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	lower(RLIMIT_NOFILE, descriptors);
	/* Counts the uid's processes but binds this one only: others of that uid notice nothing. */
	lower(RLIMIT_NPROC, 0);
	look_at_memory(got);
	limit_memory(policy_bytes, 0, got);
	got->landlock = cf_landlock_restrict();
	got->seccomp = cf_seccomp_install(); /* last: it refuses what the calls above do */
}

void cf_confine_memory(uint64_t policy_bytes, struct cf_confinement *got)
{
	limit_memory(policy_bytes, 1, got);
}

void cf_confinement_text(const struct cf_confinement *got, char *text)
{
	char landlock[32] = "no landlock";
	char memory[48] = "memory not limited";

	if (got->landlock > 0)
		snprintf(landlock, sizeof(landlock), "landlock %d", got->landlock);
	if (got->data_bytes)
		snprintf(memory, sizeof(memory), "at most %llu MB of memory",
			 (unsigned long long)(got->data_bytes >> 20));
	snprintf(text, CF_CONFINEMENT_LEN, "uid %u, %s, %s, %s, %s, %s", got->uid,
		 got->capabilities ? "CAPABILITIES" : "no capabilities",
		 got->no_new_privs ? "no new privileges" : "NEW PRIVILEGES POSSIBLE",
		 got->seccomp == 0 ? "seccomp" : "no seccomp", landlock, memory);
}

int cf_confinement_lacks(const struct cf_confinement *got)
{
	return got->seccomp != 0 || got->landlock <= 0;
}
