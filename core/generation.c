/* SPDX-License-Identifier: MIT
 * Start, reload and recovery: see generation.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "dedup.h"
#include "generation.h"
#include "log.h"
#include "plan_check.h"
#include "policy_file.h"
#include "privilege.h"

enum { HAND_OVER_FLUSH_MS = 1000 };

int cf_generations_open(struct cf_generations *gen, const struct cf_run_options *options, int abort_fd,
			struct cf_error *error)
{
	struct cf_cells_options cells = { .wake_interval_ns = options->wake_interval_ns,
					  .flow_entries = options->flow_entries,
					  .ring_bytes = (uint32_t)options->ring_bytes,
					  .required = options->required };
	size_t dedup_len = cf_dedup_size(CF_DEDUP_CAPACITY);
	void *dedup;

	memset(gen, 0, sizeof(*gen));
	gen->options = options;
	gen->abort_fd = abort_fd;
	cf_feed_init(&gen->feed);
	cf_member_init(&gen->collecting.member);
	gen->collecting.ring.fd = gen->collecting.ring.event_fd = -1;
	cf_record_keeper_init(&gen->recorder);
	cf_bpf_maps_init(&gen->cells.maps);
	cf_member_init(&gen->worker);
	gen->shared = cf_shared_new();
	gen->includes = cf_includes_new();
	gen->config.connections = cf_connections_new(options->connections_cap);
	dedup = mmap(NULL, dedup_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (gen->shared)
		cf_log_patience(CF_LOG_PATIENCE_MS, &gen->shared->log_lost);
	if (!gen->shared || !gen->includes || !gen->config.connections || dedup == MAP_FAILED)
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "no memory for the shared counters: %s",
			       strerror(errno));
	gen->config = (struct cf_worker_config){
		.policy = { .name = options->policy_path, .args = options->args },
		.cell = options->cell,
		.selection = options->selection,
		.metadata = &options->metadata,
		.shared = gen->shared,
		.dedup = dedup,
		.dedup_len = dedup_len,
		.connections = gen->config.connections,
		.linger_ns = options->wake_interval_ns,
	};
	if (cf_privilege_user(options->user, &gen->config.uid, &gen->config.gid, error) < 0)
		return -1;
	if (cf_record_keeper_open(&gen->recorder, &options->record, gen->config.uid, gen->config.gid, error) < 0)
		return -1;
	if (cf_cells_open(&gen->cells, &cells, error) < 0 ||
	    cf_collecting_open(&gen->collecting, &gen->cells, gen->config.uid, gen->config.gid, error) < 0)
		return -1;
	return cf_ring_open_host(&gen->feed.rings[CF_FEED_HOST], &gen->collecting.ring, error);
}

void cf_generations_close(struct cf_generations *gen)
{
	cf_member_kill(&gen->worker);
	cf_collecting_close(&gen->collecting);
	cf_record_keeper_close(&gen->recorder);
	cf_feed_close(&gen->feed);
	cf_cells_close(&gen->cells);
	cf_outputs_close(&gen->outputs);
	cf_plan_free(gen->plan);
	cf_includes_free(gen->includes);
	cf_policy_watch_begin(&gen->watch);
	free((char *)(uintptr_t)gen->config.policy.text);
	if (gen->config.dedup)
		munmap(gen->config.dedup, gen->config.dedup_len);
	cf_connections_free(gen->config.connections);
	cf_log_patience(UINT32_MAX, NULL);
	cf_shared_free(gen->shared);
}

struct cf_progress *cf_generation_progress(const struct cf_generations *gen)
{
	return &gen->shared->progress[gen->number % 2];
}

static int read_policy(struct cf_generations *gen, struct cf_policy *policy, struct cf_error *error)
{
	char *text = NULL;

	policy->text = NULL;
	if (!gen->options->policy_path)
		return 0;
	/* Noted first: what changes while we read is a change. */
	cf_policy_watch_begin(&gen->watch);
	cf_policy_watch_note(&gen->watch, gen->options->policy_path);
	if (cf_policy_read(gen->options->policy_path, &gen->config.uid, gen->config.gid, &text, &policy->len, error) <
	    0)
		return -1;
	policy->text = text;
	return 0;
}

static void name_slot(struct cf_message_slot *slot, const struct cf_cell *cell)
{
	*slot = (struct cf_message_slot){ .slot = cell->slot };
	memcpy(slot->name, cell->plan.name, sizeof(slot->name));
	memcpy(slot->interface, cell->interface, sizeof(slot->interface));
}

static int hand_over(struct cf_generations *gen, struct cf_error *error)
{
	static struct cf_message_slot slots[2 * CF_CELLS_MAX];
	struct cf_handover handover = {
		.sinks = gen->outputs.sinks,
		.sink_count = gen->outputs.count,
		.slots = slots,
		.slot_count = gen->retired_count + gen->plan->cell_count,
		.generation = gen->number,
		.ring_fd = gen->cells.maps.ring_fd,
		.bell_fd = gen->cells.maps.bell_fd,
		.ring_size = gen->cells.ring_size,
		.host_ring = &gen->collecting.ring,
		.record_ring = cf_record_keeper_is_on(&gen->recorder) ? &gen->recorder.ring : NULL,
	};

	/* The cells of today last: where a name or slot is in both, they are right. */
	memcpy(slots, gen->retired, gen->retired_count * sizeof(slots[0]));
	for (uint32_t i = 0; i < gen->plan->cell_count; i++)
		name_slot(&slots[gen->retired_count + i], gen->by_plan[i]);
	return cf_member_hand_over(&gen->worker, &handover, error);
}

/* The kernel's ring is made with the first program that is loaded, which may be never. */
static int open_ring(struct cf_generations *gen, struct cf_error *error)
{
	struct cf_ring *ring = &gen->feed.rings[CF_FEED_KERNEL];

	if (ring->producer_page || gen->cells.maps.ring_fd < 0)
		return 0;
	return cf_ring_open_slots(ring, gen->cells.maps.ring_fd, gen->cells.maps.bell_fd, gen->cells.ring_size, error);
}

/* Spawn and take the plan; on success the caller owns *plan, and `includes` has all there is to be. */
static int load(struct cf_generations *gen, const struct cf_worker_config *config, struct cf_includes *includes,
		struct cf_member *worker, struct cf_plan **plan, struct cf_error *error)
{
	includes->watch = &gen->watch;
	*plan = cf_plan_new();
	if (!*plan)
		return cf_fail(error, CF_FAIL_INTERNAL, ENOMEM, "no memory for a plan");
	if (cf_member_spawn(worker, config, error) == 0 &&
	    cf_member_take_plan(worker, *plan, includes, gen->abort_fd, error) == 0) {
		includes->frozen = 1;
		if ((*plan)->cell_count > 0)
			return 0;
		cf_fail(error, CF_FAIL_POLICY, 0,
			"%s: declares no cell, nothing to watch (add: cell \"NAME\" { netns = \"NAME\", interface = "
			"\"eth0\" })",
			config->policy.name ? config->policy.name : "command line");
	}
	cf_member_kill(worker);
	cf_plan_free(*plan);
	*plan = NULL;
	return -1;
}

/* The cell of the plan in force that a new one takes the place of: same name and namespace, not kept, still there. */
static struct cf_cell *predecessor(const struct cf_generations *gen, const struct cf_plan_cell *cell,
				   const uint8_t *is_kept)
{
	/* At the start the plan is in force already, and none of its cells is there. */
	for (uint32_t i = 0; gen->number > 0 && i < gen->plan->cell_count; i++) {
		const struct cf_plan_cell *old = &gen->plan->cells[i];

		if (!is_kept[i] && gen->by_plan[i]->is_watched && strcmp(old->name, cell->name) == 0 &&
		    strcmp(old->netns, cell->netns) == 0 && old->pid == cell->pid)
			return gen->by_plan[i];
	}
	return NULL;
}

/* Which cells of the plan in force some cell of the next one keeps. */
static void mark_kept(const struct cf_plan *next, const int *keep, uint8_t *is_kept)
{
	memset(is_kept, 0, CF_CELLS_MAX);
	for (uint32_t i = 0; i < next->cell_count; i++)
		if (keep[i] >= 0)
			is_kept[keep[i]] = 1;
}

/* Attach what `plan` has and `keep` says is not there yet; on failure nothing of it stays. */
static int add_cells(struct cf_generations *gen, const struct cf_plan *plan, const int *keep, struct cf_cell **by_plan,
		     struct cf_error *error)
{
	static uint8_t is_kept[CF_CELLS_MAX];
	struct pollfd abort = { .fd = gen->abort_fd, .events = POLLIN };
	uint32_t i;

	mark_kept(plan, keep, is_kept);
	for (i = 0; i < plan->cell_count; i++) {
		const struct cf_plan_cell *cell = &plan->cells[i];

		if (poll(&abort, 1, 0) > 0) {
			cf_fail(error, CF_FAIL_INTERNAL, EINTR, "interrupted while attaching");
			break;
		}
		by_plan[i] = keep[i] >= 0 ? gen->by_plan[keep[i]]
					  : cf_cells_add(&gen->cells, cell, predecessor(gen, cell, is_kept), error);
		if (!by_plan[i])
			break;
	}
	if (i == plan->cell_count)
		return 0;
	while (i-- > 0)
		if (keep[i] < 0)
			cf_cells_remove(&gen->cells, by_plan[i]);
	return -1;
}

int cf_generation_start(struct cf_generations *gen, struct cf_error *error)
{
	static int none[CF_CELLS_MAX];
	struct cf_targets targets = { .count = 0 };

	memset(none, 0xff, sizeof(none));
	gen->config.progress = &gen->shared->progress[1];
	if (read_policy(gen, &gen->config.policy, error) < 0 ||
	    load(gen, &gen->config, gen->includes, &gen->worker, &gen->plan, error) < 0 ||
	    cf_targets_open(&targets, gen->plan, error) < 0 || cf_collecting_start(&gen->collecting, error) < 0)
		return -1;
	if (cf_record_keeper_start(&gen->recorder, error) < 0)
		goto failed;
	cf_collecting_times(&gen->collecting, &gen->plan->flows);
	/* From here on the targets are taken over one by one. */
	if (cf_outputs_install(&gen->outputs, &targets, gen->plan, gen->shared, error) < 0 ||
	    add_cells(gen, gen->plan, none, gen->by_plan, error) < 0 || open_ring(gen, error) < 0)
		goto failed;
	gen->number = 1;
	if (hand_over(gen, error) == 0)
		return 0;
failed:
	cf_targets_close(&targets);
	return -1;
}

static int same_cells(const struct cf_plan *a, const struct cf_plan *b)
{
	if (a->cell_count != b->cell_count)
		return 0;
	for (uint32_t i = 0; i < a->cell_count; i++)
		if (strcmp(a->cells[i].name, b->cells[i].name) != 0)
			return 0;
	return 1;
}

int cf_generation_recover(struct cf_generations *gen, struct cf_error *error)
{
	struct cf_plan *plan;
	int same;

	if (load(gen, &gen->config, gen->includes, &gen->worker, &plan, error) < 0)
		return -1;
	same = same_cells(gen->plan, plan);
	cf_plan_free(plan);
	if (!same) { /* a policy that throws dice: indexes would not mean what they meant */
		cf_member_kill(&gen->worker);
		return cf_fail(error, CF_FAIL_POLICY, 0, "%s: declares other cells than when it was read first",
			       gen->options->policy_path);
	}
	cf_outputs_recover(&gen->outputs, gen->shared);
	return hand_over(gen, error);
}

/* What the next plan does not keep goes; of what has no successor in its slot, the last events are still to come. */
static void remove_dropped(struct cf_generations *gen, const struct cf_plan *next, const int *keep)
{
	static uint8_t is_kept[CF_CELLS_MAX];

	mark_kept(next, keep, is_kept);
	gen->retired_count = 0;
	for (uint32_t i = 0; i < gen->plan->cell_count; i++) {
		if (is_kept[i])
			continue;
		if (cf_cells_is_current(&gen->cells, gen->by_plan[i]))
			name_slot(&gen->retired[gen->retired_count++], gen->by_plan[i]);
		cf_cells_remove(&gen->cells, gen->by_plan[i]);
	}
}

/* A cell whose namespace went is kept by name only: the new plan wants it back. */
static void diff(const struct cf_generations *gen, const struct cf_plan *next, int *keep)
{
	cf_plan_diff(gen->plan, next, keep);
	for (uint32_t i = 0; i < next->cell_count; i++)
		if (keep[i] >= 0 && gen->by_plan[keep[i]]->gone)
			keep[i] = -1;
}

/* Outputs that stay keep what they have not written yet; only for others there is something to wait for. */
static uint64_t flush_ms(const struct cf_generations *gen, const struct cf_plan *next)
{
	return cf_outputs_stay(&gen->outputs, next) ? 0 : HAND_OVER_FLUSH_MS;
}

/* The new worker is loaded and the new targets are open: everything that is likely to fail is behind us. */
static int switch_to(struct cf_generations *gen, struct cf_member *worker, struct cf_plan *next,
		     struct cf_targets *targets, struct cf_error *error)
{
	static int keep[CF_CELLS_MAX];
	static struct cf_cell *by_plan[CF_CELLS_MAX];
	int left;

	diff(gen, next, keep);
	left = cf_member_leave(&gen->worker, flush_ms(gen, next), gen->abort_fd);
	cf_outputs_recover(&gen->outputs, gen->shared); /* before a line is logged, see keeper.c */
	if (left < 0)
		cf_warn("the worker of generation %u had to be ended; the batch it had is decided again", gen->number);
	if (add_cells(gen, next, keep, by_plan, error) < 0 || open_ring(gen, error) < 0)
		return -1;
	cf_collecting_times(&gen->collecting, &next->flows);
	remove_dropped(gen, next, keep);
	for (uint32_t i = 0; i < next->cell_count; i++)
		by_plan[i]->plan = next->cells[i]; /* a kept one may have another name and metadata now */
	memcpy(gen->by_plan, by_plan, sizeof(by_plan));
	cf_plan_free(gen->plan);
	gen->plan = next;
	gen->worker = *worker;
	cf_member_init(worker);
	gen->number++;
	if (cf_outputs_install(&gen->outputs, targets, next, gen->shared, error) < 0 || hand_over(gen, error) < 0) {
		/* Past the point of return: the supervisor sees no worker, and recovers the new generation. */
		cf_warn("%s", error->text);
		cf_member_kill(&gen->worker);
	}
	return 0;
}

int cf_generation_reload(struct cf_generations *gen, struct cf_error *error)
{
	struct cf_worker_config config = gen->config;
	struct cf_targets targets = { .count = 0 };
	struct cf_includes *includes = cf_includes_new();
	struct cf_plan *next = NULL;
	struct cf_member worker;
	struct cf_error ignored;

	cf_member_init(&worker);
	config.policy.text = NULL;
	config.progress = &gen->shared->progress[(gen->number + 1) % 2];
	memset(config.progress, 0, sizeof(*config.progress)); /* what was switched off may come back, mended */
	if (!includes || read_policy(gen, &config.policy, error) < 0)
		goto failed;
	if (load(gen, &config, includes, &worker, &next, error) < 0 || cf_targets_open(&targets, next, error) < 0)
		goto failed;
	if (switch_to(gen, &worker, next, &targets, error) == 0) {
		free((char *)(uintptr_t)gen->config.policy.text);
		cf_includes_free(gen->includes);
		gen->config = config;
		gen->includes = includes;
		return 0;
	}
	/* The old worker has finished already; its generation goes on with a new one. */
	if (gen->worker.pid == 0 && cf_generation_recover(gen, &ignored) < 0)
		cf_warn("%s", ignored.text);
failed:
	cf_targets_close(&targets);
	cf_member_kill(&worker);
	cf_plan_free(next);
	cf_includes_free(includes);
	free((char *)(uintptr_t)config.policy.text);
	return -1;
}
