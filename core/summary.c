/* SPDX-License-Identifier: MIT
 * The numbers of a run, gathered and held against each other: see summary.h. What they look like as text is
 * summary_log.c's, as JSON summary_json.c's. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "api.h"
#include "frame.h"
#include "log.h"
#include "plan_check.h"
#include "source.h"
#include "summary.h"

static void gather_output(struct cf_summary *summary, uint32_t i)
{
	const struct cf_summary_input *input = summary->from;
	struct cf_output_numbers *numbers = &summary->outputs[i];
	const struct cf_output_progress *progress = &input->shared->outputs[i];

	numbers->path = cf_plan_output_name(&input->plan->outputs[i]);
	numbers->records = summary->outcome.records - progress->records_before;
	numbers->extra = summary->outcome.extra - progress->extra_before;
	numbers->dropped = summary->outcome.outputs[i].dropped;
	numbers->uncertain = progress->uncertain;
	numbers->errors = progress->errors;
	numbers->unwritten = cf_sink_buffered(&input->sinks[i], summary->outcome.outputs[i].head);
	numbers->written = cf_sink_written(&input->sinks[i]);
	summary->lost += numbers->dropped + numbers->uncertain + numbers->unwritten;
}

static int kernel_adds_up(const struct cf_summary *summary)
{
	const struct cf_collected *collected = summary->from->collected;
	const uint64_t *n = summary->stats.n;

	return n[CF_STAT_PACKETS] == n[CF_STAT_PARSED] + summary->unparsed &&
	       n[CF_STAT_PARSED] == n[CF_STAT_FLOW_HIT] + n[CF_STAT_FLOW_NEW] + n[CF_STAT_FLOW_FULL] &&
	       n[CF_STAT_FLOW_NEW] + n[CF_STAT_FLOW_EVICTED] + n[CF_STAT_FLOW_REUSED] ==
		       n[CF_STAT_EVENT_ATTEMPTED] + n[CF_STAT_EVENT_UNWANTED] &&
	       n[CF_STAT_EVENT_ATTEMPTED] == n[CF_STAT_EVENT_SUBMITTED] + n[CF_STAT_RING_FULL] &&
	       n[CF_STAT_EVENT_SUBMITTED] + collected->submitted ==
		       summary->outcome.consumed + summary->in_ring + collected->own_taken;
}

static int collector_adds_up(const struct cf_collected *collected)
{
	uint64_t told = 0;

	for (int i = 0; i < CF_TOLD_KINDS; i++)
		told += collected->told[i];
	return collected->submitted == told &&
	       collected->nflog.packets == collected->nflog.parsed + collected->nflog.unparsed &&
	       collected->nflog.parsed ==
		       collected->nflog.flow_hit + collected->nflog.flow_new + collected->nflog.flow_full;
}

static int worker_adds_up(const struct cf_outcome *outcome)
{
	return outcome->consumed == outcome->records + outcome->deduplicated + outcome->suppressed + outcome->filtered +
					    outcome->failed + outcome->refused + outcome->skipped;
}

static int output_adds_up(const struct cf_output_numbers *out)
{
	return out->records + out->extra == out->written + out->dropped + out->uncertain + out->unwritten;
}

static uint64_t lost_collecting(const struct cf_collected *collected)
{
	return collected->untold + collected->own_refused + collected->nflog.flow_full + collected->nflog.lost +
	       collected->nflog.unsettled + collected->nflog.refused;
}

/* Flows of which no event got into the ring. */
static int kernel_missed(const struct cf_stats *stats)
{
	return stats->n[CF_STAT_FLOW_FULL] || stats->n[CF_STAT_RING_FULL] || stats->n[CF_STAT_UNPARSED_EXT_TOO_DEEP] ||
	       stats->n[CF_STAT_UNPARSED_VLAN_TOO_DEEP];
}

void cf_summary_connections(const struct cf_summary *summary, const struct cf_cell *cell,
			    struct cf_connection_count *out)
{
	cf_connections_of_cell(summary->from->connections, cell->slot, out);
	out->is_missing |= summary->is_missing || cf_cell_misses(cell) || kernel_missed(&cell->stats);
}

const char *cf_summary_connections_are(const struct cf_connection_count *count)
{
	return count->is_estimate ? "estimate" : count->is_missing ? "lower bound" : "exact";
}

/* Of cells that are no longer there, only the run's count says what they missed. */
static void gather_connections(struct cf_summary *summary)
{
	const struct cf_outcome *outcome = &summary->outcome;
	const struct cf_cells *cells = summary->from->cells;

	cf_connections_of_run(summary->from->connections, &summary->connections);
	summary->is_missing = outcome->refused || summary->in_ring || lost_collecting(summary->from->collected) ||
			      cells->uncounted || kernel_missed(&cells->removed);
	summary->connections.is_missing |= summary->is_missing || kernel_missed(&summary->stats) || cells->missed;
	for (uint32_t i = 0, seen = 0; i < CF_CELLS_MAX && seen < cells->count; i++) {
		if (!cells->by_slot[i])
			continue;
		seen++;
		summary->connections.is_missing |= cf_cell_misses(cells->by_slot[i]);
	}
}

/* What went missing before it was recorded is missing in the replay; overruns are times, not events. */
static void gather_recorded(struct cf_summary *summary)
{
	const struct cf_summary_recorded *recorded = summary->from->recorded;

	for (int i = 1; i < CF_LOSSES; i++)
		if (i != CF_LOSS_NFLOG_OVERRUN)
			summary->lost += recorded->losses[i];
	cf_connections_of_run(summary->from->connections, &summary->connections);
	summary->is_missing = summary->lost || summary->outcome.refused || !recorded->is_whole;
	summary->connections.is_missing |= summary->is_missing;
	summary->lost += summary->outcome.failed + summary->outcome.refused;
	summary->adds_up = worker_adds_up(&summary->outcome) && summary->outcome.consumed == recorded->events;
}

static void gather_live(struct cf_summary *summary)
{
	const struct cf_summary_input *input = summary->from;
	const struct cf_outcome *outcome = &summary->outcome;
	const uint64_t *n = summary->stats.n;

	summary->in_ring = cf_feed_count(input->feed, outcome->position);
	cf_cells_stats(input->cells, &summary->stats);
	for (int i = CF_STAT_UNPARSED_NOT_IP; i <= CF_STAT_UNPARSED_VLAN_TOO_DEEP; i++)
		summary->unparsed += n[i];
	summary->lost = n[CF_STAT_FLOW_FULL] + n[CF_STAT_RING_FULL] + outcome->failed + outcome->refused +
			outcome->skipped + summary->in_ring + input->lost_before + lost_collecting(input->collected);
	summary->is_counted = !input->cells->uncounted;
	gather_connections(summary);
	summary->flows = n[CF_STAT_FLOW_NEW] + input->collected->nflog.flow_new;
	summary->flows -= input->collected->joined < summary->flows ? input->collected->joined : 0;
	cf_recording_summary(input->recorder, outcome, &summary->recording);
	summary->adds_up = worker_adds_up(outcome) && summary->recording.adds_up &&
			   collector_adds_up(input->collected) && (!summary->is_counted || kernel_adds_up(summary));
}

void cf_summary_gather(const struct cf_summary_input *input, struct cf_summary *summary)
{
	memset(summary, 0, sizeof(*summary));
	summary->from = input;
	/* The kernel's numbers last: what they count has then at most grown, and "lost" never comes out negative. */
	cf_outcome_snapshot(input->shared, &summary->outcome);
	if (input->recorded)
		gather_recorded(summary);
	else
		gather_live(summary);
	for (uint32_t i = 0; i < input->sink_count; i++)
		gather_output(summary, i);
	for (uint32_t i = 0; i < input->sink_count; i++)
		summary->adds_up = summary->adds_up && output_adds_up(&summary->outputs[i]);
}
