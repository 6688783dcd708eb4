/* SPDX-License-Identifier: MIT
 * The summary as one JSON record: cf_summary_json of summary.h. Names are those of the counters in flow.h and
 * outcome.h; docs/records.md lists them. */
#include <stdio.h>
#include <string.h>
#include "frame.h"
#include "json.h"
#include "summary.h"

static void separator(struct cf_json *json)
{
	if (json->at[-1] != '{' && json->at[-1] != '[')
		cf_json_literal(json, ",");
}

static void key(struct cf_json *json, const char *name)
{
	separator(json);
	cf_json_text(json, name, strlen(name));
	cf_json_literal(json, ":");
}

static void number(struct cf_json *json, const char *name, uint64_t value)
{
	key(json, name);
	cf_json_u64(json, value);
}

static void text(struct cf_json *json, const char *name, const char *value)
{
	key(json, name);
	cf_json_text(json, value, strlen(value));
}

/* Members that begin with `name`. One 32-bit field in the readers' schema, hence no more than that is written. */
static void connections(struct cf_json *json, const char *name, const struct cf_connection_count *count)
{
	char member[64];
	char error[16];

	number(json, name, cf_connections_field(count->count));
	snprintf(member, sizeof(member), "%s_are", name);
	text(json, member, cf_summary_connections_are(count));
	if (!count->is_estimate)
		return;
	snprintf(member, sizeof(member), "%s_error", name);
	key(json, member);
	cf_json_bytes(json, error, (size_t)snprintf(error, sizeof(error), "%.5f", count->error));
	snprintf(member, sizeof(member), "%s_missing", name);
	key(json, member);
	cf_json_bytes(json, count->is_missing ? "true" : "false", count->is_missing ? 4 : 5);
}

static void kernel_numbers(struct cf_json *json, const struct cf_summary *summary)
{
	static const char *const names[CF_STAT_COUNT] = {
		[CF_STAT_PACKETS] = "packets",
		[CF_STAT_PARSED] = "parsed",
		[CF_STAT_UNPARSED_NOT_IP] = "unparsed_not_ip",
		[CF_STAT_UNPARSED_TRUNCATED] = "unparsed_truncated",
		[CF_STAT_UNPARSED_BAD_HEADER] = "unparsed_bad_header",
		[CF_STAT_UNPARSED_EXT_TOO_DEEP] = "unparsed_ext_too_deep",
		[CF_STAT_UNPARSED_VLAN_TOO_DEEP] = "unparsed_vlan_too_deep",
		[CF_STAT_FLOW_HIT] = "flow_hit",
		[CF_STAT_FLOW_NEW] = "flow_new",
		[CF_STAT_FLOW_FULL] = "flow_full",
		[CF_STAT_FLOW_EVICTED] = "flow_evicted",
		[CF_STAT_FLOW_REUSED] = "flow_reused",
		[CF_STAT_EVENT_UNWANTED] = "event_unwanted",
		[CF_STAT_EVENT_ATTEMPTED] = "event_attempted",
		[CF_STAT_EVENT_SUBMITTED] = "event_submitted",
		[CF_STAT_RING_FULL] = "ring_full",
		[CF_STAT_WAKEUPS] = "wakeups",
		[CF_STAT_LATER_FRAGMENTS] = "later_fragments",
		[CF_STAT_NON_LINEAR] = "non_linear",
		[CF_STAT_EGRESS_PACKETS] = "egress_packets",
	};

	key(json, "kernel");
	cf_json_literal(json, "{");
	for (int i = 0; i < CF_STAT_COUNT; i++)
		number(json, names[i], summary->stats.n[i]);
	cf_json_literal(json, "}");
}

static void collector_numbers(struct cf_json *json, const struct cf_summary *summary)
{
	static const char *const kinds[CF_TOLD_KINDS] = { NULL, "opened", "updated", "closed", "logged" };
	static const char *const reasons[CF_TOLD_REASONS] = { NULL,	 "fin",	      "rst",	 "idle",
							      "evicted", "cell_gone", "shutdown" };
	const struct cf_collected *n = summary->from->collected;

	key(json, "collector");
	cf_json_literal(json, "{");
	number(json, "submitted", n->submitted);
	for (int i = 1; i < CF_TOLD_KINDS; i++)
		number(json, kinds[i], n->told[i]);
	key(json, "ended");
	cf_json_literal(json, "{");
	for (int i = 1; i < CF_TOLD_REASONS; i++)
		number(json, reasons[i], n->ended[i]);
	cf_json_literal(json, "}");
	number(json, "untold", n->untold);
	number(json, "own_taken", n->own_taken);
	number(json, "own_refused", n->own_refused);
	number(json, "nflog_packets", n->nflog.packets);
	number(json, "nflog_parsed", n->nflog.parsed);
	number(json, "nflog_unparsed", n->nflog.unparsed);
	number(json, "nflog_flow_hit", n->nflog.flow_hit);
	number(json, "nflog_flow_new", n->nflog.flow_new);
	number(json, "nflog_flow_full", n->nflog.flow_full);
	number(json, "nflog_lost", n->nflog.lost);
	number(json, "nflog_overruns", n->nflog.overruns);
	number(json, "nflog_unsettled", n->nflog.unsettled);
	number(json, "nflog_refused", n->nflog.refused);
	number(json, "joined", n->joined);
	number(json, "conflicts", n->conflicts);
	number(json, "join_early", n->join_early);
	number(json, "sweeps", n->sweeps);
	number(json, "restarts", summary->from->collector_restarts);
	cf_json_literal(json, "}");
}

static void recorded_numbers(struct cf_json *json, const struct cf_summary_recorded *recorded)
{
	key(json, "recording");
	cf_json_literal(json, "{");
	number(json, "files", recorded->files);
	number(json, "recordings", recorded->recordings);
	number(json, "events", recorded->events);
	number(json, "batches", recorded->batches);
	key(json, "whole");
	cf_json_bytes(json, recorded->is_whole ? "true" : "false", recorded->is_whole ? 4 : 5);
	key(json, "lost");
	cf_json_literal(json, "{");
	for (uint32_t i = 1; i < CF_LOSSES; i++)
		number(json, cf_name_loss(i), recorded->losses[i]);
	cf_json_literal(json, "}}");
}

static void worker_numbers(struct cf_json *json, const struct cf_summary *summary)
{
	const struct cf_outcome *outcome = &summary->outcome;

	key(json, "worker");
	cf_json_literal(json, "{");
	number(json, "in_ring", summary->in_ring);
	number(json, "consumed", outcome->consumed);
	number(json, "records", outcome->records);
	number(json, "extra", outcome->extra);
	number(json, "deduplicated", outcome->deduplicated);
	number(json, "dedup_forgotten", outcome->dedup_forgotten);
	number(json, "suppressed", outcome->suppressed);
	number(json, "filtered", outcome->filtered);
	number(json, "failed", outcome->failed);
	number(json, "refused", outcome->refused);
	number(json, "skipped", outcome->skipped);
	number(json, "batches", outcome->batches);
	number(json, "script_errors", outcome->script_errors);
	number(json, "restarts", summary->from->worker_restarts);
	number(json, "clock_steps", atomic_load(&summary->from->shared->clock_steps));
	cf_json_literal(json, "}");
}

static void compiler_numbers(struct cf_json *json, const struct cf_summary *summary)
{
	static const char *const names[CF_TRACE_EVENTS] = { "compiled", "aborted", "flushed" };

	key(json, "compiler");
	cf_json_literal(json, "{");
	for (int i = 0; i < CF_TRACE_EVENTS; i++)
		number(json, names[i], atomic_load(&summary->from->shared->traces[i]));
	cf_json_literal(json, "}");
}

static void reasons(struct cf_json *json, const struct cf_summary *summary)
{
	const struct cf_shared *shared = summary->from->shared;
	uint32_t count = atomic_load(&shared->reason_count);
	char name[CF_REASON_LEN + 1] = "";

	key(json, "reasons");
	cf_json_literal(json, "{");
	for (uint32_t i = 0; i < count && i < CF_REASONS_MAX; i++) {
		if (!summary->outcome.reasons[i])
			continue;
		memcpy(name, shared->reason_names[i], CF_REASON_LEN);
		number(json, name, summary->outcome.reasons[i]);
	}
	cf_json_literal(json, "}");
}

static void counters(struct cf_json *json, const struct cf_summary *summary)
{
	const struct cf_shared *shared = summary->from->shared;

	key(json, "counters");
	cf_json_literal(json, "[");
	for (uint32_t i = 0; i < CF_COUNTERS_MAX; i++) {
		const struct cf_counter_name *name = &shared->counter_names[i];

		if (!cf_counter_is_used(shared, &summary->outcome, i))
			continue;
		separator(json);
		cf_json_literal(json, "{");
		key(json, "name");
		cf_json_text(json, name->name, strnlen(name->name, CF_COUNTER_LEN));
		if (name->label[0])
			cf_json_member_text(json, "label", name->label, strnlen(name->label, CF_COUNTER_LEN));
		number(json, "value", summary->outcome.counters[i]);
		cf_json_literal(json, "}");
	}
	cf_json_literal(json, "]");
}

static void outputs(struct cf_json *json, const struct cf_summary *summary)
{
	key(json, "outputs");
	cf_json_literal(json, "[");
	for (uint32_t i = 0; i < summary->from->sink_count; i++) {
		const struct cf_output_numbers *out = &summary->outputs[i];

		separator(json);
		cf_json_literal(json, "{");
		text(json, "path", out->path);
		number(json, "records", out->records);
		number(json, "extra", out->extra);
		number(json, "written", out->written);
		number(json, "dropped", out->dropped);
		number(json, "uncertain", out->uncertain);
		number(json, "unwritten", out->unwritten);
		number(json, "errors", out->errors);
		cf_json_literal(json, "}");
	}
	cf_json_literal(json, "]");
}

/* What it has now, not what it asked for. */
static void sources(struct cf_json *json, const struct cf_cell *cell)
{
	key(json, "sources");
	cf_json_literal(json, "[");
	if (cell->mode != CF_ATTACH_AUTO)
		cf_json_literal(json, "\"ebpf\"");
	if (cell->nflog_group) {
		separator(json);
		cf_json_literal(json, "\"nflog\"");
	}
	if (cell->plan.sources == CF_SOURCES_NOOP)
		cf_json_literal(json, "\"noop\"");
	cf_json_literal(json, "]");
	if (cell->mode != CF_ATTACH_AUTO)
		text(json, "tc", cell->mode == CF_ATTACH_CLSACT ? "clsact" : "tcx");
	if (cell->nflog_group)
		number(json, "nflog_group", cell->nflog_group);
}

static void cells(struct cf_json *json, const struct cf_summary *summary)
{
	const struct cf_cells *all = summary->from->cells;

	key(json, "cells");
	cf_json_literal(json, "[");
	for (uint32_t i = 0, seen = 0; i < CF_CELLS_MAX && seen < all->count; i++) {
		struct cf_connection_count count;
		const struct cf_cell *cell = all->by_slot[i];

		if (!cell)
			continue;
		seen++;
		separator(json);
		cf_json_literal(json, "{");
		text(json, "cell_id", cell->plan.name);
		text(json, "interface", cell->interface);
		sources(json, cell);
		key(json, "gone");
		cf_json_bytes(json, cell->gone ? "true" : "false", cell->gone ? 4 : 5);
		if (cell->counted) {
			number(json, "packets", cell->stats.n[CF_STAT_PACKETS]);
			number(json, "flows", cell->stats.n[CF_STAT_FLOW_NEW]);
		}
		if (cell->taken_off)
			number(json, "taken_off", cell->taken_off);
		cf_summary_connections(summary, cell, &count);
		connections(json, "connections", &count);
		if (cell->bypass.counts)
			number(json, "peer_packets", cell->bypass.packets);
		if (cell->bypass.counts && cell->counted)
			number(json, "bypassed", cf_bypass_count(&cell->bypass, &cell->stats));
		cf_json_literal(json, "}");
	}
	cf_json_literal(json, "]");
}

size_t cf_summary_json(const struct cf_summary *summary, char *out, size_t size)
{
	struct cf_json json;

	cf_json_begin(&json, out, size);
	cf_json_literal(&json, "{\"schema_version\":\"1.0.0\"");
	text(&json, "type", "cellflow_summary");
	if (summary->from->plan->metadata.run_id[0])
		text(&json, "run_id", summary->from->plan->metadata.run_id);
	number(&json, "elapsed_ms", summary->from->elapsed_ns / 1000000);
	if (summary->is_counted)
		number(&json, "flows", summary->flows);
	number(&json, "lost", summary->lost);
	connections(&json, "exercised_egress_connections", &summary->connections);
	key(&json, "adds_up");
	cf_json_bytes(&json, summary->adds_up ? "true" : "false", summary->adds_up ? 4 : 5);
	number(&json, "generation", summary->from->generation);
	number(&json, "log_lost", atomic_load(&summary->from->shared->log_lost));
	key(&json, "decisions");
	cf_json_literal(&json, "{");
	number(&json, "allow", summary->outcome.decisions[CF_ALLOW]);
	number(&json, "deny", summary->outcome.decisions[CF_DENY]);
	cf_json_literal(&json, "}");
	reasons(&json, summary);
	counters(&json, summary);
	if (summary->is_counted)
		kernel_numbers(&json, summary);
	if (summary->from->recorded)
		recorded_numbers(&json, summary->from->recorded);
	else
		collector_numbers(&json, summary);
	worker_numbers(&json, summary);
	if (!summary->from->recorded)
		compiler_numbers(&json, summary);
	outputs(&json, summary);
	if (!summary->from->recorded) {
		cf_recording_summary_json(&json, &summary->recording);
		cells(&json, summary);
	}
	cf_json_literal(&json, "}");
	return json.overflow ? 0 : (size_t)(json.at - out);
}
