/* SPDX-License-Identifier: MIT
 * The report's memory and the children that fill it: see doctor.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "doctor.h"

enum {
	TIME_LIMIT_MS = 10000, /* of one attempt; the longest takes a tenth of a second on an idle machine */
	KILLED_LIMIT_MS = 2000, /* a process that the kernel does not let go of cannot be waited for */
};

struct cf_doctor *cf_doctor_new(void)
{
	struct cf_doctor *doctor =
		mmap(NULL, sizeof(*doctor), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return doctor == MAP_FAILED ? NULL : doctor;
}

void cf_doctor_free(struct cf_doctor *doctor)
{
	if (doctor)
		munmap(doctor, sizeof(*doctor));
}

void cf_doctor_add(struct cf_doctor *doctor, enum cf_doctor_state state, const char *name, const char *format, ...)
{
	struct cf_doctor_check *check = &doctor->checks[doctor->check_count];
	va_list args;

	if (doctor->check_count == CF_DOCTOR_CHECKS_MAX)
		return;
	check->state = state;
	snprintf(check->name, sizeof(check->name), "%s", name);
	va_start(args, format);
	vsnprintf(check->detail, sizeof(check->detail), format, args);
	va_end(args);
	check->remedy[0] = '\0';
	doctor->check_count++; /* last: a child that is killed leaves no half check */
}

void cf_doctor_remedy(struct cf_doctor *doctor, const char *format, ...)
{
	struct cf_doctor_check *check;
	va_list args;

	if (doctor->check_count == 0)
		return;
	check = &doctor->checks[doctor->check_count - 1];
	va_start(args, format);
	vsnprintf(check->remedy, sizeof(check->remedy), format, args);
	va_end(args);
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until every writer of the pipe is gone; 0 when the time is up first. */
static int wait_for_end(int fd, long long left)
{
	long long deadline = now_ms() + left;
	struct pollfd end = { .fd = fd };
	int ready = 0;

	while (left > 0 && (ready = poll(&end, 1, (int)left)) < 0 && errno == EINTR)
		left = deadline - now_ms();
	return ready > 0;
}

static void tell_end(struct cf_doctor *doctor, const char *name, int in_time, int status)
{
	if (!in_time)
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, name, "no answer within %d seconds", TIME_LIMIT_MS / 1000);
	else if (WIFSIGNALED(status))
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, name, "the attempt was ended by signal %d (%s)", WTERMSIG(status),
			      strsignal(WTERMSIG(status)));
	else
		return;
	cf_doctor_remedy(
		doctor, "%s",
		in_time && WTERMSIG(status) == SIGSYS
			? "the system call filter that cellflow was started under refuses what it needs: widen it"
			: "try again; if it stays, the kernel's log (dmesg) may tell more");
}

/* Returns in the parent only. */
static void in_child(struct cf_doctor *doctor, const char *name, int apart, void (*attempt)(struct cf_doctor *doctor))
{
	pid_t parent = getpid(), child;
	int ends[2], status = 0, in_time, ended;

	child = pipe2(ends, O_CLOEXEC) < 0 ? -1 : fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		close(ends[0]);
		if (getppid() == parent && (!apart || unshare(CLONE_NEWNET) == 0))
			attempt(doctor);
		_exit(0);
	}
	if (child < 0) {
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, name, "no process to try it in: %s", strerror(errno));
		cf_doctor_remedy(doctor, "more processes and open files: ulimit -u, ulimit -n");
		return;
	}
	close(ends[1]);
	in_time = ended = wait_for_end(ends[0], TIME_LIMIT_MS);
	if (!in_time) {
		kill(child, SIGKILL);
		ended = wait_for_end(ends[0], KILLED_LIMIT_MS);
	}
	close(ends[0]);
	while (ended && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	tell_end(doctor, name, in_time, status);
}

void cf_doctor_try(struct cf_doctor *doctor, const char *name, void (*attempt)(struct cf_doctor *doctor))
{
	in_child(doctor, name, 0, attempt);
}

void cf_doctor_try_apart(struct cf_doctor *doctor, const char *const *names, void (*attempt)(struct cf_doctor *doctor))
{
	if (doctor->works & CF_DOCTOR_NAMESPACE) {
		in_child(doctor, names[0], 1, attempt);
		return;
	}
	for (; *names; names++)
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, *names, "not tried: there is no network namespace to try it in");
}
