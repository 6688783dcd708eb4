/* SPDX-License-Identifier: MIT
 * Frames through a policy: see replay.h.
 *
 * A policy that is the recorded one is called for what its worker was called for, at the recorded times, and is read
 * anew where a worker began anew. Another policy has one worker from a recording's begin to its end, and its timers
 * tick by themselves. Which of both it is can change where the live run read its policy again. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "clock.h"
#include "dedup.h"
#include "emit.h"
#include "kept_files.h"
#include "log.h"
#include "plan_check.h"
#include "record.h"
#include "replay.h"
#include "replay_recorded.h"
#include "turn.h"
#include "worker.h"

enum {
	TICKS_MAX = 1000000, /* of a policy's timers between two frames: a recording's times may be anything */
};

struct cf_replay {
	const struct cf_replay_options *options;
	struct cf_kept_files includes;
	struct cf_shared *shared;
	struct cf_turn *turn;
	struct cf_connections *connections;
	struct cf_plan *plan; /* of the policy; its cells and metadata are the recording's */
	struct cf_plan_metadata declared; /* as the policy says it */
	void *dedup;
	char *args_bytes; /* GENERATION or META frame in which `args` point */
	const char *args[2 * CF_META_ARGS_MAX + 1];
	int is_same; /* the policy is the one that was in force */
	int is_used; /* something ran in the Lua state since the policy was read */
	int is_started; /* and it was told so */
	int is_bound; /* the plan is what the recording says */
	struct cf_replay_numbers numbers;
	struct cf_replay_recorded recorded;
};

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

/* A Lua state in which nothing has run yet. */
static int read_policy(struct cf_replay *replay, struct cf_error *error)
{
	static const struct cf_plan_metadata none;
	const struct cf_opener opener = { .read = cf_kept_files_read, .context = &replay->includes };
	struct cf_worker_config config = { .policy = replay->options->policy, .metadata = &none };
	struct cf_plan *plan;

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
	if (cf_worker_load(&config, &opener, plan, error) < 0)
		return -1;
	cf_script_interpret((int)plan->limits.interpreted);
	replay->turn->interpreted = plan->limits.interpreted;
	replay->turn->slow_ms = UINT32_MAX; /* nobody waits for a batch here */
	replay->turn->timer_ns = 0;
	replay->turn->is_full = 0;
	replay->declared = plan->metadata;
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
static int prepare(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error)
{
	cf_clock_set_boot(now_ns);
	if (replay->options->room && replay->options->room(replay->options->context, error) < 0)
		return -1;
	return bind(replay, error);
}

static int tell(struct cf_replay *replay, const struct cf_script_moment *moment, struct cf_error *error)
{
	if (prepare(replay, moment->now_ns, error) < 0)
		return -1;
	replay->is_used = 1;
	cf_turn_tell(replay->turn, moment);
	return 0;
}

static int start(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error)
{
	const struct cf_script_moment moment = { .moment = CF_MOMENT_START, .now_ns = now_ns };

	if (replay->is_used && read_policy(replay, error) < 0)
		return -1;
	replay->is_started = 1;
	return tell(replay, &moment, error);
}

static int stop(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error)
{
	const struct cf_script_moment moment = { .moment = CF_MOMENT_STOP, .now_ns = now_ns };

	if (!replay->is_started)
		return 0;
	replay->is_started = 0;
	return tell(replay, &moment, error);
}

/* Of a policy that began nowhere: with its recording. Of one that holds too much: now, as another worker would. */
static int start_if_due(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error)
{
	uint64_t begin_ns = replay->recorded.begin_ns;

	if (replay->is_started && replay->turn->is_full && !replay->is_same)
		return start(replay, now_ns, error);
	if (replay->is_started)
		return 0;
	replay->recorded.begin_ns = 0; /* another time it begins later */
	return start(replay, begin_ns ? begin_ns : now_ns, error);
}

/* What is due at `now_ns`, at its own time. The runtime's times are seconds, in which one ns may be no step. */
static int tick(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error)
{
	struct cf_script_moment moment = { .moment = CF_MOMENT_TIMER };
	uint64_t ticks = 0, step = 0;

	while (replay->turn->timer_ns && replay->turn->timer_ns <= now_ns) {
		uint64_t due_ns = replay->turn->timer_ns;

		moment.now_ns = ++ticks > TICKS_MAX ? now_ns : due_ns + step;
		if (tell(replay, &moment, error) < 0)
			return -1;
		step = replay->turn->timer_ns > due_ns ? 0 : 2 * step + 1;
		if (ticks > TICKS_MAX)
			break;
	}
	return 0;
}

static int take_batch(struct cf_replay *replay, const struct cf_frame *frame, struct cf_error *error)
{
	struct cf_batch *batch = cf_batch_get();
	struct cf_outcome *next;
	uint64_t now_ns;

	if (start_if_due(replay, cf_frame_time(frame), error) < 0 || prepare(replay, cf_frame_time(frame), error) < 0)
		return -1;
	cf_frame_get_batch(frame, &now_ns, batch);
	next = cf_outcome_begin(replay->shared);
	next->consumed += batch->count;
	replay->numbers.events += batch->count;
	replay->numbers.batches++;
	next->refused += cf_replay_refuse(&replay->recorded, batch);
	for (uint32_t i = 0; i < batch->count; i++) {
		struct cf_event *event = &batch->events[i];
		uint32_t cell = event->cell;

		/* As a slot of another epoch: the clocks of two recordings have nothing to do with each other. */
		event->cell += CF_CELLS_MAX * (uint32_t)(replay->numbers.recordings % CF_CELLS_MAX);
		cf_connections_add(replay->connections, event);
		event->cell = cell;
	}
	replay->is_used = 1;
	cf_turn_decide(replay->turn, next, batch);
	cf_outcome_commit(replay->shared, next);
	return 0;
}

static int take_recorded_moment(struct cf_replay *replay, const struct cf_frame_moment *frame, struct cf_error *error)
{
	const struct cf_script_moment moment = {
		.moment = frame->moment, .now_ns = frame->now_ns, .lost = frame->lost, .lost_total = frame->lost_total
	};

	if (frame->moment == CF_MOMENT_START)
		return start(replay, frame->now_ns, error);
	if (frame->moment == CF_MOMENT_STOP)
		return stop(replay, frame->now_ns, error);
	if (start_if_due(replay, frame->now_ns, error) < 0)
		return -1;
	return tell(replay, &moment, error);
}

/* Told to handlers as a live worker is told: what the kernel could not hand over. */
static int take_loss(struct cf_replay *replay, const struct cf_frame_loss *frame, struct cf_error *error)
{
	const struct cf_loss *losses = (const struct cf_loss *)(frame + 1);
	struct cf_script_moment moment = { .moment = CF_MOMENT_LOST, .now_ns = frame->now_ns };

	for (uint32_t i = 0; i < frame->count; i++) {
		if (losses[i].what < CF_LOSSES)
			replay->numbers.losses[losses[i].what] += losses[i].lost;
		if (losses[i].what == CF_LOSS_RING_FULL || losses[i].what == CF_LOSS_FLOW_FULL)
			moment.lost += losses[i].lost;
	}
	if (replay->is_same || !moment.lost || !replay->plan->limits.wants_lost)
		return 0;
	moment.lost_total = cf_outcome_current(replay->shared)->lost_told + moment.lost;
	if (start_if_due(replay, frame->now_ns, error) < 0)
		return -1;
	return tell(replay, &moment, error);
}

static int keep_args(struct cf_replay *replay, const struct cf_frame *frame, struct cf_error *error)
{
	struct cf_frame copy = *frame;
	struct cf_meta meta;

	free(replay->args_bytes);
	replay->args_bytes = malloc(frame->len);
	if (!replay->args_bytes)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for what a recording begins with");
	memcpy(replay->args_bytes, frame->bytes, frame->len);
	copy.bytes = (const uint8_t *)replay->args_bytes;
	cf_frame_get_meta(&copy, &meta);
	memcpy(replay->args, meta.args, sizeof(meta.args));
	return 0;
}

static int end_recording(struct cf_replay *replay, struct cf_error *error)
{
	struct cf_replay_numbers *numbers = &replay->numbers;

	if (!replay->is_same && replay->plan && stop(replay, numbers->now_ns, error) < 0)
		return -1;
	if (numbers->now_ns > numbers->first_ns)
		numbers->span_ns += numbers->now_ns - numbers->first_ns;
	numbers->first_ns = numbers->now_ns = 0;
	return 0;
}

/* Another recording is another run: nothing is left of the one before but what was counted. */
static int begin_recording(struct cf_replay *replay, const struct cf_frame *frame, const struct cf_meta *meta,
			   struct cf_error *error)
{
	if (end_recording(replay, error) < 0 || keep_args(replay, frame, error) < 0)
		return -1;
	cf_clock_set_offset(0); /* until a CLOCK says better: never this host's */
	cf_clock_set_boot(meta->now_ns);
	cf_dedup_seed(meta->recording);
	if (replay->numbers.recordings++ == 0) {
		cf_emit_bind(replay->shared, replay->options->sinks, replay->options->sink_count);
		cf_connections_seed(replay->connections, meta->recording);
	}
	if (meta->part > 0)
		cf_warn("the recording begins with its part %u: what was before is not known to the policy",
			meta->part);
	return read_policy(replay, error);
}

static int take_meta(struct cf_replay *replay, const struct cf_frame *frame, struct cf_error *error)
{
	struct cf_meta meta;
	int goes_on = 1;

	cf_frame_get_meta(frame, &meta);
	if (frame->type == CF_FRAME_META)
		goes_on = cf_replay_goes_on(&replay->recorded, &meta, error);
	if (goes_on < 0 || (goes_on == 0 && begin_recording(replay, frame, &meta, error) < 0))
		return -1;
	cf_replay_take_meta(&replay->recorded, &meta);
	replay->is_same = cf_replay_is_recorded_policy(&replay->recorded, &replay->declared);
	replay->is_bound = 0;
	return 0;
}

static int take_clock(const struct cf_frame *frame)
{
	cf_clock_set_offset(((const struct cf_frame_clock *)frame->bytes)->offset_ns);
	return 0;
}

static int take_cell(struct cf_replay *replay, const struct cf_frame *frame)
{
	cf_replay_take_cell(&replay->recorded, (const struct cf_frame_cell *)frame->bytes);
	replay->is_bound = 0;
	return 0;
}

/* What another policy's timers have to do before this frame. */
static int pass_time(struct cf_replay *replay, const struct cf_frame *frame, struct cf_error *error)
{
	struct cf_replay_numbers *numbers = &replay->numbers;
	uint64_t now_ns = cf_frame_time(frame);

	if (!now_ns)
		return 0;
	if (!numbers->first_ns || now_ns < numbers->first_ns)
		numbers->first_ns = now_ns;
	if (now_ns > numbers->now_ns)
		numbers->now_ns = now_ns;
	return replay->is_same || !replay->is_started ? 0 : tick(replay, now_ns, error);
}

int cf_replay_frame(struct cf_replay *replay, const struct cf_frame *frame, struct cf_error *error)
{
	if (frame->type != CF_FRAME_META && !replay->plan)
		return cf_fail(error, CF_FAIL_RECORDING, 0, "a recording that does not begin with what it is of");
	if (frame->type != CF_FRAME_META && pass_time(replay, frame, error) < 0)
		return -1;
	switch (frame->type) {
	case CF_FRAME_META:
		if (take_meta(replay, frame, error) < 0)
			return -1;
		return pass_time(replay, frame, error);
	case CF_FRAME_GENERATION:
		return take_meta(replay, frame, error);
	case CF_FRAME_CELL:
		return take_cell(replay, frame);
	case CF_FRAME_CLOCK:
		return take_clock(frame);
	case CF_FRAME_BATCH:
		return take_batch(replay, frame, error);
	case CF_FRAME_MOMENT:
		if (!replay->is_same)
			return start_if_due(replay, cf_frame_time(frame), error);
		return take_recorded_moment(replay, (const struct cf_frame_moment *)frame->bytes, error);
	case CF_FRAME_LOSS:
		return take_loss(replay, (const struct cf_frame_loss *)frame->bytes, error);
	default:
		return 0;
	}
}

int cf_replay_end(struct cf_replay *replay, struct cf_error *error)
{
	int rc = end_recording(replay, error);

	if (replay->is_used)
		cf_script_stop();
	replay->is_used = 0;
	return rc;
}
