/* SPDX-License-Identifier: MIT
 *
 * The numbers of a run, gathered in one place: as text for people and as one JSON record. Checks that they add up.
 */
#ifndef CF_SUMMARY_H
#define CF_SUMMARY_H
#include <stddef.h>
#include <stdint.h>
#include "cells.h"
#include "connections.h"
#include "outcome.h"
#include "feed.h"
#include "collected.h"
#include "sink.h"
#include "summary_recording.h"

/* A replay's: in place of cells, feed and collector. */
struct cf_summary_recorded {
	uint64_t files;
	uint64_t recordings;
	uint64_t events, batches;
	const uint64_t *losses; /* by enum cf_recorded_loss */
	int is_whole; /* 0: not all of it could be read */
};

struct cf_summary_input {
	const struct cf_summary_recorded *recorded; /* NULL: a live run */
	struct cf_cells *cells;
	const struct cf_shared *shared;
	const struct cf_connections *connections;
	const struct cf_feed *feed;
	const struct cf_collected *collected;
	uint32_t collector_restarts;
	const struct cf_plan *plan;
	const struct cf_sink *sinks;
	uint32_t sink_count;
	uint64_t lost_before; /* records that outputs closed by a reload had not written */
	uint64_t elapsed_ns;
	uint32_t worker_restarts;
	uint32_t generation; /* of the policy */
	const struct cf_record_keeper *recorder; /* NULL: none */
};

struct cf_output_numbers {
	const char *path;
	uint64_t records, extra, written, dropped, uncertain, unwritten, errors;
};

struct cf_summary {
	const struct cf_summary_input *from;
	struct cf_stats stats;
	struct cf_outcome outcome;
	uint64_t unparsed;
	uint64_t flows; /* new ones that either source saw; those that both saw once */
	int is_counted; /* 0: a cell's BPF object has no counters, so `stats` is not of the whole run */
	uint64_t in_ring; /* events that no worker has committed */
	uint64_t lost; /* everything that should have become a line of output and did not, as far as it was counted */
	struct cf_output_numbers outputs[CF_OUTPUTS_MAX];
	struct cf_recording_summary recording;
	struct cf_connection_count connections; /* is_missing: for whatever cause */
	int is_missing; /* 1: something was lost of which nobody knows the cell */
	int adds_up; /* 1: every identity holds; those of the kernel's numbers only where these are known */
};

/* The identities hold exactly while nothing is moving: cells detached, no worker. Live they may be out by what
 * moved meanwhile. */
void cf_summary_gather(const struct cf_summary_input *input, struct cf_summary *summary);

/* The different connections that a cell opened, is_missing for whatever cause. */
void cf_summary_connections(const struct cf_summary *summary, const struct cf_cell *cell,
			    struct cf_connection_count *out);
/* "exact", "lower bound" or "estimate". */
const char *cf_summary_connections_are(const struct cf_connection_count *count);

/* Log it, a line for each part. */
void cf_summary_log(const struct cf_summary *summary);
/* One JSON object without a newline; returns its length, 0 when it does not fit. */
size_t cf_summary_json(const struct cf_summary *summary, char *out, size_t size);
#endif
