/* SPDX-License-Identifier: MIT
 * Losses of the kernel's side, told to the worker: see lost.h. */
#include "channel.h"
#include "lost.h"

void cf_lost_tell(struct cf_lost *lost, struct cf_generations *gen)
{
	struct cf_message_number total;
	struct cf_stats stats;

	if (gen->worker.pid == 0 || !gen->plan->limits.wants_lost)
		return;
	cf_cells_stats(&gen->cells, &stats);
	total.value = stats.n[CF_STAT_RING_FULL] + stats.n[CF_STAT_FLOW_FULL];
	if (lost->worker != gen->worker.pid) { /* it knows what was committed, and nothing that was only sent */
		lost->worker = gen->worker.pid;
		lost->told = cf_outcome_current(gen->shared)->lost_told;
	}
	if (total.value > lost->told &&
	    cf_channel_try_send(gen->worker.channel, CF_MSG_LOST, &total, sizeof(total)) == 0)
		lost->told = total.value;
}
