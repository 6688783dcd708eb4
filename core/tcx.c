/* SPDX-License-Identifier: MIT
 * tcx links by bpf(2): see tcx.h. */
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "flow.h"
#include "tcx.h"

/* From Linux 6.6; headers may be older. */
enum {
	TCX_INGRESS = 46,
	TCX_EGRESS = 47,
	TCX_BEFORE = 8, /* BPF_F_BEFORE; with relative_id 0: before all */
	LINK_TYPE_TCX = 11,
};

struct tcx_create { /* union bpf_attr of BPF_LINK_CREATE */
	uint32_t prog_fd;
	uint32_t ifindex;
	uint32_t attach_type;
	uint32_t flags;
	uint32_t relative_id;
	uint32_t pad0; /* zero */
	uint64_t expected_revision; /* 0: any */
};

struct tcx_update { /* union bpf_attr of BPF_LINK_UPDATE */
	uint32_t link_fd;
	uint32_t prog_fd;
	uint32_t flags;
	uint32_t old_prog_fd; /* with BPF_F_REPLACE only */
};

struct tcx_info { /* struct bpf_link_info */
	uint32_t type;
	uint32_t id;
	uint32_t prog_id;
	uint32_t pad0;
	uint32_t ifindex;
	uint32_t attach_type;
};

struct tcx_info_request { /* union bpf_attr of BPF_OBJ_GET_INFO_BY_FD */
	uint32_t fd;
	uint32_t len;
	uint64_t info;
};

int cf_tcx_attach(int prog_fd, int ifindex, int direction)
{
	struct tcx_create create = {
		.prog_fd = (uint32_t)prog_fd,
		.ifindex = (uint32_t)ifindex,
		.attach_type = direction == CF_FLOW_EGRESS ? TCX_EGRESS : TCX_INGRESS,
		.flags = TCX_BEFORE,
	};
	int fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &create, sizeof(create));

	return fd < 0 ? -errno : fd;
}

int cf_tcx_replace(int link_fd, int prog_fd)
{
	struct tcx_update update = { .link_fd = (uint32_t)link_fd, .prog_fd = (uint32_t)prog_fd };

	return syscall(SYS_bpf, BPF_LINK_UPDATE, &update, sizeof(update)) < 0 ? -errno : 0;
}

int cf_tcx_ifindex(int link_fd)
{
	struct tcx_info info = { 0 };
	struct tcx_info_request request = {
		.fd = (uint32_t)link_fd,
		.len = sizeof(info),
		.info = (uint64_t)(uintptr_t)&info,
	};

	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &request, sizeof(request)) < 0)
		return -errno;
	if (info.type != LINK_TYPE_TCX)
		return -EINVAL;
	return (int)info.ifindex;
}
