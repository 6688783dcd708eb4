/* SPDX-License-Identifier: MIT
 * The supervisor's outputs: see outputs.h. */
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include "outputs.h"
#include "record_text.h"

int cf_targets_open(struct cf_targets *targets, const struct cf_plan *plan, struct cf_error *error)
{
	targets->count = 0;
	for (uint32_t i = 0; i < plan->output_count; i++) {
		if (cf_sink_open_target(&plan->outputs[i], &targets->fds[i], error) < 0) {
			cf_targets_close(targets);
			return -1;
		}
		targets->count++;
	}
	return 0;
}

void cf_targets_close(struct cf_targets *targets)
{
	for (uint32_t i = 0; i < targets->count; i++)
		if (targets->fds[i] >= 0)
			close(targets->fds[i]);
	targets->count = 0;
}

static int is_same(const struct cf_plan_output *a, const struct cf_plan_output *b)
{
	return a->kind == b->kind && strcmp(a->path, b->path) == 0;
}

int cf_outputs_stay(const struct cf_outputs *outputs, const struct cf_plan *plan)
{
	int stay = plan->output_count >= outputs->count;

	for (uint32_t i = 0; stay && i < outputs->count; i++)
		stay = is_same(&outputs->plans[i], &plan->outputs[i]);
	return stay;
}

/* The committed outcome, to be changed in place: nobody else runs. */
static struct cf_outcome *outcome_of(struct cf_shared *shared)
{
	return &shared->outcomes[atomic_load(&shared->current) & 1];
}

/* Close output i; what it had accepted and not written is lost, and counted. */
static void retire(struct cf_outputs *outputs, uint32_t i, struct cf_shared *shared)
{
	const struct cf_output_outcome *done = &outcome_of(shared)->outputs[i];

	outputs->lost +=
		cf_sink_buffered(&outputs->sinks[i], done->head) + done->dropped + shared->outputs[i].uncertain;
	cf_sink_close(&outputs->sinks[i]);
}

static void begin_anew(struct cf_shared *shared, uint32_t i)
{
	struct cf_outcome *outcome = outcome_of(shared);

	memset(&shared->outputs[i], 0, sizeof(shared->outputs[i]));
	memset(&outcome->outputs[i], 0, sizeof(outcome->outputs[i]));
	shared->outputs[i].records_before = outcome->records;
	shared->outputs[i].extra_before = outcome->extra;
}

/* Whether the output begins here: its file is empty, or its reader is another one than before. */
static bool is_beginning(const struct cf_sink *sink, uint64_t head, bool is_new)
{
	struct stat st;

	if (cf_sink_buffered(sink, head) > 0)
		return false; /* what an earlier reader left stands first, and is no header */
	if (sink->is_regular)
		return fstat(sink->fd, &st) == 0 && st.st_size == 0;
	return is_new || sink->is_socket; /* which is connected anew each time */
}

/* What a table or CSV begins with. Counted as an extra line of this output. */
static void put_header(const struct cf_outputs *outputs, uint32_t i, struct cf_shared *shared, bool is_new)
{
	const struct cf_sink *sink = &outputs->sinks[i];
	struct cf_output_outcome *done = &outcome_of(shared)->outputs[i];
	size_t room, len;
	uint8_t *space = cf_sink_space(sink, done->head, &room);

	if (!is_beginning(sink, done->head, is_new))
		return;
	len = room > 0 ? cf_record_header(outputs->plans[i].format, (char *)space, room - 1) : 0;
	if (!len)
		return;
	space[len] = '\n';
	done->head += len + 1;
	shared->outputs[i].extra_before--;
}

int cf_outputs_install(struct cf_outputs *outputs, struct cf_targets *targets, const struct cf_plan *plan,
		       struct cf_shared *shared, struct cf_error *error)
{
	uint32_t old_count = outputs->count;
	int rc = 0;

	for (uint32_t i = plan->output_count; i < old_count; i++)
		retire(outputs, i, shared);
	outputs->count = 0;
	for (uint32_t i = 0; rc == 0 && i < plan->output_count; i++) {
		int fd = targets->fds[i];
		int buffer_fd = -1;
		int before = -1;
		bool was_broken = false;

		targets->fds[i] = -1;
		if (i < old_count && is_same(&outputs->plans[i], &plan->outputs[i])) {
			buffer_fd = outputs->sinks[i].buffer_fd;
			before = outputs->sinks[i].fd;
			outputs->sinks[i].buffer_fd = outputs->sinks[i].fd = -1;
			cf_sink_close(&outputs->sinks[i]);
			was_broken = atomic_exchange(&shared->outputs[i].broken, 0) != 0;
		} else {
			if (i < old_count)
				retire(outputs, i, shared);
			begin_anew(shared, i);
		}
		outputs->plans[i] = plan->outputs[i];
		rc = cf_sink_open(&outputs->sinks[i], fd, buffer_fd, &shared->outputs[i], error);
		if (rc == 0) {
			cf_sink_begin(&outputs->sinks[i], was_broken ? -1 : before,
				      outcome_of(shared)->outputs[i].head);
			put_header(outputs, i, shared, before < 0 || was_broken);
			outputs->count++;
		}
		if (before >= 0)
			close(before);
	}
	return rc;
}

void cf_outputs_recover(struct cf_outputs *outputs, struct cf_shared *shared)
{
	for (uint32_t i = 0; i < outputs->count; i++)
		cf_sink_recover(&outputs->sinks[i], outcome_of(shared)->outputs[i].head);
}

static void finish_one(struct cf_sink *sink, struct cf_output_outcome *done, const char *line, size_t len, int wait_ms)
{
	size_t room;
	uint8_t *space = cf_sink_space(sink, done->head, &room);
	struct pollfd ready = { .fd = sink->fd, .events = POLLOUT };

	if (len > 0 && len + 1 <= room) {
		memcpy(space, line, len);
		space[len] = '\n';
		done->head += len + 1;
	}
	while (cf_sink_flush(sink, done->head) == 1 && wait_ms > 0) {
		poll(&ready, sink->is_regular ? 0 : 1, 50);
		wait_ms -= 50;
	}
}

void cf_outputs_finish(struct cf_outputs *outputs, struct cf_shared *shared, const char *line, size_t len, int wait_ms)
{
	for (uint32_t i = 0; i < outputs->count; i++)
		finish_one(&outputs->sinks[i], &outcome_of(shared)->outputs[i], line, len, wait_ms);
}

void cf_outputs_close(struct cf_outputs *outputs)
{
	for (uint32_t i = 0; i < outputs->count; i++)
		cf_sink_close(&outputs->sinks[i]);
	outputs->count = 0;
}
