/* SPDX-License-Identifier: MIT
 *
 * What a recording says of the run it is of: its cells, metadata and policy, as far as they are known at the frame in
 * hand, and the plan by which a replay names things. Decides nothing and runs nothing.
 */
#ifndef CF_REPLAY_RECORDED_H
#define CF_REPLAY_RECORDED_H
#include "api.h"
#include "frame.h"
#include "plan.h"

struct cf_replay_recorded {
	uint64_t recording;
	uint32_t part;
	uint32_t is_known; /* 1: a META was taken */
	uint32_t generation;
	uint32_t cell_count;
	uint64_t begin_ns; /* time of the latest META or GENERATION; 0: not known */
	struct cf_plan_metadata metadata;
	struct cf_plan_cell cells[CF_CELLS_MAX]; /* without a name: not one that the recording has */
};

/* 1: `meta` begins another part of the recording in hand, the next one; 0: another recording. -1: a part of the one in
 * hand that is not the next. */
int cf_replay_goes_on(const struct cf_replay_recorded *recorded, const struct cf_meta *meta, struct cf_error *error);
/* META or GENERATION, as `frame_type` says: cells follow anew. Only META says of which part of which recording. */
void cf_replay_take_meta(struct cf_replay_recorded *recorded, uint32_t frame_type, const struct cf_meta *meta);
void cf_replay_take_cell(struct cf_replay_recorded *recorded, const struct cf_frame_cell *cell);

/* 1: the policy with these metadata is the one that was recorded. */
int cf_replay_is_recorded_policy(const struct cf_replay_recorded *recorded, const struct cf_plan_metadata *declared);
/* The plan to name things by. `declared`: metadata as the policy has them; `given`: of the command line, NULL: none. */
void cf_replay_plan_fill(struct cf_plan *plan, const struct cf_replay_recorded *recorded,
			 const struct cf_plan_metadata *declared, const struct cf_plan_metadata *given);
/* Take away the events of cells that the recording does not name; returns how many there were. */
uint32_t cf_replay_refuse(const struct cf_replay_recorded *recorded, struct cf_batch *batch);
/* How much of it handlers of `lost` are told, as those of a live run were (lost.h). */
uint64_t cf_replay_lost(const struct cf_frame_loss *frame);
#endif
