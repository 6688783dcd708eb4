/* SPDX-License-Identifier: MIT
 * A replay of files to stdout: see cmd_replay.h. The one output, the pace and the end; what is decided is replay.c's.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <string.h>
#include <time.h>
#include "cmd.h"
#include "cmd_replay.h"
#include "log.h"
#include "policy_file.h"
#include "record_text.h"
#include "replay.h"
#include "replay_files.h"
#include "replay_pace.h"
#include "replay_progress.h"
#include "replay_watch.h"
#include "summary.h"

enum {
	BUFFERED_MAX = 256 * 1024, /* bytes before a batch; the rest of the buffer is the batch's */
	PATIENCE_MS = 100, /* between looks whether we are to end */
};

struct replaying {
	const struct cf_cmd_replay *given;
	char *text; /* of the policy */
	struct cf_replay_options options;
	struct cf_replay *replay;
	struct cf_replay_files files;
	struct cf_replay_progress progress;
	struct cf_sink sink;
	struct cf_replay_pace pace;
	int has_header;
};

static volatile sig_atomic_t ending; /* the signal that said so */

static void end(int signal_number)
{
	ending = signal_number;
}

static uint64_t head(const struct replaying *self)
{
	return cf_outcome_current(cf_replay_shared(self->replay))->outputs[0].head;
}

/* Nothing else is under way: to wait for the reader is right, and no line is lost. */
static int flush(struct replaying *self, struct cf_error *error)
{
	const struct cf_output_progress *out = self->sink.progress;
	struct pollfd ready = { .fd = self->sink.fd, .events = POLLOUT };
	int rc;

	while ((rc = cf_sink_flush(&self->sink, head(self))) == 1 && !out->errors && !ending)
		poll(&ready, 1, PATIENCE_MS);
	if (rc < 0 || out->errors)
		return cf_fail(error, CF_FAIL_OUTPUT, (int)out->last_errno, "stdout: cannot be written to: %s",
			       strerror((int)out->last_errno));
	return 0;
}

static int room(void *context, struct cf_error *error)
{
	struct replaying *self = context;

	if (self->given->pace == 0 && head(self) - atomic_load(&self->sink.progress->tail) <= BUFFERED_MAX)
		return 0;
	return flush(self, error);
}

static int open_output(struct replaying *self, struct cf_error *error)
{
	const struct cf_plan_output output = { .kind = CF_OUTPUT_STDOUT };
	int fd;

	if (cf_sink_open_target(&output, &fd, error) < 0 ||
	    cf_sink_open(&self->sink, fd, -1, &cf_replay_shared(self->replay)->outputs[0], error) < 0)
		return -1;
	self->sink.may_block = 0; /* to block is fine here */
	return 0;
}

static void show(struct replaying *self)
{
	cf_replay_progress_show(&self->progress, cf_replay_files_part(&self->files),
				cf_replay_files_events(&self->files));
}

/* Returns when the frame is due, or we are to end. */
static int keep_pace(struct replaying *self, const struct cf_frame *frame, struct cf_error *error)
{
	uint64_t recording = cf_replay_numbers(self->replay)->recordings;
	double wait;

	while (!ending && (wait = cf_replay_pace_wait(&self->pace, recording, cf_frame_time(frame))) > 0) {
		if (flush(self, error) < 0)
			return -1;
		wait = wait < PATIENCE_MS / 1e3 ? wait : PATIENCE_MS / 1e3;
		nanosleep(&(struct timespec){ .tv_nsec = (long)(wait * 1e9) }, NULL);
		show(self);
	}
	return 0;
}

static int write_line(struct replaying *self, const char *line, size_t len, struct cf_error *error)
{
	struct cf_shared *shared = cf_replay_shared(self->replay);
	struct cf_output_outcome *out = &shared->outcomes[atomic_load(&shared->current) & 1].outputs[0];
	size_t space;
	uint8_t *to = cf_sink_space(&self->sink, out->head, &space);

	if (len == 0 || len + 1 > space)
		return 0;
	memcpy(to, line, len);
	to[len] = '\n';
	out->head += len + 1;
	return flush(self, error);
}

/* What a table or a CSV begins with, once it is known which it is. */
static int write_header(struct replaying *self, struct cf_error *error)
{
	struct stat st;
	char line[4096];
	size_t len;

	if (self->has_header || !cf_replay_plan(self->replay))
		return 0;
	self->has_header = 1;
	if (fstat(self->sink.fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		return 0; /* it stands there already, or what does is no table */
	len = cf_record_header(cf_replay_plan(self->replay)->outputs[0].format, line, sizeof(line));
	if (len)
		self->sink.progress->extra_before--; /* counted, as an extra line */
	return write_line(self, line, len, error);
}

static int take(struct replaying *self, const struct cf_frame *frame, struct cf_error *error)
{
	struct cf_error wrong = { 0 };

	if (frame->type != CF_FRAME_META && keep_pace(self, frame, error) < 0)
		return -1;
	if (cf_replay_frame(self->replay, frame, &wrong) == 0)
		return write_header(self, error);
	if (wrong.kind == CF_FAIL_RECORDING)
		return cf_fail(error, wrong.kind, 0, "%s: %s", self->files.reader.name, wrong.text);
	*error = wrong;
	return -1;
}

/* 0: to the end, or as far as we were let. */
static int feed(struct replaying *self, struct cf_error *error)
{
	struct cf_frame frame;
	int rc;

	while (!ending && !cf_replay_is_full(self->replay) &&
	       (rc = cf_replay_files_next(&self->files, &frame, error)) != 0) {
		if (rc < 0 || take(self, &frame, error) < 0)
			return -1;
		cf_replay_files_times(&self->files, &frame, cf_replay_plan(self->replay));
		cf_replay_watch_limit(cf_replay_plan(self->replay)->limits.stuck_s);
		show(self);
	}
	return 0;
}

/* The exit code of a replay that did not fail. */
static int conclude(struct replaying *self, int is_quiet)
{
	static char line[1 << 20];
	const struct cf_replay_numbers *numbers = cf_replay_numbers(self->replay);
	struct cf_summary_recorded recorded = { .files = (uint64_t)self->files.at,
						.recordings = numbers->recordings,
						.events = numbers->events,
						.batches = numbers->batches,
						.losses = numbers->losses,
						.is_whole = self->files.at == self->files.count &&
							    !self->files.is_damaged && !self->files.has_no_end &&
							    !ending };
	static struct cf_plan of_output; /* megabytes: set below, or they would be in the executable */
	struct cf_summary_input input = { .recorded = &recorded,
					  .shared = cf_replay_shared(self->replay),
					  .connections = cf_replay_connections(self->replay),
					  .plan = &of_output,
					  .sinks = &self->sink,
					  .sink_count = 1,
					  .elapsed_ns = numbers->span_ns };
	const struct cf_plan *plan = cf_replay_plan(self->replay);
	struct cf_summary summary;
	struct cf_error ignored;

	of_output.output_count = 1;
	of_output.outputs[0].kind = CF_OUTPUT_STDOUT;
	if (plan) {
		of_output.metadata = plan->metadata;
		input.generation = plan->generation;
	}
	cf_summary_gather(&input, &summary);
	if (self->given->summary_record && !is_quiet)
		write_line(self, line, cf_summary_json(&summary, line, sizeof(line)), &ignored);
	if (!is_quiet) {
		cf_summary_log(&summary);
		cf_replay_files_log(&self->files);
	}
	return cf_cmd_exit_code(self->given->fail_on, &summary);
}

static void take_signals(void)
{
	/* The second one ends us, wherever we are. */
	struct sigaction action = { .sa_handler = end, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int open_all(struct replaying *self, struct cf_error *error)
{
	const struct cf_cmd_replay *given = self->given;
	struct cf_policy *policy = &self->options.policy;

	*policy = (struct cf_policy){ .name = given->policy_path, .args = given->args };
	if (given->policy_path && cf_policy_read(given->policy_path, NULL, 0, &self->text, &policy->len, error) < 0)
		return -1;
	policy->text = self->text;
	self->options.opener = &cf_cmd_opener;
	self->options.metadata = given->metadata;
	self->options.selection = given->selection;
	self->options.sinks = &self->sink;
	self->options.sink_count = 1;
	self->options.room = room;
	self->options.context = self;
	if (cf_replay_files_open_as(&self->files, given->paths, given->path_count, given->capture, error) < 0)
		return -1;
	self->replay = cf_replay_new(&self->options);
	if (!self->replay)
		return cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for a replay");
	return open_output(self, error);
}

static int replay(struct replaying *self, struct cf_error *error)
{
	struct cf_error last = { 0 };
	int rc;

	take_signals();
	cf_replay_watch(cf_replay_shared(self->replay), &self->sink, 1);
	cf_replay_progress_begin(&self->progress, !self->given->is_quiet);
	rc = feed(self, error);
	/* Of what was readable, all is decided and written. */
	if ((rc == 0 || error->kind == CF_FAIL_RECORDING) &&
	    (cf_replay_end(self->replay, &last) < 0 || flush(self, &last) < 0)) {
		*error = last;
		rc = -1;
	}
	cf_replay_watch_limit(0);
	cf_replay_progress_end(&self->progress);
	return rc;
}

static int conclude_all(struct replaying *self, int rc, const struct cf_error *error)
{
	int is_gone = rc < 0 && error->kind == CF_FAIL_OUTPUT && error->err == EPIPE;
	int code;

	if (is_gone)
		return conclude(self, 1);
	if (rc < 0)
		cf_error_log("%s", error->text);
	if (rc < 0 && (error->kind != CF_FAIL_RECORDING || cf_replay_numbers(self->replay)->recordings == 0))
		return cf_failure_exit_code(error->kind);
	if (ending)
		cf_warn("ended by a signal, after %llu events",
			(unsigned long long)cf_replay_numbers(self->replay)->events);
	code = conclude(self, 0);
	return rc < 0 ? cf_failure_exit_code(error->kind) : ending ? 128 + (int)ending : code;
}

int cf_cmd_replay_run(const struct cf_cmd_replay *given)
{
	static struct replaying self;
	struct cf_error error = { 0 };
	int code;

	self.given = given;
	self.pace.pace = given->pace;
	self.sink.fd = self.sink.buffer_fd = -1;
	if (open_all(&self, &error) < 0)
		code = cf_cmd_failed(&error);
	else
		code = conclude_all(&self, replay(&self, &error), &error);
	cf_replay_files_close(&self.files);
	cf_sink_close(&self.sink);
	cf_replay_free(self.replay);
	free(self.text);
	return code;
}
