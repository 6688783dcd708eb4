/* SPDX-License-Identifier: MIT
 * What stays of loaded BPF objects, maps and programs: the part of bpf_object.h that is not loading. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bpf_object.h"
#include "error.h"
#include "event.h"
#include "flow.h"
#include "ring.h"

static void close_all(const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

void cf_bpf_object_init(struct cf_bpf_object *object)
{
	*object = (struct cf_bpf_object){ .prog_fd = { -1, -1 }, .stats_fd = -1, .ring_fd = -1, .bell_fd = -1 };
}

void cf_bpf_unload(struct cf_bpf_object *object)
{
	int fds[] = { object->prog_fd[0], object->prog_fd[1], object->stats_fd, object->ring_fd, object->bell_fd };

	close_all(fds, 5);
	cf_bpf_object_init(object);
}

void cf_bpf_maps_init(struct cf_bpf_maps *maps)
{
	*maps = (struct cf_bpf_maps){ .ring_fd = -1, .bell_fd = -1, .flows_fd = -1, .wake_fd = -1 };
}

void cf_bpf_maps_close(struct cf_bpf_maps *maps)
{
	int fds[] = { maps->ring_fd, maps->bell_fd, maps->flows_fd, maps->wake_fd };

	close_all(fds, 4);
	cf_bpf_maps_init(maps);
}

int cf_bpf_ring_size(int ring_fd, size_t *size, struct cf_error *err)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(ring_fd, &info, &len) < 0)
		return cf_fail(err, CF_FAIL_RING_OPEN, errno, "ring open failed: %s", strerror(errno));
	*size = info.type == BPF_MAP_TYPE_RINGBUF ? info.max_entries
						  : (size_t)(info.max_entries - CF_SLOT_FIRST) * CF_EVENT_RING_LEN;
	return 0;
}

int cf_bpf_maps_ring(struct cf_bpf_maps *maps, uint32_t bytes, struct cf_error *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);

	if (maps->ring_fd < 0)
		maps->ring_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "FLOW_EVENTS", sizeof(uint32_t),
					       sizeof(struct cf_slot), CF_SLOT_FIRST + cf_ring_slots(bytes), &opts);
	if (maps->bell_fd < 0)
		maps->bell_fd =
			bpf_map_create(BPF_MAP_TYPE_RINGBUF, "FLOW_BELL", 0, 0, (uint32_t)sysconf(_SC_PAGESIZE), NULL);
	if (maps->ring_fd < 0 || maps->bell_fd < 0)
		return cf_fail(err, CF_FAIL_RING_OPEN, errno, "ring open failed: %s", strerror(errno));
	return 0;
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
