/* SPDX-License-Identifier: MIT
 * What stays of loaded BPF objects, maps and programs: the part of bpf_object.h that is not loading. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bpf_object.h"
#include "flow.h"

static void close_all(const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

void cf_bpf_object_init(struct cf_bpf_object *object)
{
	*object = (struct cf_bpf_object){ .prog_fd = { -1, -1 }, .stats_fd = -1 };
}

void cf_bpf_unload(struct cf_bpf_object *object)
{
	int fds[] = { object->prog_fd[0], object->prog_fd[1], object->stats_fd };

	close_all(fds, 3);
	cf_bpf_object_init(object);
}

void cf_bpf_maps_init(struct cf_bpf_maps *maps)
{
	*maps = (struct cf_bpf_maps){ .ring_fd = -1, .flows_fd = -1, .wake_fd = -1 };
}

void cf_bpf_maps_close(struct cf_bpf_maps *maps)
{
	int fds[] = { maps->ring_fd, maps->flows_fd, maps->wake_fd };

	close_all(fds, 3);
	cf_bpf_maps_init(maps);
}

int cf_bpf_stats(int stats_fd, struct cf_stats *sum)
{
	int cpus = libbpf_num_possible_cpus(), ret = 0;
	struct cf_stats *each;
	uint32_t key = 0;

	memset(sum, 0, sizeof(*sum));
	if (cpus < 0)
		return cpus;
	each = calloc((size_t)cpus, sizeof(*each));
	if (!each)
		return -ENOMEM;
	if (bpf_map_lookup_elem(stats_fd, &key, each) < 0)
		ret = -errno;
	for (int cpu = 0; !ret && cpu < cpus; cpu++)
		for (int i = 0; i < CF_STAT_COUNT; i++)
			sum->n[i] += each[cpu].n[i];
	free(each);
	return ret;
}
