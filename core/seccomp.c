/* SPDX-License-Identifier: MIT
 * The system call filter of worker and collector: see seccomp.h.
 *
 * Written as classic BPF by hand: the list is short, needs two kinds of rule, and so the executable needs no library
 * for it at run time. mprotect(PROT_EXEC) has to stay allowed: it is how LuaJIT makes machine code. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "seccomp.h"

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef FILTER_ARCH

enum {
	X32_BIT = 0x40000000, /* another numbering of the same calls, on x86-64 */
	NEWEST_CALL = 449, /* futex_waitv, Linux 5.16: what came later is answered as an older kernel would */
	ANY = -1,
};

struct rule {
	int number;
	int argument; /* index of the one that is looked at, or ANY */
	uint32_t value; /* of that argument's lower half: the kernel takes them as int */
};

#define CALL(name)                                                                                                     \
	{                                                                                                              \
		__NR_##name, ANY, 0                                                                                    \
	}
#define CALL_IF(name, argument, value)                                                                                 \
	{                                                                                                              \
		__NR_##name, argument, (uint32_t)(value)                                                               \
	}

/* In the order of how often they happen. */
static const struct rule allowed[] = {
	CALL(write),
	CALL(ppoll),
	CALL(read),
	CALL(recvmsg),
	CALL(sendmsg),
	CALL(sendto),
	CALL(recvfrom),
	CALL(recvmmsg),
#ifdef __NR_epoll_wait
	CALL(epoll_wait),
#endif
	CALL(epoll_pwait),
	CALL(epoll_ctl),
	CALL(writev),
	CALL(readv),
#ifdef __NR_poll
	CALL(poll),
#endif
	CALL(fdatasync), /* the recorder */
	CALL(lseek),
	CALL(fstat),
	CALL_IF(newfstatat, 3, AT_EMPTY_PATH), /* how glibc does fstat */
	CALL(close),
	CALL_IF(fcntl, 1, F_GETFL),
	CALL_IF(fcntl, 1, F_GETFD),
	CALL_IF(fcntl, 1, F_SETFD),
	/* memory */
	CALL(mmap),
	CALL(munmap),
	CALL(mprotect),
	CALL(mremap),
	CALL_IF(setrlimit, 0, RLIMIT_DATA), /* cf_confine_memory; of itself only, where prlimit64 is of anybody */
	CALL(madvise),
	CALL(brk),
	/* time; most of these never leave the vDSO */
	CALL(clock_gettime),
	CALL(clock_nanosleep),
	CALL(nanosleep),
	CALL(gettimeofday),
#ifdef __NR_time
	CALL(time),
#endif
	CALL(timerfd_create),
	CALL(timerfd_settime),
	CALL(timerfd_gettime),
	/* what libc, LuaJIT and the sanitizers do by themselves */
	CALL(futex),
	CALL(rt_sigaction),
	CALL(rt_sigprocmask),
	CALL(rt_sigreturn),
	CALL(sigaltstack),
	CALL(restart_syscall),
	CALL(getrandom),
	CALL(sched_yield),
	CALL(sysinfo), /* qsort */
	CALL(getpid),
	CALL(getppid),
	CALL(gettid),
	CALL(getuid),
	CALL(geteuid),
	CALL(getgid),
	CALL(getegid),
	CALL(exit),
	CALL(exit_group),
};

/* No part of us makes these, whatever goes wrong: ending is louder than an error that an intruder ignores. */
static const int deadly[] = {
	__NR_execve,
	__NR_execveat,
	__NR_ptrace,
	__NR_process_vm_readv,
	__NR_process_vm_writev,
	__NR_bpf,
	__NR_perf_event_open,
	__NR_userfaultfd,
	__NR_io_uring_setup,
	__NR_mount,
	__NR_umount2,
	__NR_pivot_root,
	__NR_chroot,
	__NR_setns,
	__NR_unshare,
	__NR_init_module,
	__NR_finit_module,
	__NR_delete_module,
	__NR_kexec_load,
	__NR_open_by_handle_at,
	__NR_add_key,
	__NR_request_key,
	__NR_keyctl,
	__NR_pidfd_getfd,
	__NR_setuid,
	__NR_setgid,
	__NR_setreuid,
	__NR_setregid,
	__NR_setresuid,
	__NR_setresgid,
	__NR_setgroups,
	__NR_capset,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Steps of a filter: arch and numbering, two for each deadly call, six for each allowed one, and the end. */
enum { FILTER_MAX = 8 + 2 * COUNT(deadly) + 6 * (COUNT(allowed) + 1) + 4 };

struct filter {
	struct sock_filter code[FILTER_MAX];
	unsigned short len;
};

static void put(struct filter *filter, uint16_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
	filter->code[filter->len++] = (struct sock_filter)BPF_JUMP(code, k, if_true, if_false);
}

static void load(struct filter *filter, size_t offset)
{
	put(filter, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(struct filter *filter, uint32_t action)
{
	put(filter, BPF_RET | BPF_K, action, 0, 0);
}

static void allow(struct filter *filter, const struct rule *rule)
{
	if (rule->argument == ANY) {
		put(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->number, 0, 1);
		answer(filter, SECCOMP_RET_ALLOW);
		return;
	}
	put(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->number, 0, 4);
	/* Both architectures are little-endian: the lower half comes first. */
	load(filter, offsetof(struct seccomp_data, args) + 8 * (size_t)rule->argument);
	put(filter, BPF_JMP | BPF_JEQ | BPF_K, rule->value, 0, 1);
	answer(filter, SECCOMP_RET_ALLOW);
	load(filter, offsetof(struct seccomp_data, nr));
}

static void build(struct filter *filter)
{
	/* abort(3), and what a sanitizer does at the end: a signal to itself and to nobody else. */
	struct rule to_itself = CALL_IF(tgkill, 0, getpid());

	load(filter, offsetof(struct seccomp_data, arch));
	put(filter, BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0);
	answer(filter, SECCOMP_RET_KILL_PROCESS);
	load(filter, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	put(filter, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	answer(filter, SECCOMP_RET_KILL_PROCESS);
#endif
	for (size_t i = 0; i < COUNT(allowed); i++)
		allow(filter, &allowed[i]);
	allow(filter, &to_itself);
	for (size_t i = 0; i < COUNT(deadly); i++) {
		put(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)deadly[i], 0, 1);
		answer(filter, SECCOMP_RET_KILL_PROCESS);
	}
	put(filter, BPF_JMP | BPF_JGT | BPF_K, NEWEST_CALL, 0, 1);
	answer(filter, SECCOMP_RET_ERRNO | ENOSYS);
	answer(filter, SECCOMP_RET_ERRNO | EPERM);
}

int cf_seccomp_install(void)
{
	struct filter filter = { .len = 0 };
	struct sock_fprog program = { .filter = filter.code };

	build(&filter);
	program.len = filter.len;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

#else

int cf_seccomp_install(void)
{
	return -ENOSYS;
}

#endif
