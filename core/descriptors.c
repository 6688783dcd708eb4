/* SPDX-License-Identifier: MIT
 * The limit of open files: see descriptors.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include "descriptors.h"
#include "log.h"

void cf_descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		cf_warn("raising the limit of open files to %llu: %s", (unsigned long long)limit.rlim_max,
			strerror(errno));
}

void cf_descriptors_advice(char *text, size_t size)
{
	struct rlimit limit;

	text[0] = '\0';
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		snprintf(text, size, " (limit of %llu open files; raise ulimit -Hn)",
			 (unsigned long long)limit.rlim_cur);
}
