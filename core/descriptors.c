/* SPDX-License-Identifier: MIT
 * Open files: see descriptors.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
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

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void cf_descriptors_detach(int *keep, int count)
{
	sigset_t all;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int from = STDERR_FILENO + 1;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	qsort(keep, (size_t)count, sizeof(*keep), compare);
	for (int i = 0; i < count; i++) {
		if (keep[i] > from)
			close_range((unsigned int)from, (unsigned int)keep[i] - 1, 0);
		if (keep[i] >= from)
			from = keep[i] + 1;
	}
	close_range((unsigned int)from, ~0U, 0);
}
