/* SPDX-License-Identifier: MIT
 * What a worker needs and what confines it, tried as a worker would: privileges given up, filters installed, and then
 * machine code made, as LuaJIT does. Part of doctor.h. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "confine.h"
#include "doctor.h"
#include "error.h"
#include "privilege.h"

static void tell_confinement(struct cf_doctor *doctor, const struct cf_confinement *got, int no_kill)
{
	char text[CF_CONFINEMENT_LEN];

	cf_confinement_text(got, text);
	cf_doctor_add(doctor, cf_confinement_lacks(got) || no_kill ? CF_DOCTOR_WARN : CF_DOCTOR_OK, "worker", "%s%s",
		      text, no_kill ? "; one that hangs could not be ended (no CAP_KILL)" : "");
	if (no_kill)
		cf_doctor_remedy(doctor, "leave CAP_KILL to cellflow");
	else if (got->seccomp)
		cf_doctor_remedy(doctor, "a kernel with CONFIG_SECCOMP_FILTER=y, on x86-64 or arm64");
	else if (got->landlock <= 0)
		cf_doctor_remedy(doctor, "Linux 5.13 with CONFIG_SECURITY_LANDLOCK=y, and landlock among lsm= at boot");
}

/* In two steps, as LuaJIT: memory that is writable and executable at once may be refused where this is not. */
static int make_code(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *code = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (code == MAP_FAILED)
		return -errno;
	ret = mprotect(code, page, PROT_READ | PROT_EXEC) < 0 ? -errno : 0;
	munmap(code, page);
	return ret;
}

void cf_doctor_worker(struct cf_doctor *doctor)
{
	int no_kill = geteuid() == 0 && !(cf_privilege_capabilities() >> CAP_KILL & 1);
	struct cf_confinement got;
	struct cf_error error = { 0 };
	uid_t uid;
	gid_t gid;
	int ret;

	if (cf_privilege_user(NULL, &uid, &gid, &error) < 0 || cf_privilege_drop(uid, gid, getppid(), &error) < 0) {
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, "worker", "%s", error.text);
		cf_doctor_remedy(doctor, "leave CAP_SETUID and CAP_SETGID to cellflow, or do not run it as root");
		return;
	}
	cf_confine((uint64_t)CF_MEMORY_MB_DEFAULT << 20, CF_CONFINE_DESCRIPTORS, &got);
	tell_confinement(doctor, &got, no_kill);
	ret = make_code();
	if (ret < 0) {
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, "lua jit", "memory cannot be made executable: %s",
			      strerror(-ret));
		cf_doctor_remedy(doctor, "no MemoryDenyWriteExecute= in systemd's unit; SELinux: allow execmem");
		return;
	}
	cf_doctor_add(doctor, CF_DOCTOR_OK, "lua jit", "a confined worker can make machine code");
	doctor->works |= CF_DOCTOR_WORKER;
}
