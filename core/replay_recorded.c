/* SPDX-License-Identifier: MIT
 * What a recording says of its run: see replay_recorded.h. */
#include <stdio.h>
#include <string.h>
#include "error.h"
#include "replay_recorded.h"

static void take_text(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text ? text : "");
}

#define TAKE(to, field, text) take_text((to)->field, sizeof((to)->field), text)

/* `from` where it has something. */
#define OVER(to, from, field)                                                                                          \
	do {                                                                                                           \
		if ((from)->field[0])                                                                                  \
			memcpy((to)->field, (from)->field, sizeof((to)->field));                                       \
	} while (0)

static void lay_over(struct cf_plan_metadata *to, const struct cf_plan_metadata *from)
{
	OVER(to, from, run_id);
	OVER(to, from, policy_digest);
	OVER(to, from, keyset_id);
	OVER(to, from, issuer_kid);
	OVER(to, from, correlation_id);
}

int cf_replay_goes_on(const struct cf_replay_recorded *recorded, const struct cf_meta *meta, struct cf_error *error)
{
	if (!recorded->is_known || recorded->recording != meta->recording)
		return 0;
	if (meta->part == recorded->part + 1)
		return 1;
	return cf_fail(error, CF_FAIL_RECORDING, 0,
		       "part %u of the recording was given behind part %u (give all parts, each once, in their order)",
		       meta->part, recorded->part);
}

void cf_replay_take_meta(struct cf_replay_recorded *recorded, uint32_t frame_type, const struct cf_meta *meta)
{
	struct cf_plan_metadata *metadata = &recorded->metadata;

	if (frame_type == CF_FRAME_META) {
		recorded->recording = meta->recording;
		recorded->part = meta->part;
		recorded->is_known = 1;
	}
	recorded->generation = meta->generation;
	recorded->begin_ns = meta->now_ns;
	TAKE(metadata, run_id, meta->texts[CF_META_RUN_ID]);
	TAKE(metadata, policy_digest, meta->texts[CF_META_POLICY_DIGEST]);
	TAKE(metadata, keyset_id, meta->texts[CF_META_KEYSET_ID]);
	TAKE(metadata, issuer_kid, meta->texts[CF_META_ISSUER_KID]);
	TAKE(metadata, correlation_id, meta->texts[CF_META_CORRELATION_ID]);
	memset(recorded->cells, 0, recorded->cell_count * sizeof(recorded->cells[0]));
	recorded->cell_count = 0;
}

void cf_replay_take_cell(struct cf_replay_recorded *recorded, const struct cf_frame_cell *from)
{
	struct cf_plan_cell *cell;

	if (from->index >= CF_CELLS_MAX)
		return;
	if (from->index >= recorded->cell_count)
		recorded->cell_count = from->index + 1;
	cell = &recorded->cells[from->index];
	*cell = (struct cf_plan_cell){
		.sources = from->sources, .hooks = from->hooks, .stand = from->stand, .events = from->events
	};
	memcpy(cell->name, from->name, sizeof(cell->name));
	memcpy(cell->interface, from->interface, sizeof(cell->interface));
	memcpy(cell->run_id, from->run_id, sizeof(cell->run_id));
}

int cf_replay_is_recorded_policy(const struct cf_replay_recorded *recorded, const struct cf_plan_metadata *declared)
{
	return strcmp(recorded->metadata.policy_digest, declared->policy_digest) == 0;
}

void cf_replay_plan_fill(struct cf_plan *plan, const struct cf_replay_recorded *recorded,
			 const struct cf_plan_metadata *declared, const struct cf_plan_metadata *given)
{
	int is_same = cf_replay_is_recorded_policy(recorded, declared);
	/* Of the recorded policy the live run may have known better than the file, by its command line. */
	const struct cf_plan_metadata *below = is_same ? declared : &recorded->metadata;
	const struct cf_plan_metadata *above = is_same ? &recorded->metadata : declared;

	plan->metadata = *below;
	lay_over(&plan->metadata, above);
	memcpy(plan->metadata.policy_digest, declared->policy_digest, sizeof(plan->metadata.policy_digest));
	if (given)
		lay_over(&plan->metadata, given);
	plan->generation = is_same ? recorded->generation : 1;
	plan->cell_count = recorded->cell_count;
	memcpy(plan->cells, recorded->cells, recorded->cell_count * sizeof(plan->cells[0]));
}

uint32_t cf_replay_refuse(const struct cf_replay_recorded *recorded, struct cf_batch *batch)
{
	uint32_t kept = 0, refused;

	for (uint32_t i = 0; i < batch->count; i++) {
		uint32_t cell = batch->events[i].cell;

		if (cell >= recorded->cell_count || !recorded->cells[cell].name[0])
			continue;
		if (kept != i)
			batch->events[kept] = batch->events[i];
		kept++;
	}
	refused = batch->count - kept;
	batch->count = kept;
	return refused;
}

uint64_t cf_replay_lost(const struct cf_frame_loss *frame)
{
	const struct cf_loss *losses = (const struct cf_loss *)(frame + 1);
	uint64_t lost = 0;

	for (uint32_t i = 0; i < frame->count; i++)
		if (losses[i].what == CF_LOSS_RING_FULL || losses[i].what == CF_LOSS_FLOW_FULL ||
		    losses[i].what == CF_LOSS_NFLOG_LOST)
			lost += losses[i].lost;
	return lost;
}
