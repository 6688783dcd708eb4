/* SPDX-License-Identifier: MIT
 * Who is on a cell's interface already, in the order in which the kernel asks them, and whether one of them could keep
 * packets from cellflow. Changes nothing there. Part of doctor.h. */
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <unistd.h>
#include "clsact.h"
#include "doctor.h"
#include "doctor_link.h"
#include "error.h"
#include "flow.h"
#include "interface.h"
#include "netns.h"

enum { TCX_INGRESS = 46, TCX_EGRESS = 47 }; /* attach types, from Linux 6.6 */

static const char *const words[2] = { [CF_FLOW_EGRESS] = "egress", [CF_FLOW_INGRESS] = "ingress" };

static const char *type_word(unsigned int type)
{
	return type == ARPHRD_ETHER ? "Ethernet" : type == ARPHRD_LOOPBACK ? "loopback" : "layer 3";
}

static void tell_link(struct cf_doctor *doctor, const struct cf_doctor_link *link)
{
	char under[96] = "", netns[40] = "";
	int is_up = (link->flags & IFF_UP) != 0;

	if (link->under_netns >= 0)
		snprintf(netns, sizeof(netns), " in namespace id %d", link->under_netns);
	if (link->under)
		snprintf(under, sizeof(under), ", %s index %d%s",
			 strcmp(link->kind, "veth") == 0 ? "peer" : "on top of", link->under, netns);
	cf_doctor_add(doctor, is_up ? CF_DOCTOR_OK : CF_DOCTOR_WARN, "interface",
		      "%s: index %d, %s%s%s%s, %s, qdisc %s", doctor->interface, doctor->ifindex, type_word(link->type),
		      link->kind[0] ? ", " : "", link->kind, under, is_up ? "up" : "down",
		      link->qdiscs[0] ? link->qdiscs : "none");
	if (!is_up)
		cf_doctor_remedy(doctor, "inside the namespace: ip link set %s up", doctor->interface);
}

/* The name that the kernel has is better than the one that a filter was given: nobody can make that up. */
static void name_program(struct cf_doctor_program *program)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd = program->id ? bpf_prog_get_fd_by_id(program->id) : -1;

	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.name[0])
		snprintf(program->name, sizeof(program->name), "%s", info.name);
	close(fd);
}

static int is_own(const struct cf_doctor_program *program)
{
	return strncmp(program->name, "cellflow_", 9) == 0 ||
	       (program->kind == CF_DOCTOR_CLSACT && program->preference == CF_CLSACT_PRIORITY &&
		(program->handle == CF_CLSACT_OWN_QDISC || program->handle == CF_CLSACT_FOREIGN_QDISC));
}

static void put_program(struct cf_doctor_hook *hook, enum cf_doctor_kind kind, uint32_t id)
{
	struct cf_doctor_program *program = cf_doctor_hook_place(hook);

	if (program)
		*program = (struct cf_doctor_program){ .kind = kind, .id = id };
}

/* 0, or -errno; a kernel without tcx has nobody there. */
static int gather_tcx(int ifindex, struct cf_doctor_hook *hook)
{
	enum bpf_attach_type type =
		(enum bpf_attach_type)(hook->direction == CF_FLOW_EGRESS ? TCX_EGRESS : TCX_INGRESS);
	uint32_t ids[CF_DOCTOR_PROGRAMS_MAX] = { 0 }, count = CF_DOCTOR_PROGRAMS_MAX;

	if (bpf_prog_query(ifindex, type, 0, NULL, ids, &count) < 0)
		return errno == EINVAL ? 0 : -errno;
	for (uint32_t i = 0; i < count && i < CF_DOCTOR_PROGRAMS_MAX; i++)
		put_program(hook, CF_DOCTOR_TCX, ids[i]);
	return 0;
}

static int gather(int ifindex, const struct cf_doctor_link *link, struct cf_doctor_hook *hook)
{
	int ret;

	if (hook->direction == CF_FLOW_INGRESS && link->xdp_id)
		put_program(hook, CF_DOCTOR_XDP, link->xdp_id);
	ret = gather_tcx(ifindex, hook);
	if (!ret)
		ret = cf_doctor_link_filters(ifindex, hook);
	hook->own = -1;
	for (uint32_t i = 0; i < hook->count; i++) {
		name_program(&hook->programs[i]);
		if (hook->own < 0 && is_own(&hook->programs[i]))
			hook->own = (int32_t)i;
	}
	return ret;
}

/* How many run before cellflow: before the one that is there, else before the place that it would take. */
static uint32_t count_earlier(const struct cf_doctor_hook *hook, int by_tcx)
{
	uint32_t earlier = 0;

	if (hook->own >= 0)
		return (uint32_t)hook->own;
	for (uint32_t i = 0; i < hook->count; i++) {
		const struct cf_doctor_program *program = &hook->programs[i];

		earlier += program->kind == CF_DOCTOR_XDP ||
			   (!by_tcx && (program->kind == CF_DOCTOR_TCX ||
					(program->chain == 0 && program->preference < CF_CLSACT_PRIORITY)));
	}
	return earlier;
}

static void tell_place(struct cf_doctor *doctor, const struct cf_doctor_hook *hook)
{
	int by_tcx = (doctor->works & CF_DOCTOR_BY_TCX) != 0;
	uint32_t others = hook->count + hook->left_out - (hook->own >= 0), earlier = count_earlier(hook, by_tcx);
	char who[64] = "nobody is there";

	if (others)
		snprintf(who, sizeof(who), "%u %s there", others, others == 1 ? "other is" : "others are");
	if (earlier == 0) {
		cf_doctor_add(doctor, CF_DOCTOR_OK, words[hook->direction], "%s; %s, so nothing is hidden from it", who,
			      hook->own >= 0 ? "a cellflow is the first" : "cellflow would be the first");
		return;
	}
	cf_doctor_add(doctor, CF_DOCTOR_WARN, words[hook->direction],
		      "%s; %u come%s before %s: a packet that %s ends or redirects is not seen", who, earlier,
		      earlier == 1 ? "s" : "", hook->own >= 0 ? "the cellflow that is there" : "cellflow's place",
		      earlier == 1 ? "it" : "one of them");
	if (hook->programs[0].kind == CF_DOCTOR_XDP)
		cf_doctor_remedy(doctor,
				 "XDP comes before every tc hook: watch where the packets go next, or live with it");
	else if (by_tcx)
		cf_doctor_remedy(doctor, "start that cellflow again: by tcx it goes to the front");
	else
		cf_doctor_remedy(doctor, "tcx (Linux 6.6), or give those filters a preference above %d",
				 CF_CLSACT_PRIORITY);
}

static int look_inside(void *arg)
{
	struct cf_doctor *doctor = arg;
	struct cf_doctor_link link;
	int ret = cf_doctor_link_get(doctor->ifindex, &link);

	if (ret < 0) {
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, "interface", "%s: %s", doctor->interface, strerror(-ret));
		return 0;
	}
	tell_link(doctor, &link);
	doctor->works |= CF_DOCTOR_INTERFACE;
	for (uint32_t i = 0; i < 2; i++) {
		struct cf_doctor_hook *hook = &doctor->hooks[i];

		hook->direction = i;
		ret = gather(doctor->ifindex, &link, hook);
		if (ret < 0) {
			cf_doctor_add(doctor, CF_DOCTOR_WARN, words[i], "who is there cannot be told: %s",
				      strerror(-ret));
			if (ret == -EPERM)
				cf_doctor_remedy(doctor, "run as root, or with CAP_NET_ADMIN");
		} else {
			tell_place(doctor, hook);
		}
		doctor->hook_count++;
	}
	return 0;
}

/* Messages of core begin with the name of a cell, which an operator has not given here. */
static const char *without_cell(const struct cf_error *error)
{
	const char *end = strncmp(error->text, "cell \"", 6) == 0 ? strstr(error->text, "\": ") : NULL;

	return end ? end + 3 : error->text;
}

static void refused(struct cf_doctor *doctor, const struct cf_error *error)
{
	int is_privilege = error->err == EPERM || error->err == EACCES;

	cf_doctor_add(doctor, CF_DOCTOR_FAIL, "cell", "%s", without_cell(error));
	cf_doctor_remedy(doctor, "%s",
			 is_privilege ? "run as root, or with CAP_SYS_ADMIN"
				      : "give the namespace of a cell that is running (ip netns list, lsns -t net)");
}

void cf_doctor_look(struct cf_doctor *doctor)
{
	struct cf_interface interface = { 0 };
	struct cf_error error = { 0 };
	int nsfd = cf_netns_open(&doctor->cell, &error);
	int ret = nsfd < 0 ? -1 : cf_interface_look(nsfd, &doctor->cell, &interface, &error);

	if (ret < 0 && error.kind == CF_FAIL_SETNS) {
		refused(doctor, &error);
	} else {
		cf_doctor_add(doctor, CF_DOCTOR_OK, "cell", "its namespace can be entered");
		doctor->works |= CF_DOCTOR_CELL;
		if (ret < 0) {
			cf_doctor_add(doctor, CF_DOCTOR_FAIL, "interface", "%s", without_cell(&error));
			cf_doctor_remedy(doctor, "--interface NAME with one that is there");
		} else {
			doctor->ifindex = interface.ifindex;
			snprintf(doctor->interface, sizeof(doctor->interface), "%s", interface.name);
			cf_netns_do(nsfd, look_inside, doctor, &error);
		}
	}
	if (nsfd >= 0)
		close(nsfd);
}
