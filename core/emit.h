/* SPDX-License-Identifier: MIT
 *
 * The worker's hand on its outputs: the batch that Lua reads and the calls by which Lua ends each event (api.h).
 * Joins record.c (bytes), sink.c (room) and outcome.c (numbers) and knows nothing of descriptors or sources.
 */
#ifndef CF_EMIT_H
#define CF_EMIT_H
#include "outcome.h"
#include "sink.h"

/* Where cf_progress_get points from now on; NULL: at a private one. Not owned. */
void cf_progress_bind(struct cf_progress *progress);

/* The outputs in use from now on; neither is owned, both must stay. */
void cf_emit_bind(struct cf_shared *shared, struct cf_sink *sinks, uint32_t sink_count);
/* How each output's records look, by the plan; `color`: stdout may have colours. Without it: JSON. */
void cf_emit_formats(const struct cf_plan *plan, int color);
/* Behind so many records (counted by the outcome, so by all workers together) events end as filtered; 0: no limit. */
void cf_emit_limit(uint64_t records);
/* 1: the limit is reached. */
int cf_emit_is_full(const struct cf_outcome *outcome);
/* The outcome that the coming calls change; NULL outside a batch: calls are then ignored. */
void cf_emit_begin(struct cf_outcome *next);
/* Events of the batch that were not ended since cf_emit_begin. */
uint32_t cf_emit_ended(void);

/* Who wants to know how each event ends, besides the outputs: `ending` is 0 for one that wrote a record, else enum
 * cf_ending; `decision` is known of records and of what was suppressed, else NULL. Called in the order of the batch;
 * valid during the call. */
struct cf_emit_tap {
	void (*ended)(void *context, const struct cf_event *event, const struct cf_decision *decision, uint32_t ending);
	void *context;
};
/* Copied; NULL: nobody. Until the process ends. */
void cf_emit_tap(const struct cf_emit_tap *tap);
#endif
