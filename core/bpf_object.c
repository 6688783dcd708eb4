/* SPDX-License-Identifier: MIT
 * Loading BPF objects: see bpf_object.h. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bpf_file.h"
#include "bpf_object.h"
#include "error.h"
#include "event.h"
#include "flow_table.h"
#include "libbpf_log.h"
#include "plan.h"
#include "privilege.h"
#include "ring.h"

enum {
	/* Old kernels fail a load whose log does not fit, and we only want its end; untouched pages cost nothing. */
	VERIFIER_LOG_LEN = 4194304,
	VERIFIER_WORDS_LEN = 640,
};

extern const char cf_bpf_embedded[], cf_bpf_embedded_end[];

static const char *const program_names[2][5] = {
	[CF_FLOW_EGRESS] = { "cellflow_egress", "cellos_flow_egress", "tc_egress", "flow_classifier" },
	[CF_FLOW_INGRESS] = { "cellflow_ingress" },
};

static const char *const hook_names[2] = { [CF_FLOW_EGRESS] = "egress", [CF_FLOW_INGRESS] = "ingress" };

/* One load in the making. */
struct load {
	struct bpf_object *object;
	const char *name; /* of the object, for messages */
	struct bpf_program *programs[2];
	int only_counts; /* CF_BPF_COUNT_ONLY: a program without the rest */
	struct bpf_map *ring;
	struct bpf_map *bell; /* NULL: `ring` is a ring buffer */
	void *file; /* bytes of an operator's object */
	char *log;
	struct cf_error *err;
};

static int find_program(struct load *load, int direction)
{
	const char *const *names = program_names[direction];
	struct bpf_program *program = NULL;

	if (load->only_counts)
		program = bpf_object__find_program_by_name(load->object, "cellflow_count");
	for (int i = 0; !program && i < 5 && names[i]; i++)
		program = bpf_object__find_program_by_name(load->object, names[i]);
	if (!program && direction == CF_FLOW_EGRESS)
		return cf_fail(load->err, CF_FAIL_LOAD, ENOENT,
			       "BPF object %s: no program for egress (looked for %s, %s, %s, %s)", load->name, names[0],
			       names[1], names[2], names[3]);
	if (!program)
		return cf_fail(load->err, CF_FAIL_LOAD, ENOENT,
			       "BPF object %s: no program for ingress (looked for %s); leave ingress out of the cell's "
			       "hooks or add the program",
			       load->name, names[0]);
	if (bpf_program__type(program) == BPF_PROG_TYPE_UNSPEC)
		bpf_program__set_type(program, BPF_PROG_TYPE_SCHED_CLS);
	if (bpf_program__type(program) != BPF_PROG_TYPE_SCHED_CLS)
		return cf_fail(load->err, CF_FAIL_LOAD, EINVAL,
			       "BPF object %s: program %s for %s is not a tc program (put it in section \"tc\")",
			       load->name, bpf_program__name(program), hook_names[direction]);
	load->programs[direction] = program;
	return 0;
}

static int choose_programs(struct load *load, uint32_t hooks)
{
	struct bpf_program *program;

	if ((hooks & CF_PLAN_EGRESS) && find_program(load, CF_FLOW_EGRESS) < 0)
		return -1;
	if ((hooks & CF_PLAN_INGRESS) && find_program(load, CF_FLOW_INGRESS) < 0)
		return -1;
	bpf_object__for_each_program(program, load->object)
		bpf_program__set_autoload(program, program == load->programs[0] || program == load->programs[1]);
	return 0;
}

/* The object's map of that name, when its entries are what we take them for. */
static struct bpf_map *find_map(struct bpf_object *object, const char *name, size_t key, size_t value)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);

	return map && bpf_map__key_size(map) == key && bpf_map__value_size(map) == value ? map : NULL;
}

/* Slots as flow.h has them, with a bell. */
static int has_slots(const struct load *load)
{
	const struct bpf_map *ring = find_map(load->object, "FLOW_EVENTS", sizeof(uint32_t), sizeof(struct cf_slot));
	uint32_t slots = ring ? bpf_map__max_entries(ring) - CF_SLOT_FIRST : 0;

	return ring && bpf_map__type(ring) == BPF_MAP_TYPE_ARRAY && slots == cf_ring_slots(slots * CF_EVENT_RING_LEN) &&
	       load->bell && bpf_map__type(load->bell) == BPF_MAP_TYPE_RINGBUF;
}

static int choose_ring(struct load *load)
{
	load->bell = bpf_object__find_map_by_name(load->object, "FLOW_BELL");
	load->ring = bpf_object__find_map_by_name(load->object, "FLOW_EVENTS");
	if (!load->ring)
		load->ring = bpf_object__find_map_by_name(load->object, "flow_events");
	if (!load->ring)
		return cf_fail(load->err, CF_FAIL_LOAD, ENOENT,
			       "BPF object %s: no ring-buffer map (looked for FLOW_EVENTS, flow_events)", load->name);
	if (has_slots(load))
		return 0;
	load->bell = NULL;
	if (bpf_map__type(load->ring) != BPF_MAP_TYPE_RINGBUF)
		return cf_fail(load->err, CF_FAIL_LOAD, EINVAL,
			       "BPF object %s: map %s is not of type BPF_MAP_TYPE_RINGBUF", load->name,
			       bpf_map__name(load->ring));
	return 0;
}

static struct bpf_map *find_flows(const struct load *load)
{
	struct bpf_map *map = find_map(load->object, "FLOWS", sizeof(uint32_t), sizeof(struct cf_flow_set));

	return map && bpf_map__type(map) == BPF_MAP_TYPE_ARRAY && cf_flow_sets_in(bpf_map__max_entries(map)) ? map
													     : NULL;
}

static int reuse(struct bpf_map *map, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (!map || fd < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
	    info.value_size != bpf_map__value_size(map))
		return 0;
	return bpf_map__reuse_fd(map, fd);
}

/* libbpf closes its own with the object. */
static int keep(int theirs, int *fd)
{
	if (theirs >= 0 && *fd < 0)
		*fd = fcntl(theirs, F_DUPFD_CLOEXEC, 3);
	return theirs < 0 || *fd >= 0 ? 0 : -1;
}

static int keep_map(const struct bpf_map *map, int *fd)
{
	return map ? keep(bpf_map__fd(map), fd) : 0;
}

static int write_config(struct load *load, const struct cf_bpf_options *options)
{
	struct bpf_map *map = bpf_object__find_map_by_name(load->object, ".rodata.config");
	struct cf_bpf_config config = {
		.wake_interval_ns = options->wake_interval_ns,
		.cell = options->cell,
		.link_len = options->link_len,
		.events = options->events,
		.flags = options->flags,
	};
	struct bpf_map *flows = find_flows(load);

	cf_flow_secret_make(options->seed, &config.secret);
	config.set_mask = flows ? cf_flow_sets_in(bpf_map__max_entries(flows)) - 1 : 0;
	config.slot_mask = load->bell ? bpf_map__max_entries(load->ring) - CF_SLOT_FIRST - 1 : 0;
	config.slot_limit = load->bell ? cf_ring_slot_limit(config.slot_mask + 1) : 0;
	if (map && bpf_map__set_initial_value(map, &config, sizeof(config)) < 0)
		return cf_fail(load->err, CF_FAIL_LOAD, EINVAL,
			       "BPF object %s: section .rodata.config has %u bytes, not the %zu of struct "
			       "cf_bpf_config: it was built for another version of cellflow",
			       load->name, bpf_map__value_size(map), sizeof(config));
	return 0;
}

static int prepare_maps(struct load *load, const struct cf_bpf_maps *maps, const struct cf_bpf_options *options)
{
	struct bpf_map *flows = find_flows(load);
	struct bpf_map *wake = find_map(load->object, "WAKE", sizeof(uint32_t), sizeof(struct cf_wake));
	int ret = 0;

	if (options->ring_bytes && maps->ring_fd < 0)
		ret = bpf_map__set_max_entries(load->ring, load->bell
								   ? CF_SLOT_FIRST + cf_ring_slots(options->ring_bytes)
								   : options->ring_bytes);
	if (!ret && load->bell && maps->bell_fd < 0)
		ret = bpf_map__set_max_entries(load->bell, (uint32_t)sysconf(_SC_PAGESIZE));
	if (!ret && options->flow_entries && flows && maps->flows_fd < 0)
		ret = bpf_map__set_max_entries(flows, cf_flow_entries_of(cf_flow_sets_for(options->flow_entries)));
	if (!ret)
		ret = reuse(load->ring, maps->ring_fd);
	if (!ret)
		ret = reuse(load->bell, maps->bell_fd);
	if (!ret)
		ret = reuse(flows, maps->flows_fd);
	if (!ret)
		ret = reuse(wake, maps->wake_fd);
	if (ret)
		return cf_fail(load->err, CF_FAIL_LOAD, -ret, "BPF object %s: preparing its maps: %s", load->name,
			       strerror(-ret));
	return write_config(load, options);
}

/* To those without it the verifier allows less: of what is on the stack, of arithmetic with pointers. */
static const char *strictness(void)
{
	uint64_t either = 1ULL << CAP_PERFMON | 1ULL << CAP_SYS_ADMIN;

	return cf_privilege_capabilities() & either ? "" : " (it is stricter without CAP_PERFMON)";
}

static int load_fail(struct load *load, int cause)
{
	char words[VERIFIER_WORDS_LEN];

	cf_verifier_reason(load->log, words, sizeof(words));
	if (words[0] && cause != EMFILE && cause != ENFILE && cause != ENOMEM)
		return cf_fail(load->err, CF_FAIL_LOAD, cause, "BPF object %s: the kernel's verifier refused it%s: %s",
			       load->name, strictness(), words);
	if (cause == EPERM)
		return cf_fail(load->err, CF_FAIL_UNSUPPORTED_HOST, cause,
			       "loading BPF object %s is not permitted: needs root, or CAP_BPF, CAP_PERFMON and "
			       "CAP_NET_ADMIN",
			       load->name);
	if (cause == ENOSYS)
		return cf_fail(load->err, CF_FAIL_UNSUPPORTED_HOST, cause,
			       "this kernel has no bpf(2): needs CONFIG_BPF_SYSCALL=y");
	return cf_fail(load->err, CF_FAIL_LOAD, cause, "BPF object %s: %s%s%s", load->name, strerror(cause),
		       cf_libbpf_log_warning()[0] ? ": " : "", cf_libbpf_log_warning());
}

static int open_object(struct load *load, const char *path)
{
	const char *base = path && strrchr(path, '/') ? strrchr(path, '/') + 1 : path; /* libbpf's messages name it */
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = path ? base : "cellflow", .kernel_log_buf = load->log,
		    .kernel_log_size = VERIFIER_LOG_LEN);
	const void *bytes = cf_bpf_embedded;
	size_t len = (size_t)(cf_bpf_embedded_end - cf_bpf_embedded);

	if (path) {
		load->file = cf_bpf_file_read(path, &len, load->err);
		if (!load->file)
			return -1;
		bytes = load->file;
	}
	load->object = bpf_object__open_mem(bytes, len, &opts);
	if (!load->object)
		return cf_fail(load->err, CF_FAIL_LOAD, errno,
			       "BPF object %s: not a BPF object file that libbpf %s "
			       "understands: %s",
			       load->name, libbpf_version_string(),
			       cf_libbpf_log_warning()[0] ? cf_libbpf_log_warning() : strerror(errno));
	return 0;
}

static int take_over(const struct load *load, struct cf_bpf_maps *maps, struct cf_bpf_object *out)
{
	struct bpf_map *flows = find_flows(load);
	struct bpf_map *wake = find_map(load->object, "WAKE", sizeof(uint32_t), sizeof(struct cf_wake));
	struct bpf_map *stats = find_map(load->object, "STATS", sizeof(uint32_t), sizeof(struct cf_stats));
	int ret = 0;

	if (stats && bpf_map__type(stats) != BPF_MAP_TYPE_PERCPU_ARRAY)
		stats = NULL;
	if (keep_map(load->ring, &maps->ring_fd) < 0 || keep_map(load->bell, &maps->bell_fd) < 0 ||
	    keep_map(flows, &maps->flows_fd) < 0 || keep_map(wake, &maps->wake_fd) < 0 ||
	    keep_map(stats, &out->stats_fd) < 0)
		ret = -1;
	for (int i = 0; i < 2 && ret == 0; i++)
		if (load->programs[i])
			ret = keep(bpf_program__fd(load->programs[i]), &out->prog_fd[i]);
	return ret == 0 ? 0
			: cf_fail(load->err, CF_FAIL_LOAD, errno, "BPF object %s: keeping its descriptors: %s",
				  load->name, strerror(errno));
}

static int load_with(struct cf_bpf_maps *maps, const struct cf_bpf_options *options, struct cf_bpf_object *out,
		     struct cf_error *err)
{
	struct load load = { .name = options->path ? options->path : "(built in)",
			     .err = err,
			     .only_counts = options->flags & CF_BPF_COUNT_ONLY };
	int ret = -1, cause;

	cf_bpf_object_init(out);
	cf_libbpf_log_begin();
	load.log = calloc(1, VERIFIER_LOG_LEN);
	if (!load.log)
		return cf_fail(err, CF_FAIL_INTERNAL, ENOMEM, "BPF object %s: out of memory", load.name);
	if (open_object(&load, options->path) < 0 || choose_programs(&load, options->hooks) < 0 ||
	    choose_ring(&load) < 0 || prepare_maps(&load, maps, options) < 0)
		goto out;
	cause = -bpf_object__load(load.object);
	if (cause) {
		load_fail(&load, cause);
		goto out;
	}
	ret = take_over(&load, maps, out);
	if (ret < 0)
		cf_bpf_unload(out);
out:
	bpf_object__close(load.object);
	free(load.file);
	free(load.log);
	return ret;
}

/* The ring of maps that were one object's alone. */
static int take_ring(struct cf_bpf_maps *from, struct cf_bpf_object *to, struct cf_error *err)
{
	to->ring_fd = from->ring_fd;
	to->bell_fd = from->bell_fd;
	from->ring_fd = from->bell_fd = -1;
	return cf_bpf_ring_size(to->ring_fd, &to->ring_size, err);
}

/* Sizes that an operator gave for our maps say nothing of theirs. */
static int load_own(struct cf_bpf_maps *maps, const struct cf_bpf_options *options, struct cf_bpf_object *out,
		    struct cf_error *err)
{
	struct cf_bpf_options alone = *options;
	struct cf_bpf_maps own;
	int ret;

	alone.flow_entries = 0;
	alone.ring_bytes = 0;
	cf_bpf_maps_init(&own);
	ret = load_with(&own, &alone, out, err);
	if (ret == 0) {
		ret = take_ring(&own, out, err);
	}
	if (ret == 0)
		ret = cf_bpf_maps_ring(maps, options->ring_bytes, err);
	if (ret < 0)
		cf_bpf_unload(out);
	cf_bpf_maps_close(&own);
	return ret;
}

/* The built-in object with a ring for one cell. What it shares is the flow table. */
static int load_apart(struct cf_bpf_maps *maps, const struct cf_bpf_options *options, struct cf_bpf_object *out,
		      struct cf_error *err)
{
	struct cf_bpf_maps apart = { .ring_fd = -1, .bell_fd = -1, .flows_fd = maps->flows_fd, .wake_fd = -1 };
	int ret = load_with(&apart, options, out, err);

	maps->flows_fd = apart.flows_fd;
	apart.flows_fd = -1;
	if (ret == 0) {
		ret = take_ring(&apart, out, err);
	}
	if (ret == 0)
		ret = cf_bpf_maps_ring(maps, options->ring_bytes, err);
	if (ret < 0)
		cf_bpf_unload(out);
	cf_bpf_maps_close(&apart);
	return ret;
}

int cf_bpf_load(struct cf_bpf_maps *maps, const struct cf_bpf_options *options, struct cf_bpf_object *out,
		struct cf_error *err)
{
	if (options->path)
		return load_own(maps, options, out, err);
	return options->own_ring ? load_apart(maps, options, out, err) : load_with(maps, options, out, err);
}
