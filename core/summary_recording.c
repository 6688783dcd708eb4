/* SPDX-License-Identifier: MIT
 * The recording's part of the summary: what was recorded, and what not. See summary_recording.h. */
#include <inttypes.h>
#include <stdio.h>
#include "log.h"
#include "summary_recording.h"

void cf_recording_summary(const struct cf_record_keeper *keeper, const struct cf_outcome *outcome,
			  struct cf_recording_summary *out)
{
	const struct cf_recorder_state *state;

	*out = (struct cf_recording_summary){ .adds_up = 1 };
	if (!keeper || !cf_record_keeper_is_on(keeper))
		return;
	state = cf_recorded_current(keeper->config.recorded);
	out->path = keeper->options->path;
	out->parts = keeper->parts;
	out->events = state->events;
	out->batches = state->batches;
	out->bytes = state->file_bytes;
	out->unrecorded = outcome->unrecorded;
	/* Live, the recorder may have gone on since the worker's numbers were read. */
	out->unwritten = outcome->recorded > state->events ? outcome->recorded - state->events : 0;
	out->errors = atomic_load(&keeper->config.recorded->errors);
	out->restarts = keeper->restarts;
	out->adds_up =
		outcome->consumed == outcome->recorded + outcome->unrecorded + outcome->refused + outcome->skipped &&
		state->events + state->given_up <= outcome->recorded;
}

void cf_recording_summary_log(const struct cf_recording_summary *n)
{
	char more[48] = "";

	if (!n->path)
		return;
	if (n->parts > 1)
		snprintf(more, sizeof(more), " and %" PRIu64 " more parts", n->parts - 1);
	cf_info("  recording %s%s: %" PRIu64 " events in %" PRIu64 " bytes, %" PRIu64 " unrecorded, %" PRIu64
		" unwritten",
		n->path, more, n->events, n->bytes, n->unrecorded, n->unwritten);
}

static void number(struct cf_json *json, const char *name, uint64_t value)
{
	cf_json_bytes(json, ",\"", 2);
	cf_json_bytes(json, name, strlen(name));
	cf_json_bytes(json, "\":", 2);
	cf_json_u64(json, value);
}

void cf_recording_summary_json(struct cf_json *json, const struct cf_recording_summary *n)
{
	if (!n->path)
		return;
	cf_json_literal(json, ",\"recording\":{\"path\":");
	cf_json_text(json, n->path, strlen(n->path));
	number(json, "parts", n->parts);
	number(json, "batches", n->batches);
	number(json, "events", n->events);
	number(json, "bytes", n->bytes);
	number(json, "unrecorded", n->unrecorded);
	number(json, "unwritten", n->unwritten);
	number(json, "errors", n->errors);
	number(json, "restarts", n->restarts);
	cf_json_literal(json, "}");
}
