/* SPDX-License-Identifier: MIT
 * Whether bpf(2) may be used, and what this kernel's knows: program type, map types, helpers, memory that can be
 * mapped. Loading and attaching are doctor_attach.c's. Part of doctor.h. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "doctor.h"
#include "privilege.h"
#include "error.h"
#include "libbpf_log.h"
#include "ring.h"

enum {
	MMAPABLE = 1U << 10, /* BPF_F_MMAPABLE */
	RING_PAGES = 16, /* more than any page size needs */
};

struct feature {
	int number;
	const char *name;
};

static const struct feature map_types[] = { { BPF_MAP_TYPE_ARRAY, "array" },
					    { BPF_MAP_TYPE_PERCPU_ARRAY, "percpu_array" },
					    { BPF_MAP_TYPE_HASH, "hash" },
					    { BPF_MAP_TYPE_LRU_HASH, "lru_hash" },
					    { BPF_MAP_TYPE_RINGBUF, "ringbuf" } };

static const struct feature helpers[] = {
	{ BPF_FUNC_map_lookup_elem, "map_lookup_elem" },
	{ BPF_FUNC_map_update_elem, "map_update_elem" },
	{ BPF_FUNC_ktime_get_boot_ns, "ktime_get_boot_ns" },
	{ BPF_FUNC_ktime_get_ns, "ktime_get_ns" },
	{ BPF_FUNC_jiffies64, "jiffies64" },
	{ BPF_FUNC_ringbuf_output, "ringbuf_output" },
	{ BPF_FUNC_skb_load_bytes, "skb_load_bytes" },
};

enum { MAP_TYPES = sizeof(map_types) / sizeof(map_types[0]), HELPERS = sizeof(helpers) / sizeof(helpers[0]) };

static int probe_map_type(int number)
{
	return libbpf_probe_bpf_map_type((enum bpf_map_type)number, NULL);
}

static int probe_helper(int number)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, (enum bpf_func_id)number, NULL);
}

static int try_bpf(struct cf_doctor *doctor)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "cellflow_doctor", sizeof(uint32_t), sizeof(uint64_t), 1, NULL);
	int cause = errno;

	if (fd >= 0) {
		close(fd);
		cf_doctor_add(doctor, CF_DOCTOR_OK, "bpf", "bpf(2) is permitted");
		return 0;
	}
	cf_doctor_add(doctor, CF_DOCTOR_FAIL, "bpf", "bpf(2): %s", strerror(cause));
	if (cause == ENOSYS)
		cf_doctor_remedy(doctor, "a kernel with CONFIG_BPF_SYSCALL=y");
	else
		cf_doctor_remedy(doctor, "run as root, or with CAP_BPF and CAP_NET_ADMIN; a container's system call "
					 "filter must allow bpf too");
	return -1;
}

/* libbpf's probe does not tell a type that is unknown from one that is not permitted. */
static void try_program_type(struct cf_doctor *doctor)
{
	if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, NULL) == 1) {
		cf_doctor_add(doctor, CF_DOCTOR_OK, "program type", "sched_cls");
		return;
	}
	cf_doctor_add(doctor, CF_DOCTOR_FAIL, "program type", "sched_cls is refused");
	if (cf_privilege_capabilities() >> CAP_NET_ADMIN & 1)
		cf_doctor_remedy(doctor, "a kernel with CONFIG_NET_CLS_ACT=y");
	else
		cf_doctor_remedy(doctor, "run as root, or with CAP_BPF and CAP_NET_ADMIN");
}

static void try_features(struct cf_doctor *doctor, const char *name, const struct feature *features, int count,
			 int (*probe)(int number))
{
	char have[200] = "", lack[200] = "";

	for (int i = 0; i < count; i++) {
		char *list = probe(features[i].number) == 1 ? have : lack;

		snprintf(list + strlen(list), sizeof(have) - strlen(list), "%s%s", list[0] ? ", " : "",
			 features[i].name);
	}
	if (!lack[0]) {
		cf_doctor_add(doctor, CF_DOCTOR_OK, name, "%s", have);
		return;
	}
	cf_doctor_add(doctor, CF_DOCTOR_FAIL, name, "refused: %s", lack);
	cf_doctor_remedy(doctor, "Linux 5.12 or newer, and the privileges that are named above");
}

static void try_array_mmap(struct cf_doctor *doctor)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = MMAPABLE);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "cellflow_doctor", sizeof(uint32_t), sizeof(uint64_t), 1, &opts);
	void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory != MAP_FAILED) {
		cf_doctor_add(doctor, CF_DOCTOR_OK, "array mmap", "an array map's memory can be mapped");
		munmap(memory, page);
	} else {
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, "array mmap", "mapping an array map's memory: %s",
			      strerror(errno));
		cf_doctor_remedy(doctor, "Linux 5.5 or newer");
	}
	if (fd >= 0)
		close(fd);
}

static void try_ring_mmap(struct cf_doctor *doctor)
{
	unsigned int size = RING_PAGES * (unsigned int)sysconf(_SC_PAGESIZE);
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "cellflow_doctor", 0, 0, size, NULL);
	struct cf_error error = { 0 };
	struct cf_ring ring;

	if (fd < 0) {
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, "ring mmap", "making a ring buffer: %s", strerror(errno));
	} else if (cf_ring_open(&ring, fd, size, &error) < 0) {
		cf_doctor_add(doctor, CF_DOCTOR_FAIL, "ring mmap", "%s", error.text);
	} else {
		cf_doctor_add(doctor, CF_DOCTOR_OK, "ring mmap", "a ring buffer can be made and its memory mapped");
		cf_ring_close(&ring);
		close(fd);
		return;
	}
	cf_doctor_remedy(doctor, "Linux 5.8 or newer, and memory for it (a container's limit counts)");
	if (fd >= 0)
		close(fd);
}

void cf_doctor_bpf(struct cf_doctor *doctor)
{
	static const char *const rest[] = { "program type", "map types", "helpers", "array mmap", "ring mmap" };

	cf_libbpf_log_begin();
	if (try_bpf(doctor) < 0) {
		for (int i = 0; i < 5; i++)
			cf_doctor_add(doctor, CF_DOCTOR_FAIL, rest[i], "not tried: bpf(2) is refused");
		return;
	}
	try_program_type(doctor);
	try_features(doctor, "map types", map_types, MAP_TYPES, probe_map_type);
	try_features(doctor, "helpers", helpers, HELPERS, probe_helper);
	try_array_mmap(doctor);
	try_ring_mmap(doctor);
}
