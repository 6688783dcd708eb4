/* SPDX-License-Identifier: MIT
 * Frames through a policy: cf_replay_frame and cf_replay_end of replay.h.
 *
 * A policy that is the recorded one is called for what its worker was called for, at the recorded times, and is read
 * anew where a worker began anew. Another policy has one worker from a recording's begin to its end, and its timers
 * tick by themselves. Which of both it is can change where the live run read its policy again. */
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "dedup.h"
#include "emit.h"
#include "log.h"
#include "replay_parts.h"

static int take_batch(struct cf_replay *replay, const struct cf_frame *frame, struct cf_error *error)
{
	struct cf_batch *batch = cf_batch_get();
	struct cf_outcome *next;
	uint64_t now_ns;

	if (cf_replay_start_if_due(replay, cf_frame_time(frame), error) < 0 ||
	    cf_replay_prepare(replay, cf_frame_time(frame), error) < 0)
		return -1;
	cf_frame_get_batch(frame, &now_ns, batch);
	next = cf_outcome_begin(replay->shared);
	next->consumed += batch->count;
	replay->numbers.events += batch->count;
	replay->numbers.batches++;
	next->refused += cf_replay_refuse(&replay->recorded, batch);
	cf_connections_begin(replay->connections, next->attempt);
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
		return cf_replay_start(replay, frame->now_ns, error);
	if (frame->moment == CF_MOMENT_STOP)
		return cf_replay_stop(replay, frame->now_ns, error);
	if (cf_replay_start_if_due(replay, frame->now_ns, error) < 0)
		return -1;
	return cf_replay_tell(replay, &moment, error);
}

/* Told to handlers as a live worker is told: what the kernel could not hand over. */
static int take_loss(struct cf_replay *replay, const struct cf_frame_loss *frame, struct cf_error *error)
{
	const struct cf_loss *losses = (const struct cf_loss *)(frame + 1);
	struct cf_script_moment moment = { .moment = CF_MOMENT_LOST,
					   .now_ns = frame->now_ns,
					   .lost = cf_replay_lost(frame) };

	for (uint32_t i = 0; i < frame->count; i++)
		if (losses[i].what < CF_LOSSES)
			replay->numbers.losses[losses[i].what] += losses[i].lost;
	if (replay->is_same || !moment.lost || !replay->plan->limits.wants_lost)
		return 0;
	moment.lost_total = cf_outcome_current(replay->shared)->lost_told + moment.lost;
	if (cf_replay_start_if_due(replay, frame->now_ns, error) < 0)
		return -1;
	return cf_replay_tell(replay, &moment, error);
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

	if (!replay->is_same && replay->plan && cf_replay_stop(replay, numbers->now_ns, error) < 0)
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
	return cf_replay_read_policy(replay, error);
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
	cf_replay_take_meta(&replay->recorded, frame->type, &meta);
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
	return replay->is_same || !replay->is_started ? 0 : cf_replay_tick(replay, now_ns, error);
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
			return cf_replay_start_if_due(replay, cf_frame_time(frame), error);
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
