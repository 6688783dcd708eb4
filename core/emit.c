/* SPDX-License-Identifier: MIT
 * Ending events: see emit.h. */
#include <string.h>
#include "api.h"
#include "counter.h"
#include "emit.h"
#include "intern.h"
#include "record.h"
#include "record_text.h"

enum { SLOT_UNKNOWN = 0xffff };

static struct {
	struct cf_batch batch;
	struct cf_shared *shared;
	struct cf_outcome *next;
	struct cf_sink *sinks;
	uint32_t sink_count;
	uint32_t ended;
	struct cf_emit_tap tap; /* .ended NULL: none */
	uint64_t limit; /* 0: none */
	uint8_t styles[CF_OUTPUTS_MAX]; /* by output, see cf_style */
	uint16_t reason_slots[CF_INTERN_NAME_MAX + 1]; /* by intern id */
} out;

static struct cf_progress private_progress;
static struct cf_progress *progress = &private_progress;

struct cf_progress *cf_progress_get(void)
{
	return progress;
}

void cf_progress_bind(struct cf_progress *shared)
{
	progress = shared ? shared : &private_progress;
}

struct cf_batch *cf_batch_get(void)
{
	return &out.batch;
}

void cf_emit_bind(struct cf_shared *shared, struct cf_sink *sinks, uint32_t sink_count)
{
	out.shared = shared;
	out.sinks = sinks;
	out.sink_count = sink_count;
	out.next = NULL;
	memset(out.reason_slots, 0xff, sizeof(out.reason_slots));
	cf_counters_bind(shared);
}

void cf_emit_formats(const struct cf_plan *plan, int color)
{
	for (uint32_t i = 0; i < plan->output_count && i < CF_OUTPUTS_MAX; i++) {
		const struct cf_plan_output *output = &plan->outputs[i];

		out.styles[i] = (uint8_t)cf_style(output->format, color && output->kind == CF_OUTPUT_STDOUT);
	}
}

void cf_emit_limit(uint64_t records)
{
	out.limit = records;
}

int cf_emit_is_full(const struct cf_outcome *outcome)
{
	return out.limit && outcome->records >= out.limit;
}

void cf_emit_begin(struct cf_outcome *next)
{
	out.next = next;
	out.ended = 0;
	cf_counters_begin(next);
}

void cf_emit_tap(const struct cf_emit_tap *tap)
{
	out.tap = tap ? *tap : (struct cf_emit_tap){ 0 };
}

/* Events end in the order of the batch, each once: the one in hand is the first that has not. */
static void end_one(const struct cf_decision *decision, uint32_t ending)
{
	if (out.tap.ended && out.ended < out.batch.count)
		out.tap.ended(out.tap.context, &out.batch.events[out.ended], decision, ending);
	out.ended++;
}

uint32_t cf_emit_ended(void)
{
	return out.ended;
}

static uint32_t reason_slot(uint32_t id)
{
	size_t len;
	const char *text = cf_intern_text(id, &len);

	if (!text)
		return cf_reason_slot(out.shared, "", 0);
	if (cf_intern_is_shared(id) || id > CF_INTERN_NAME_MAX)
		return cf_reason_slot(out.shared, text, len);
	if (out.reason_slots[id] == SLOT_UNKNOWN)
		out.reason_slots[id] = (uint16_t)cf_reason_slot(out.shared, text, len);
	return out.reason_slots[id];
}

static void count_record(const struct cf_decision *decision)
{
	out.next->records++;
	out.next->reasons[reason_slot(decision->reason)]++;
	if (decision->decision <= CF_DENY)
		out.next->decisions[decision->decision]++;
	end_one(decision, 0);
}

/* Where output i takes its next line, and the length it may have without its newline; 0: none. */
static uint8_t *line_space(uint32_t i, size_t *room)
{
	uint8_t *space = cf_sink_space(&out.sinks[i], out.next->outputs[i].head, room);

	if (atomic_load_explicit(&out.sinks[i].progress->broken, memory_order_relaxed) || *room == 0)
		*room = 0;
	else
		*room = (*room < CF_LINE_MAX ? *room : CF_LINE_MAX) - 1;
	return space;
}

static void line_done(uint32_t i, uint8_t *space, size_t len)
{
	space[len] = '\n';
	out.next->outputs[i].head += len + 1;
}

struct made_line {
	const uint8_t *bytes; /* NULL: not made yet */
	size_t len;
};

/* The first output of a style with room has the line made in place; the others get a copy. */
static int put_record_at(uint32_t i, const struct cf_event *event, const struct cf_decision *decision,
			 struct made_line *line)
{
	size_t room;
	uint8_t *space = line_space(i, &room);
	size_t made;

	if (line->bytes)
		made = line->len <= room ? line->len : 0;
	else
		made = cf_record_line(out.styles[i], event, decision, (char *)space, room);
	if (made == 0) {
		out.next->outputs[i].dropped++;
		return -1;
	}
	if (line->bytes)
		memcpy(space, line->bytes, made);
	*line = (struct made_line){ space, made };
	line_done(i, space, made);
	return 0;
}

static int put_record(const struct cf_event *event, const struct cf_decision *decision)
{
	struct made_line lines[CF_STYLE_COUNT] = { 0 };
	int rc = out.sink_count ? -1 : 0; /* nowhere to write to is no failure */

	for (uint32_t i = 0; i < out.sink_count; i++)
		if (put_record_at(i, event, decision, &lines[out.styles[i]]) == 0)
			rc = 0;
	return rc;
}

/* What is over the limit ends here, whatever it was to become. */
static int is_over_limit(const struct cf_decision *decision)
{
	if (!cf_emit_is_full(out.next))
		return 0;
	cf_event_end(decision->decision == CF_DENY ? CF_ENDING_FILTERED_DENY : CF_ENDING_FILTERED);
	return 1;
}

int cf_record_write(const struct cf_event *event, const struct cf_decision *decision)
{
	if (!out.next)
		return -1;
	if (is_over_limit(decision))
		return 0;
	count_record(decision);
	return put_record(event, decision);
}

int cf_extra_record(const struct cf_event *event, const struct cf_decision *decision)
{
	if (!out.next)
		return -1;
	out.next->extra++;
	return put_record(event, decision);
}

/* `line` with its newlines as the two characters \n; 0 when it does not fit in `room`. */
static size_t copy_line(const char *line, size_t len, uint8_t *to, size_t room)
{
	const char *newline;
	size_t used = 0;

	while ((newline = memchr(line, '\n', len))) {
		size_t part = (size_t)(newline - line);

		if (used + part + 2 > room)
			return 0;
		memcpy(to + used, line, part);
		memcpy(to + used + part, "\\n", 2);
		used += part + 2;
		line += part + 1;
		len -= part + 1;
	}
	if (used + len > room)
		return 0;
	memcpy(to + used, line, len);
	return used + len;
}

/* What is made for a terminal must not get there what a policy took over from a packet or a firewall's rule. */
static int is_for_eyes(uint32_t style)
{
	return style / 2 == CF_FORMAT_COMPACT || style / 2 == CF_FORMAT_TABLE;
}

static int put_line_at(uint32_t i, const char *line, size_t len)
{
	size_t room, made = 0;
	uint8_t *space = line_space(i, &room);

	if (room > 0 && is_for_eyes(out.styles[i]))
		made = cf_line_clean(line, len, (char *)space, room);
	else if (room > 0)
		made = copy_line(line, len, space, room);
	if (room == 0 || (made == 0 && len > 0)) {
		out.next->outputs[i].dropped++;
		return -1;
	}
	line_done(i, space, made);
	return 0;
}

static int put_line(const char *line, size_t len)
{
	int rc = out.sink_count ? -1 : 0; /* nowhere to write to is no failure */

	for (uint32_t i = 0; i < out.sink_count; i++)
		if (put_line_at(i, line, len) == 0)
			rc = 0;
	return rc;
}

/* A line in place of a record, which is a matter of the JSON outputs: it would break a table, and CSV worse. */
static int put_line_or_record(const char *line, size_t len, const struct cf_decision *decision)
{
	struct made_line lines[CF_STYLE_COUNT] = { 0 };
	const struct cf_event *event = &out.batch.events[(uint32_t)progress->index % CF_BATCH_MAX];
	int rc = out.sink_count ? -1 : 0; /* nowhere to write to is no failure */

	for (uint32_t i = 0; i < out.sink_count; i++)
		if ((out.styles[i] == CF_FORMAT_JSON ? put_line_at(i, line, len)
						     : put_record_at(i, event, decision, &lines[out.styles[i]])) == 0)
			rc = 0;
	return rc;
}

int cf_line_write(const char *line, size_t len, const struct cf_decision *decision)
{
	if (!out.next)
		return -1;
	if (is_over_limit(decision))
		return 0;
	count_record(decision);
	return put_line_or_record(line, len, decision);
}

int cf_extra_write(const char *line, size_t len)
{
	if (!out.next)
		return -1;
	out.next->extra++;
	return put_line(line, len);
}

static void end_as(const struct cf_decision *decision, uint32_t ending)
{
	if (!out.next)
		return;
	end_one(decision, ending);
	out.next->filtered_deny += ending == CF_ENDING_FILTERED_DENY;
	if (ending == CF_ENDING_DEDUPLICATED)
		out.next->deduplicated++;
	else if (ending == CF_ENDING_SUPPRESSED)
		out.next->suppressed++;
	else if (ending == CF_ENDING_FILTERED || ending == CF_ENDING_FILTERED_DENY)
		out.next->filtered++;
	else
		out.next->failed++;
}

void cf_event_end(uint32_t ending)
{
	end_as(NULL, ending);
}

void cf_event_suppress(const struct cf_decision *decision)
{
	end_as(decision, CF_ENDING_SUPPRESSED);
}

void cf_script_error(void)
{
	if (out.next)
		out.next->script_errors++;
}
