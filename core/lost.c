/* SPDX-License-Identifier: MIT
 * Losses of the kernel's side, told to the worker: see lost.h. */
#include "channel.h"
#include "clock.h"
#include "lost.h"

void cf_lost_tell(struct cf_lost *lost, struct cf_generations *gen)
{
	const struct cf_collected_nflog *nflog = &gen->collecting.config.numbers->nflog;
	struct cf_message_number total;
	struct cf_stats stats;

	if (gen->worker.pid == 0 || !gen->plan->limits.wants_lost)
		return;
	cf_cells_stats(&gen->cells, &stats);
	total.value = stats.n[CF_STAT_RING_FULL] + stats.n[CF_STAT_FLOW_FULL] + nflog->lost + nflog->unsettled +
		      nflog->flow_full;
	if (lost->worker != gen->worker.pid) { /* it knows what was committed, and nothing that was only sent */
		lost->worker = gen->worker.pid;
		lost->told = cf_outcome_current(gen->shared)->lost_told;
	}
	if (total.value > lost->told &&
	    cf_channel_try_send(gen->worker.channel, CF_MSG_LOST, &total, sizeof(total)) == 0)
		lost->told = total.value;
}

void cf_lost_record(struct cf_generations *gen)
{
	const struct cf_collected *collected = gen->collecting.config.numbers;
	struct cf_message_losses losses;
	struct cf_outcome outcome;
	struct cf_stats stats;

	if (!cf_record_keeper_is_on(&gen->recorder))
		return;
	cf_outcome_snapshot(gen->shared, &outcome);
	cf_cells_stats(&gen->cells, &stats);
	losses = (struct cf_message_losses){
		.now_ns = cf_clock_boot_now(),
		.totals = { [CF_LOSS_RING_FULL] = stats.n[CF_STAT_RING_FULL],
			    [CF_LOSS_FLOW_FULL] = stats.n[CF_STAT_FLOW_FULL] + collected->nflog.flow_full,
			    [CF_LOSS_HOST_RING_FULL] = collected->untold,
			    [CF_LOSS_NFLOG_LOST] = collected->nflog.lost + collected->nflog.unsettled,
			    [CF_LOSS_NFLOG_OVERRUN] = collected->nflog.overruns,
			    [CF_LOSS_REFUSED] = outcome.refused + collected->own_refused + collected->nflog.refused,
			    [CF_LOSS_SKIPPED] = outcome.skipped,
			    [CF_LOSS_UNRECORDED] = outcome.unrecorded },
	};
	cf_record_keeper_losses(&gen->recorder, &losses);
}
