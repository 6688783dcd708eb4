/* SPDX-License-Identifier: MIT
 * The whole way of a flow, tried on the loopback of a namespace that nobody else is in: the built-in program is loaded
 * and attached, by tcx and by clsact, a datagram is sent, and its event has to be in the ring. Part of doctor.h. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bpf_object.h"
#include "clsact.h"
#include "doctor.h"
#include "error.h"
#include "flow.h"
#include "netns.h"
#include "ring.h"
#include "tcx.h"

enum {
	LOOPBACK = 1, /* its index in every namespace */
	LINK_LEN = 14,
};

struct trial {
	struct cf_doctor *doctor;
	struct cf_bpf_object object;
	struct cf_ring ring;
	int is_silent; /* lo is down, nothing can be sent */
	uint16_t port; /* of the next datagram: another flow each time, or it would be no event */
};

/* Messages of core begin with the cell's name and interface, which are made up here. */
static const char *cause_of(const struct cf_error *error)
{
	const char *cause = strstr(error->text, "interface lo: ");

	return cause ? cause + strlen("interface lo: ") : error->text;
}

static int stay(void *arg)
{
	(void)arg;
	return 0;
}

void cf_doctor_namespace(struct cf_doctor *doctor)
{
	struct cf_error error = { 0 };
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int made = home < 0 ? -1 : unshare(CLONE_NEWNET);

	if (made < 0)
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, "namespaces", "making a network namespace: %s", strerror(errno));
	else if (cf_netns_do(home, stay, NULL, &error) < 0)
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, "namespaces", "%s", error.text);
	if (made < 0 || error.kind) {
		cf_doctor_remedy(doctor,
				 "run as root, or with CAP_SYS_ADMIN (a kernel with CONFIG_NET_NS=y); without it "
				 "no cell can be watched but cellflow's own namespace (/proc/self/ns/net)");
		return;
	}
	cf_doctor_add(doctor, CF_DOCTOR_OK, "namespaces", "can be made and entered");
	doctor->works |= CF_DOCTOR_NAMESPACE;
}

static int loopback_up(void)
{
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &req);

	if (fd >= 0)
		close(fd);
	return ret;
}

/* 1: an event of it came. Loopback delivers, and the hooks run, within sendto. */
static int sees_datagram(struct trial *trial)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(trial->port++) };
	uint64_t before = cf_ring_used(&trial->ring);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return 0;
	sendto(fd, "", 1, 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
	return cf_ring_used(&trial->ring) > before;
}

static void try_attached(struct trial *trial, const char *name, enum cf_doctor_works works)
{
	int sees = trial->is_silent || sees_datagram(trial);

	if (sees) {
		cf_doctor_add(trial->doctor, CF_DOCTOR_OK, name, "attaches to lo of a scratch namespace, and %s",
			      trial->is_silent ? "that is all that was tried: lo stays down"
					       : "a datagram there is an event");
		trial->doctor->works |= works;
		return;
	}
	cf_doctor_add(trial->doctor, CF_DOCTOR_FAIL, name,
		      "attaches to lo of a scratch namespace, but sees no datagram");
	cf_doctor_remedy(trial->doctor, "please report this kernel");
}

static void try_tcx(struct trial *trial)
{
	int links[2] = { -1, -1 }, cause = 0;

	for (int i = 0; i < 2 && !cause; i++) {
		links[i] = cf_tcx_attach(trial->object.prog_fd[i], LOOPBACK, i);
		cause = links[i] < 0 ? -links[i] : 0;
	}
	if (!cause) {
		try_attached(trial, "tcx", CF_DOCTOR_BY_TCX);
	} else if (cause == EINVAL) {
		cf_doctor_add(trial->doctor, CF_DOCTOR_WARN, "tcx", "this kernel has none; clsact takes its place");
		cf_doctor_remedy(trial->doctor, "Linux 6.6 or newer with CONFIG_NET_XGRESS=y");
	} else {
		cf_doctor_add(trial->doctor, CF_DOCTOR_FAIL, "tcx", "attaching to lo: %s", strerror(cause));
		cf_doctor_remedy(trial->doctor, "run as root, or with CAP_BPF and CAP_NET_ADMIN");
	}
	for (int i = 0; i < 2; i++)
		if (links[i] >= 0)
			close(links[i]);
}

static void try_clsact(struct trial *trial)
{
	const struct cf_clsact_target target = { .cell = "doctor", .ifname = "lo", .netns = 1, .ifindex = LOOPBACK };
	struct cf_error error = { 0 };
	struct cf_clsact clsact;

	cf_clsact_init(&clsact);
	if (cf_clsact_lock(&clsact, &target, trial->object.prog_fd, &error) < 0 ||
	    cf_clsact_attach(&clsact, &target, trial->object.prog_fd, &error) < 0) {
		cf_doctor_add(trial->doctor, trial->doctor->works & CF_DOCTOR_BY_TCX ? CF_DOCTOR_WARN : CF_DOCTOR_FAIL,
			      "clsact", "%s", cause_of(&error));
		cf_doctor_remedy(trial->doctor, "%s",
				 error.err == EPERM
					 ? "run as root, or with CAP_BPF and CAP_NET_ADMIN"
					 : "a kernel with CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF (modprobe "
					   "sch_ingress cls_bpf)");
		cf_clsact_unlock(&clsact);
		return;
	}
	try_attached(trial, "clsact", CF_DOCTOR_BY_CLSACT);
	cf_clsact_detach(&clsact, &target, NULL);
	cf_clsact_unlock(&clsact);
}

static const char *load_remedy(const struct cf_error *error)
{
	if (error->err == EPERM)
		return "run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN";
	if (error->err == ENOMEM)
		return "more memory (a container's limit counts), or a smaller --ring-size and --flow-entries";
	return "Linux 5.12 or newer; an operator's own object (--bpf-object) may do with less";
}

static int open_ring(struct trial *trial, const struct cf_bpf_maps *maps, struct cf_error *error)
{
	size_t size;

	if (cf_bpf_ring_size(maps->ring_fd, &size, error) < 0)
		return -1;
	return cf_ring_open_slots(&trial->ring, maps->ring_fd, maps->bell_fd, size, error);
}

/* With the maps as large as they are by default: what does not fit is to be known before. */
static int load(struct trial *trial, struct cf_bpf_maps *maps)
{
	const struct cf_bpf_options options = { .hooks = CF_PLAN_EGRESS | CF_PLAN_INGRESS,
						.link_len = LINK_LEN,
						.events = CF_EVENTS_DEFAULT };
	struct cf_error error = { 0 };

	if (cf_bpf_load(maps, &options, &trial->object, &error) < 0 || open_ring(trial, maps, &error) < 0) {
		cf_doctor_add(trial->doctor, CF_DOCTOR_FAIL, "load", "%s", error.text);
		cf_doctor_remedy(trial->doctor, "%s", load_remedy(&error));
		return -1;
	}
	cf_doctor_add(trial->doctor, CF_DOCTOR_OK, "load",
		      "the built-in program passes the verifier, its maps are made");
	trial->doctor->works |= CF_DOCTOR_LOAD;
	return 0;
}

void cf_doctor_attach(struct cf_doctor *doctor)
{
	struct trial trial = { .doctor = doctor, .port = 10000 };
	struct cf_bpf_maps maps;

	cf_bpf_maps_init(&maps);
	if (load(&trial, &maps) < 0) {
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, "tcx", "not tried: there is no program to attach");
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, "clsact", "not tried: there is no program to attach");
	} else {
		trial.is_silent = loopback_up() < 0;
		try_tcx(&trial);
		try_clsact(&trial);
	}
	cf_bpf_maps_close(&maps);
}
