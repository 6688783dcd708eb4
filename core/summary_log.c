/* SPDX-License-Identifier: MIT
 * The numbers of a run as text for people: cf_summary_log of summary.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "api.h"
#include "frame.h"
#include "log.h"
#include "plan_check.h"
#include "source.h"
#include "summary.h"

static const char *connections_text(const struct cf_connection_count *count, char *text, size_t size)
{
	int len = snprintf(text, size, "%" PRIu64 " connection%s (%s", count->count, count->count == 1 ? "" : "s",
			   cf_summary_connections_are(count));

	if (count->is_estimate)
		len += snprintf(text + len, size - (size_t)len, ", standard error %.2g %%%s", count->error * 100,
				count->is_missing ? ", some were missed" : "");
	snprintf(text + len, size - (size_t)len, ")");
	return text;
}

static void log_head(const struct cf_summary *summary)
{
	const struct cf_outcome *outcome = &summary->outcome;
	char lost[64] = "nothing lost";
	char flows[24] = "unknown";

	if (summary->is_counted)
		snprintf(flows, sizeof(flows), "%" PRIu64, summary->flows);
	if (summary->lost)
		snprintf(lost, sizeof(lost), "%s%" PRIu64 " LOST",
			 summary->from->collected->nflog.unsettled ? "at least " : "", summary->lost);
	cf_info("summary: %s flow%s in %.1f s, %" PRIu64 " record%s (%" PRIu64 " allow, %" PRIu64 " deny), %s", flows,
		strcmp(flows, "1") == 0 ? "" : "s", (double)summary->from->elapsed_ns / 1e9, outcome->records,
		outcome->records == 1 ? "" : "s", outcome->decisions[CF_ALLOW], outcome->decisions[CF_DENY], lost);
}

static void log_reasons(const struct cf_summary *summary)
{
	const struct cf_shared *shared = summary->from->shared;
	uint32_t count = atomic_load(&shared->reason_count);
	char text[2048] = "";
	size_t used = 0;

	for (uint32_t i = 0; i < count && i < CF_REASONS_MAX && used < sizeof(text); i++)
		if (summary->outcome.reasons[i])
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s %" PRIu64, used ? ", " : "",
						 CF_REASON_LEN, shared->reason_names[i], summary->outcome.reasons[i]);
	if (used)
		cf_info("  reasons   %s", text);
}

/* Some to a line: there may be hundreds. */
static void log_counters(const struct cf_summary *summary)
{
	const struct cf_shared *shared = summary->from->shared;
	char text[512] = "";
	size_t used = 0;

	for (uint32_t i = 0; i < CF_COUNTERS_MAX; i++) {
		const struct cf_counter_name *name = &shared->counter_names[i];
		int has_label = name->label[0] != '\0';

		if (!cf_counter_is_used(shared, &summary->outcome, i))
			continue;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s%s%.*s%s %" PRIu64, used ? ", " : "",
					 CF_COUNTER_LEN, name->name, has_label ? "[" : "", CF_COUNTER_LEN, name->label,
					 has_label ? "]" : "", summary->outcome.counters[i]);
		if (used > 100) {
			cf_info("  counters  %s", text);
			used = 0;
		}
	}
	if (used)
		cf_info("  counters  %s", text);
}

static void log_unparsed(const struct cf_summary *summary, char *text, size_t size)
{
	static const char *const names[] = { "not IP", "truncated", "bad header", "too many extension headers",
					     "too many VLAN tags" };
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < 5 && used < size; i++) {
		uint64_t count = summary->stats.n[CF_STAT_UNPARSED_NOT_IP + i];

		if (count)
			used += (size_t)snprintf(text + used, size - used, "%s%s %" PRIu64, used ? ", " : " (",
						 names[i], count);
	}
	if (used && used < size - 1)
		strcat(text, ")");
}

static void log_kernel(const struct cf_summary *summary)
{
	const uint64_t *n = summary->stats.n;
	char unparsed[256];

	if (!summary->is_counted) {
		cf_info("  packets   unknown: a cell's BPF object does not count (it has no map STATS)");
		return;
	}
	log_unparsed(summary, unparsed, sizeof(unparsed) - 1);
	cf_info("  packets   %" PRIu64 " seen = %" PRIu64 " parsed + %" PRIu64 " unparsed%s", n[CF_STAT_PACKETS],
		n[CF_STAT_PARSED], summary->unparsed, unparsed);
	cf_info("  flows     %" PRIu64 " parsed = %" PRIu64 " of known flows + %" PRIu64 " new + %" PRIu64
		" refused by a full table",
		n[CF_STAT_PARSED], n[CF_STAT_FLOW_HIT], n[CF_STAT_FLOW_NEW], n[CF_STAT_FLOW_FULL]);
	cf_info("  events    %" PRIu64 " new + %" PRIu64 " evicted + %" PRIu64 " reused = %" PRIu64
		" submitted + %" PRIu64 " ring full + %" PRIu64 " not asked for",
		n[CF_STAT_FLOW_NEW], n[CF_STAT_FLOW_EVICTED], n[CF_STAT_FLOW_REUSED], n[CF_STAT_EVENT_SUBMITTED],
		n[CF_STAT_RING_FULL], n[CF_STAT_EVENT_UNWANTED]);
}

static void log_decided(const struct cf_summary *summary)
{
	const struct cf_outcome *outcome = &summary->outcome;
	const struct cf_collected *collected = summary->from->collected;

	/* The collector's are made of what it took from the kernel's rings, among others. */
	if (summary->is_counted)
		cf_info("  ring      %" PRIu64 " submitted = %" PRIu64 " consumed + %" PRIu64 " still in the ring",
			summary->stats.n[CF_STAT_EVENT_SUBMITTED] + collected->submitted - collected->own_taken,
			outcome->consumed, summary->in_ring);
	else
		cf_info("  ring      unknown submitted, %" PRIu64 " consumed, %" PRIu64 " still in the ring",
			outcome->consumed, summary->in_ring);
	cf_info("  decided   %" PRIu64 " consumed = %" PRIu64 " records + %" PRIu64 " deduplicated + %" PRIu64
		" suppressed + %" PRIu64 " filtered + %" PRIu64 " failed + %" PRIu64 " refused + %" PRIu64 " skipped",
		outcome->consumed, outcome->records, outcome->deduplicated, outcome->suppressed, outcome->filtered,
		outcome->failed, outcome->refused, outcome->skipped);
}

/* Only where it happened: most policies never come near, and it is no loss that `lost` knows of. */
static void log_dedup(const struct cf_summary *summary)
{
	uint64_t forgotten = summary->outcome.dedup_forgotten;

	if (forgotten)
		cf_info("  dedup     %" PRIu64
			" key%s forgotten early, for want of room: duplicates may have become records, "
			"no record is lost",
			forgotten, forgotten == 1 ? "" : "s");
}

static void log_outputs(const struct cf_summary *summary)
{
	for (uint32_t i = 0; i < summary->from->sink_count; i++) {
		const struct cf_output_numbers *out = &summary->outputs[i];
		char extra[48] = "";

		if (out->extra)
			snprintf(extra, sizeof(extra), " + %" PRIu64 " extra", out->extra);
		cf_info("  output    %s: %" PRIu64 " records%s = %" PRIu64 " written + %" PRIu64 " dropped + %" PRIu64
			" uncertain + %" PRIu64 " unwritten",
			out->path, out->records, extra, out->written, out->dropped, out->uncertain, out->unwritten);
	}
}

static void log_cell(const struct cf_summary *summary, const struct cf_cell *cell)
{
	char numbers[64] = "packets and flows unknown";
	struct cf_connection_count count;
	char connections[128];
	char sources[64];

	if (cell->counted)
		snprintf(numbers, sizeof(numbers), "%" PRIu64 " packets, %" PRIu64 " flows",
			 cell->stats.n[CF_STAT_PACKETS], cell->stats.n[CF_STAT_FLOW_NEW]);
	cf_summary_connections(summary, cell, &count);
	cf_sources_text(cell, sources);
	cf_info("  cell      %s: %s%s%s%s: %s, %s", cell->plan.name, cell->interface, cell->interface[0] ? ", " : "",
		sources, cell->gone ? " (gone)" : "", numbers,
		connections_text(&count, connections, sizeof(connections)));
}

/* What a cell's own counters do not have they cannot be compared with. */
static void log_bypass(struct cf_cell *cell)
{
	if (!cell->bypass.counts || !cell->counted)
		return;
	cf_info("  peer      %s: %" PRIu64 " packets left the cell, %" PRIu64 " of them not seen inside",
		cell->plan.name, cell->bypass.packets, cf_bypass_count(&cell->bypass, &cell->stats));
	cf_bypass_warn(&cell->bypass, cell->plan.name, &cell->stats);
}

static void log_nflog(const struct cf_collected *n)
{
	char more[96] = "";

	if (n->nflog.packets + n->nflog.lost + n->nflog.unsettled + n->nflog.refused == 0)
		return;
	if (n->nflog.unsettled)
		snprintf(more, sizeof(more), " and more in %" PRIu64 " overrun%s that no packet came after",
			 n->nflog.unsettled, n->nflog.unsettled == 1 ? "" : "s");
	cf_info("  nflog     %" PRIu64 " logged = %" PRIu64 " of known flows + %" PRIu64 " new + %" PRIu64
		" refused by a full table + %" PRIu64 " unparsed; %" PRIu64 " lost%s, %" PRIu64 " messages refused",
		n->nflog.packets, n->nflog.flow_hit, n->nflog.flow_new, n->nflog.flow_full, n->nflog.unparsed,
		n->nflog.lost, more, n->nflog.refused);
}

static void log_collected(const struct cf_summary *summary)
{
	const struct cf_collected *n = summary->from->collected;
	uint64_t ended = 0;

	for (int i = 0; i < CF_TOLD_REASONS; i++)
		ended += n->ended[i];
	log_nflog(n);
	if (n->joined)
		cf_info("  joined    %" PRIu64 " flows seen by both sources, %" PRIu64 " conflicts", n->joined,
			n->conflicts);
	if (n->own_refused)
		cf_info("  objects   %" PRIu64 " records of operators' objects refused", n->own_refused);
	cf_info("  ended     %" PRIu64 " flows: %" PRIu64 " fin, %" PRIu64 " rst, %" PRIu64 " idle, %" PRIu64
		" evicted, %" PRIu64 " with their cell, %" PRIu64 " with the run",
		ended, n->ended[CF_CLOSE_FIN], n->ended[CF_CLOSE_RST], n->ended[CF_CLOSE_IDLE],
		n->ended[CF_CLOSE_EVICTED], n->ended[CF_CLOSE_CELL_GONE], n->ended[CF_CLOSE_SHUTDOWN]);
	if (n->untold)
		cf_warn("  collector %" PRIu64 " ends of flows could not be told in time", n->untold);
	if (summary->from->collector_restarts)
		cf_info("  collector %u restarts", summary->from->collector_restarts);
}

static void log_cells(const struct cf_summary *summary)
{
	const struct cf_cells *cells = summary->from->cells;

	for (uint32_t i = 0, seen = 0; i < CF_CELLS_MAX && seen < cells->count; i++) {
		if (!cells->by_slot[i])
			continue;
		seen++;
		log_cell(summary, cells->by_slot[i]);
		log_bypass(cells->by_slot[i]);
	}
}

static void log_compiler(const struct cf_shared *shared)
{
	uint64_t n[CF_TRACE_EVENTS];

	for (int i = 0; i < CF_TRACE_EVENTS; i++)
		n[i] = atomic_load(&shared->traces[i]);
	cf_info("  compiler  %" PRIu64 " traces compiled, %" PRIu64 " aborted, %" PRIu64 " flushes",
		n[CF_TRACE_COMPILED], n[CF_TRACE_ABORTED], n[CF_TRACE_FLUSHED]);
}

static void log_losses(const struct cf_summary *summary)
{
	const struct cf_summary_recorded *recorded = summary->from->recorded;

	for (uint32_t i = 1; i < CF_LOSSES; i++)
		if (recorded->losses[i])
			cf_info("  lost      %s %" PRIu64 ", when it was recorded", cf_name_loss(i),
				recorded->losses[i]);
}

static void log_recorded(const struct cf_summary *summary)
{
	const struct cf_summary_recorded *recorded = summary->from->recorded;
	const struct cf_outcome *outcome = &summary->outcome;
	char connections[128], lost[64] = "nothing lost";

	if (summary->lost)
		snprintf(lost, sizeof(lost), "%" PRIu64 " LOST", summary->lost);
	cf_info("summary: %" PRIu64 " event%s of %.1f s, %" PRIu64 " record%s (%" PRIu64 " allow, %" PRIu64
		" deny), %s",
		recorded->events, recorded->events == 1 ? "" : "s", (double)summary->from->elapsed_ns / 1e9,
		outcome->records, outcome->records == 1 ? "" : "s", outcome->decisions[CF_ALLOW],
		outcome->decisions[CF_DENY], lost);
	log_reasons(summary);
	log_counters(summary);
	cf_info("  egress    %s", connections_text(&summary->connections, connections, sizeof(connections)));
	log_losses(summary);
	cf_info("  decided   %" PRIu64 " recorded = %" PRIu64 " records + %" PRIu64 " deduplicated + %" PRIu64
		" suppressed + %" PRIu64 " filtered + %" PRIu64 " failed + %" PRIu64 " refused",
		outcome->consumed, outcome->records, outcome->deduplicated, outcome->suppressed, outcome->filtered,
		outcome->failed, outcome->refused);
	log_dedup(summary);
	log_outputs(summary);
	if (outcome->script_errors)
		cf_info("  policy    %" PRIu64 " script errors", outcome->script_errors);
}

static void log_lost_lines(uint64_t lost)
{
	if (lost)
		cf_info("  log       %" PRIu64 " line%s lost: nobody read stderr in time", lost,
			lost == 1 ? " was" : "s were");
}

static void log_live(const struct cf_summary *summary)
{
	const struct cf_summary_input *from = summary->from;
	char connections[128];

	log_head(summary);
	log_reasons(summary);
	log_counters(summary);
	cf_info("  egress    %s", connections_text(&summary->connections, connections, sizeof(connections)));
	log_kernel(summary);
	log_collected(summary);
	log_decided(summary);
	log_dedup(summary);
	log_outputs(summary);
	cf_recording_summary_log(&summary->recording);
	cf_info("  worker    %" PRIu64 " script errors, %u restarts, policy generation %u, %" PRIu64 " clock steps",
		summary->outcome.script_errors, from->worker_restarts, from->generation,
		(uint64_t)atomic_load(&from->shared->clock_steps));
	log_compiler(from->shared);
	log_lost_lines(atomic_load(&from->shared->log_lost));
	log_cells(summary);
}

void cf_summary_log(const struct cf_summary *summary)
{
	if (summary->from->recorded)
		log_recorded(summary);
	else
		log_live(summary);
	if (!summary->adds_up)
		cf_warn("the numbers above do not add up");
}
