/* SPDX-License-Identifier: MIT
 * A replay's begin, end and policy: see replay.h. Frames are replay_frames.c's. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "api.h"
#include "clock.h"
#include "dedup.h"
#include "emit.h"
#include "guard.h"
#include "plan_check.h"
#include "record.h"
#include "replay_parts.h"
#include "worker.h"

struct cf_replay *cf_replay_new(const struct cf_replay_options *options)
{
	struct cf_replay *replay = calloc(1, sizeof(*replay));
	size_t dedup_len = cf_dedup_size(CF_DEDUP_CAPACITY);

	if (!replay)
		return NULL;
	replay->options = options;
	replay->includes.opener = options->opener;
	replay->shared = cf_shared_new();
	replay->turn = replay->shared ? cf_turn_new(replay->shared, 0) : NULL;
	replay->connections = cf_connections_new(CF_CONNECTIONS_CAP);
	replay->dedup =
		mmap(NULL, dedup_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (replay->turn && replay->connections && replay->dedup != MAP_FAILED &&
	    cf_dedup_bind(replay->dedup, dedup_len) == 0) {
		cf_progress_bind(&replay->shared->progress[0]);
		cf_script_alone();
		return replay;
	}
	cf_replay_free(replay);
	return NULL;
}

void cf_replay_free(struct cf_replay *replay)
{
	if (!replay)
		return;
	cf_script_close();
	cf_record_unbind();
	cf_emit_begin(NULL);
	cf_progress_bind(NULL);
	cf_dedup_bind(NULL, 0);
	cf_clock_follow();
	if (replay->dedup && replay->dedup != MAP_FAILED)
		munmap(replay->dedup, cf_dedup_size(CF_DEDUP_CAPACITY));
	if (replay->turn && replay->turn->clock_fd >= 0)
		close(replay->turn->clock_fd);
	free(replay->turn);
	cf_shared_free(replay->shared);
	cf_connections_free(replay->connections);
	cf_plan_free(replay->plan);
	cf_kept_files_free(&replay->includes);
	free(replay->args_bytes);
	free(replay);
}

struct cf_shared *cf_replay_shared(struct cf_replay *replay)
{
	return replay->shared;
}

const struct cf_plan *cf_replay_plan(const struct cf_replay *replay)
{
	return replay->plan;
}

const struct cf_connections *cf_replay_connections(const struct cf_replay *replay)
{
	return replay->connections;
}

const struct cf_replay_numbers *cf_replay_numbers(const struct cf_replay *replay)
{
	return &replay->numbers;
}

int cf_replay_is_same(const struct cf_replay *replay)
{
	return replay->is_same;
}

int cf_replay_is_full(const struct cf_replay *replay)
{
	return cf_emit_is_full(cf_outcome_current(replay->shared));
}

/* Of what the policy declares for live runs, only what it says of stdout is of use here. */
static void say_outputs(struct cf_replay *replay)
{
	const struct cf_selection *selection = replay->options->selection;
	struct cf_plan *plan = replay->plan;
	struct cf_plan_output output = { .kind = CF_OUTPUT_STDOUT };

	for (uint32_t i = 0; i < plan->output_count; i++)
		if (plan->outputs[i].kind == CF_OUTPUT_STDOUT)
			output = plan->outputs[i];
	plan->outputs[0] = output;
	plan->output_count = 1;
	cf_emit_formats(plan, selection && selection->color);
	cf_emit_limit(selection ? selection->limit : 0);
}

/* A Lua state in which nothing has run yet. */
int cf_replay_read_policy(struct cf_replay *replay, struct cf_error *error)
{
	static const struct cf_plan_metadata none;
	const struct cf_opener opener = { .read = cf_kept_files_read, .context = &replay->includes };
	struct cf_worker_config config = { .policy = replay->options->policy,
					   .selection = replay->options->selection,
					   .metadata = &none };
	struct cf_plan *plan;
	int rc;

	if (!config.policy.args)
		config.policy.args = replay->args;
	if (replay->is_used)
		cf_script_stop(); /* what there is to say of the state that goes */
	cf_script_close();
	replay->is_used = 0;
	cf_plan_free(replay->plan);
	replay->plan = plan = cf_plan_new();
	if (!plan)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for a plan");
	if (config.policy.name)
		cf_guard_load(config.policy.name, NULL);
	rc = cf_worker_load(&config, &opener, plan, error);
	cf_guard_finish();
	if (rc < 0)
		return -1;
	cf_script_interpret((int)plan->limits.interpreted);
	replay->turn->interpreted = plan->limits.interpreted;
	replay->turn->slow_ms = UINT32_MAX; /* nobody waits for a batch here */
	replay->turn->timer_ns = 0;
	replay->turn->is_full = 0;
	replay->declared = plan->metadata;
	say_outputs(replay);
	replay->is_started = replay->is_bound = 0;
	return 0;
}

static int bind(struct cf_replay *replay, struct cf_error *error)
{
	if (replay->is_bound)
		return 0;
	cf_replay_plan_fill(replay->plan, &replay->recorded, &replay->declared, replay->options->metadata);
	if (cf_record_bind(replay->plan, error) < 0 || cf_script_bind(replay->plan, error) < 0)
		return -1;
	replay->is_bound = 1;
	return 0;
}

/* Before anything of the policy runs. */
int cf_replay_prepare(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error)
{
	cf_clock_set_boot(now_ns);
	if (replay->options->room && replay->options->room(replay->options->context, error) < 0)
		return -1;
	return bind(replay, error);
}
