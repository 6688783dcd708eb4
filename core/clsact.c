/* SPDX-License-Identifier: MIT
 * Attaching by a clsact qdisc: see clsact.h. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "clsact.h"
#include "error.h"
#include "flow.h"
#include "libbpf_log.h"
#include "tc_dump.h"

static const char *const words[2] = { [CF_FLOW_EGRESS] = "egress", [CF_FLOW_INGRESS] = "ingress" };

/* Field by field after the memset: libbpf refuses a hook whose padding is not zero, and an initialiser or a copy may
 * leave anything there. */
static void hook_set(struct bpf_tc_hook *hook, const struct cf_clsact_target *target, enum bpf_tc_attach_point point)
{
	memset(hook, 0, sizeof(*hook));
	hook->sz = sizeof(*hook);
	hook->ifindex = target->ifindex;
	hook->attach_point = point;
}

static enum bpf_tc_attach_point point_of(int direction)
{
	return direction == CF_FLOW_EGRESS ? BPF_TC_EGRESS : BPF_TC_INGRESS;
}

/* 0 and the id of the program at our preference and this handle, or -errno: EINVAL without the qdisc, ENOENT without
 * the filter. */
static int filter_query(const struct cf_clsact_target *target, int direction, uint32_t handle, uint32_t *id)
{
	struct bpf_tc_hook hook;
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle, .priority = CF_CLSACT_PRIORITY);
	int ret;

	hook_set(&hook, target, point_of(direction));
	ret = bpf_tc_query(&hook, &opts);
	*id = opts.prog_id;
	return ret;
}

/* The same; 0: none. */
static uint32_t filter_program(const struct cf_clsact_target *target, int direction, uint32_t handle)
{
	uint32_t id;

	return filter_query(target, direction, handle, &id) < 0 ? 0 : id;
}

static int filter_remove(const struct cf_clsact_target *target, int direction, uint32_t handle)
{
	struct bpf_tc_hook hook;
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle, .priority = CF_CLSACT_PRIORITY);

	hook_set(&hook, target, point_of(direction));
	return bpf_tc_detach(&hook, &opts);
}

static int program_info(int prog_fd, struct bpf_prog_info *info)
{
	uint32_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(prog_fd, info, &len);
}

/* Whether program `id` does the same as ours: same name, same instructions. `other` tells about it. */
static int same_program(uint32_t id, int prog_fd, struct bpf_prog_info *other)
{
	struct bpf_prog_info own;
	int fd = bpf_prog_get_fd_by_id(id), ret;

	memset(other, 0, sizeof(*other));
	if (fd < 0)
		return 0;
	ret = program_info(fd, other) == 0 && program_info(prog_fd, &own) == 0 && strcmp(own.name, other->name) == 0 &&
	      memcmp(own.tag, other->tag, sizeof(own.tag)) == 0;
	close(fd);
	return ret;
}

/* Remove what a killed cellflow left at one handle. 1: removed, 0: nothing there, -1: somebody else's. */
static int leftover_remove(const struct cf_clsact_target *target, int direction, uint32_t handle, int prog_fd,
			   struct cf_error *err)
{
	uint32_t id = filter_program(target, direction, handle);
	struct bpf_prog_info other;
	int ret;

	if (!id)
		return 0;
	if (!same_program(id, prog_fd, &other))
		return cf_fail(err, CF_FAIL_ATTACH, EEXIST,
			       "cell \"%s\": interface %s: program %s (id %u) has cellflow's place on the %s hook and "
			       "is not this cellflow's; if nobody needs it, remove it inside the namespace with: tc "
			       "filter del dev %s %s pref %d handle 0x%x bpf",
			       target->cell, target->ifname, other.name[0] ? other.name : "(no name)", id,
			       words[direction], target->ifname, words[direction], CF_CLSACT_PRIORITY, handle);
	ret = filter_remove(target, direction, handle);
	if (ret < 0 && ret != -ENOENT)
		return cf_fail(err, CF_FAIL_ATTACH, -ret,
			       "cell \"%s\": interface %s: removing the %s filter that a killed cellflow left: %s",
			       target->cell, target->ifname, words[direction], strerror(-ret));
	return 1;
}

/* All leftovers of the wanted directions. `own` is set when the one that left them had created the qdisc. */
static int leftovers_remove(const struct cf_clsact_target *target, const int prog_fd[2], int *own, struct cf_error *err)
{
	static const uint32_t handles[] = { CF_CLSACT_OWN_QDISC, CF_CLSACT_FOREIGN_QDISC };
	int ret;

	for (int i = 0; i < 4; i++) {
		int direction = i & 1;

		if (prog_fd[direction] < 0)
			continue;
		ret = leftover_remove(target, direction, handles[i >> 1], prog_fd[direction], err);
		if (ret < 0)
			return -1;
		if (ret && handles[i >> 1] == CF_CLSACT_OWN_QDISC)
			*own = 1;
	}
	return 0;
}

/* The kernel has no "delete if empty": a filter that comes between the look and the deletion is lost. */
static int qdisc_remove(const struct cf_clsact_target *target)
{
	struct bpf_tc_hook hook;
	int used = cf_tc_clsact_used(target->ifindex);

	if (used)
		return used < 0 ? used : 0;
	hook_set(&hook, target, BPF_TC_INGRESS | BPF_TC_EGRESS); /* both bits: the qdisc itself */
	return bpf_tc_hook_destroy(&hook);
}

static int attach_fail(const struct cf_clsact_target *target, const char *what, int cause, struct cf_error *err)
{
	const char *kernel = cf_libbpf_log_warning();

	if (cause == EPERM)
		return cf_fail(
			err, CF_FAIL_UNSUPPORTED_HOST, cause,
			"cell \"%s\": interface %s: %s is not permitted: needs root, or CAP_BPF and CAP_NET_ADMIN",
			target->cell, target->ifname, what);
	return cf_fail(err, CF_FAIL_ATTACH, cause, "cell \"%s\": interface %s: %s: %s%s%s (see: tc filter show dev %s)",
		       target->cell, target->ifname, what, strerror(cause), kernel[0] ? ": " : "", kernel,
		       target->ifname);
}

static int attach_one(struct cf_clsact *clsact, const struct cf_clsact_target *target, int direction, int prog_fd,
		      struct cf_error *err)
{
	struct bpf_tc_hook hook;
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog_fd, .handle = clsact->handle, .priority = CF_CLSACT_PRIORITY);
	char what[32];
	int ret;

	hook_set(&hook, target, point_of(direction));
	ret = bpf_tc_attach(&hook, &opts);
	snprintf(what, sizeof(what), "clsact %s filter", words[direction]);
	if (ret < 0)
		return attach_fail(target, what, -ret, err);
	clsact->prog_id[direction] = opts.prog_id;
	return 0;
}

int cf_clsact_attach(struct cf_clsact *clsact, const struct cf_clsact_target *target, const int prog_fd[2],
		     struct cf_error *err)
{
	struct bpf_tc_hook hook;
	int ret, own;

	cf_libbpf_log_begin();
	hook_set(&hook, target, BPF_TC_INGRESS | BPF_TC_EGRESS);
	ret = bpf_tc_hook_create(&hook);
	if (ret < 0 && ret != -EEXIST)
		return attach_fail(target, "clsact qdisc", -ret, err);
	own = ret == 0;
	if (leftovers_remove(target, prog_fd, &own, err) < 0)
		return -1; /* a qdisc that we made a moment ago has no leftovers: there is nothing to undo */
	cf_libbpf_log_begin(); /* "there is no such filter" is no news */
	clsact->handle = own ? CF_CLSACT_OWN_QDISC : CF_CLSACT_FOREIGN_QDISC;
	for (int i = 0; i < 2; i++) {
		if (prog_fd[i] < 0 || attach_one(clsact, target, i, prog_fd[i], err) == 0)
			continue;
		cf_clsact_detach(clsact, target, NULL);
		return -1;
	}
	return 0;
}

int cf_clsact_detach(struct cf_clsact *clsact, const struct cf_clsact_target *target, struct cf_error *err)
{
	int ours = 0, ret = 0, n;

	for (int i = 0; i < 2; i++) {
		/* Where one of ours is, the qdisc is the one that it was put on: a filter goes with it. Where none is, it
		 * may be another one by now. */
		if (clsact->prog_id[i] && filter_program(target, i, clsact->handle) == clsact->prog_id[i]) {
			ours = clsact->handle == CF_CLSACT_OWN_QDISC;
			n = filter_remove(target, i, clsact->handle);
			ret = n < 0 && n != -ENOENT ? n : ret;
		}
		clsact->prog_id[i] = 0;
	}
	if (ours && !ret)
		ret = qdisc_remove(target);
	clsact->handle = 0;
	return ret < 0 ? attach_fail(target, "removing the clsact filters", -ret, err) : 0;
}

int cf_clsact_holds(const struct cf_clsact *clsact, const struct cf_clsact_target *target)
{
	uint32_t id;
	int ret;

	cf_libbpf_log_begin();
	for (int i = 0; i < 2; i++) {
		if (!clsact->prog_id[i])
			continue;
		ret = filter_query(target, i, clsact->handle, &id);
		if (ret == -ENOENT || ret == -EINVAL || (ret == 0 && id != clsact->prog_id[i]))
			return 0;
		if (ret < 0)
			return -1;
	}
	return 1;
}

void cf_clsact_purge(const struct cf_clsact_target *target, const int prog_fd[2])
{
	int own = 0;

	if (leftovers_remove(target, prog_fd, &own, NULL) == 0 && own)
		qdisc_remove(target);
}
