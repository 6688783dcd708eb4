/* SPDX-License-Identifier: MIT
 * What the host says of itself, without trying anything: kernel, privileges, settings, limits, tools. Part of
 * doctor.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "doctor.h"
#include "privilege.h"

enum {
	DESCRIPTORS_OF_CELL = 5, /* at most */
	DESCRIPTORS_OF_ALL = 40,
	CELLS_WANTED = 100,
};

int cf_doctor_read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, line, size - 1);
	int cause = errno;

	line[got < 0 ? 0 : got] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
	return got < 0 ? -cause : 0;
}

/* major << 8 | minor; 0: not to be told. */
static unsigned int kernel_version(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname host;

	if (uname(&host) < 0 || sscanf(host.release, "%u.%u", &major, &minor) != 2)
		return 0;
	return major << 8 | (minor & 255);
}

static void look_at_kernel(struct cf_doctor *doctor)
{
	unsigned int version = kernel_version();
	struct utsname host = { 0 };

	uname(&host);
	if (version >= 0x50c) {
		cf_doctor_add(doctor, CF_DOCTOR_OK, "kernel", "Linux %s, %s", host.release, host.machine);
		return;
	}
	cf_doctor_add(doctor, CF_DOCTOR_WARN, "kernel", "Linux %s, %s: older than what the built-in program needs",
		      host.release, host.machine);
	cf_doctor_remedy(doctor, "Linux 5.12 or newer, 6.6 for tcx; \"load\" below says whether this one will do");
}

/* CAP_SYS_ADMIN stands for the two younger ones as well; entering a namespace takes it in any case. What CAP_NET_ADMIN
 * is needed for depends on the kernel: newer ones attach by tcx without. */
static void look_at_privileges(struct cf_doctor *doctor)
{
	static const struct {
		int number;
		const char *name;
	} wanted[] = { { CAP_SYS_ADMIN, "CAP_SYS_ADMIN" },
		       { CAP_NET_ADMIN, "CAP_NET_ADMIN" },
		       { CAP_BPF, "CAP_BPF" },
		       { CAP_PERFMON, "CAP_PERFMON" } };
	uint64_t effective = cf_privilege_capabilities();
	int can_enter = (int)(effective >> CAP_SYS_ADMIN & 1), can_attach = (int)(effective >> CAP_NET_ADMIN & 1);
	char have[80] = "", lack[80] = "";

	for (int i = 0; i < 4; i++) {
		char *list = effective >> wanted[i].number & 1 ? have : lack;

		snprintf(list + strlen(list), sizeof(have) - strlen(list), "%s%s", list[0] ? ", " : "", wanted[i].name);
	}
	cf_doctor_add(doctor,
		      !can_enter   ? CF_DOCTOR_FAIL
		      : can_attach ? CF_DOCTOR_OK
				   : CF_DOCTOR_WARN,
		      "privileges", "uid %u, %s%s%s", geteuid(),
		      have[0] ? have : "none of the capabilities that matter", lack[0] ? "; without " : "", lack);
	if (!can_enter || !can_attach)
		cf_doctor_remedy(doctor, "run as root, or with CAP_SYS_ADMIN (to enter a cell's namespace) and "
					 "CAP_NET_ADMIN (to attach, to log)");
}

static void look_at_user_namespace(struct cf_doctor *doctor)
{
	unsigned int inside, outside, count;
	char line[128];

	if (cf_doctor_read_line("/proc/self/uid_map", line, sizeof(line)) < 0 ||
	    sscanf(line, "%u %u %u", &inside, &outside, &count) != 3 || count == 4294967295U)
		return;
	cf_doctor_add(doctor, CF_DOCTOR_WARN, "user namespace",
		      "not the machine's own: what is a privilege here is none to bpf(2)");
	cf_doctor_remedy(doctor, "run cellflow outside of it (not in a rootless container)");
}

static void look_at_btf(struct cf_doctor *doctor)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		cf_doctor_add(doctor, CF_DOCTOR_OK, "btf", "/sys/kernel/btf/vmlinux");
	else
		cf_doctor_add(doctor, CF_DOCTOR_INFO, "btf",
			      "no /sys/kernel/btf/vmlinux (%s); the built-in program does without", strerror(errno));
}

static void look_at_bpf_jit(struct cf_doctor *doctor)
{
	char line[32];

	if (cf_doctor_read_line("/proc/sys/net/core/bpf_jit_enable", line, sizeof(line)) < 0) {
		cf_doctor_add(doctor, CF_DOCTOR_INFO, "bpf jit",
			      "net.core.bpf_jit_enable cannot be seen here (it can in the machine's own namespace)");
		return;
	}
	if (strcmp(line, "0") != 0) {
		cf_doctor_add(doctor, CF_DOCTOR_OK, "bpf jit", "net.core.bpf_jit_enable = %s", line);
		return;
	}
	cf_doctor_add(doctor, CF_DOCTOR_WARN, "bpf jit",
		      "net.core.bpf_jit_enable = 0: programs are interpreted, each packet costs several times as much");
	cf_doctor_remedy(doctor, "sysctl net.core.bpf_jit_enable=1");
}

static void look_at_unprivileged(struct cf_doctor *doctor)
{
	char line[32];

	if (cf_doctor_read_line("/proc/sys/kernel/unprivileged_bpf_disabled", line, sizeof(line)) < 0)
		snprintf(line, sizeof(line), "unknown");
	cf_doctor_add(doctor, CF_DOCTOR_OK, "unprivileged bpf",
		      "kernel.unprivileged_bpf_disabled = %s; no matter, workers make no bpf(2) call", line);
}

static void look_at_memlock(struct cf_doctor *doctor)
{
	struct rlimit limit = { 0 };
	char text[48] = "unlimited";

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur != RLIM_INFINITY)
		snprintf(text, sizeof(text), "%llu kB", (unsigned long long)limit.rlim_cur >> 10);
	if (kernel_version() >= 0x50b || limit.rlim_cur == RLIM_INFINITY ||
	    cf_privilege_capabilities() >> CAP_SYS_RESOURCE & 1) {
		cf_doctor_add(doctor, CF_DOCTOR_OK, "memlock", "%s; %s", text,
			      kernel_version() >= 0x50b ? "this kernel does not charge BPF maps to it"
							: "enough, or raised by libbpf");
		return;
	}
	cf_doctor_add(doctor, CF_DOCTOR_WARN, "memlock", "%s, and this kernel charges BPF maps to it", text);
	cf_doctor_remedy(doctor, "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity)");
}

static void look_at_files(struct cf_doctor *doctor)
{
	unsigned long long limit, cells;
	struct rlimit files = { 0 };

	getrlimit(RLIMIT_NOFILE, &files);
	limit = files.rlim_max;
	cells = limit > DESCRIPTORS_OF_ALL ? (limit - DESCRIPTORS_OF_ALL) / DESCRIPTORS_OF_CELL : 0;
	if (cells > CF_CELLS_MAX)
		cells = CF_CELLS_MAX;
	cf_doctor_add(doctor, cells < CELLS_WANTED ? CF_DOCTOR_WARN : CF_DOCTOR_OK, "open files",
		      "hard limit %llu: enough for %llu cell%s%s", limit, cells, cells == 1 ? "" : "s",
		      cells == CF_CELLS_MAX ? ", as many as there can be" : "");
	if (cells < CELLS_WANTED)
		cf_doctor_remedy(doctor, "ulimit -Hn 65536 (systemd: LimitNOFILE=65536)");
}

/* Looked for where root's PATH would lead as well: an operator's may lack the directories of administration. */
static int tool_find(const char *tool, char *path, size_t size)
{
	const char *search = getenv("PATH");
	char all[4096];
	char *rest = all, *place;

	snprintf(all, sizeof(all), "%.4000s:/usr/sbin:/sbin:/usr/bin", search ? search : "");
	while ((place = strsep(&rest, ":"))) {
		if (!place[0] || (size_t)snprintf(path, size, "%s/%s", place, tool) >= size)
			continue;
		if (access(path, X_OK) == 0)
			return 1;
	}
	return 0;
}

static void look_at_tools(struct cf_doctor *doctor)
{
	char nft[200], iptables[200];
	int has_nft = tool_find("nft", nft, sizeof(nft)),
	    has_iptables = tool_find("iptables", iptables, sizeof(iptables));

	if (has_nft || has_iptables)
		cf_doctor_add(doctor, CF_DOCTOR_INFO, "log rules", "can be written with %s%s%s", has_nft ? nft : "",
			      has_nft && has_iptables ? " or " : "", has_iptables ? iptables : "");
	else
		cf_doctor_add(doctor, CF_DOCTOR_INFO, "log rules",
			      "neither nft nor iptables is here; source nflog needs one to write its rule with");
}

static void look_at_conntrack(struct cf_doctor *doctor)
{
	char line[32];

	if (cf_doctor_read_line("/proc/sys/net/netfilter/nf_conntrack_max", line, sizeof(line)) == 0)
		cf_doctor_add(doctor, CF_DOCTOR_INFO, "conntrack",
			      "nf_conntrack is here (at most %s); cellflow does without", line);
	else
		cf_doctor_add(doctor, CF_DOCTOR_INFO, "conntrack", "nf_conntrack is not loaded; cellflow does without");
}

void cf_doctor_host(struct cf_doctor *doctor)
{
	look_at_kernel(doctor);
	look_at_privileges(doctor);
	look_at_user_namespace(doctor);
	look_at_btf(doctor);
	look_at_bpf_jit(doctor);
	look_at_unprivileged(doctor);
	look_at_memlock(doctor);
	look_at_files(doctor);
	look_at_tools(doctor);
	look_at_conntrack(doctor);
}
