/* SPDX-License-Identifier: MIT
 * A policy's replay for a comparison: see diff_side.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "api.h"
#include "diff_side.h"
#include "diff_stream.h"
#include "emit.h"
#include "log.h"
#include "replay.h"
#include "replay_files.h"
#include "replay_watch.h"

enum { PIPE_LEN = 1 << 20 };

struct telling {
	const struct cf_diff_side *side;
	struct cf_replay *replay;
	struct cf_diff_writer writer;
};

static void put_flow(const struct cf_event *event, struct cf_diff_flow *flow, uint32_t cell)
{
	memcpy(flow->event, event, sizeof(flow->event));
	flow->cell = cell;
	flow->id[cf_decision_id_text(event, flow->id)] = '\0';
	flow->time[cf_time_text(event->last_seen_ns, flow->time)] = '\0';
}

static uint32_t cell_text(struct telling *self, const struct cf_event *event)
{
	const struct cf_plan *plan = cf_replay_plan(self->replay);
	const char *name = plan && event->cell < plan->cell_count ? plan->cells[event->cell].name : "";

	return name[0] ? cf_intern(name, strlen(name)) : 0;
}

/* All texts go before the message that names them. */
static void ended(void *context, const struct cf_event *event, const struct cf_decision *decision, uint32_t ending)
{
	static const struct cf_decision none;
	struct telling *self = context;
	struct cf_diff_writer *writer = &self->writer;
	uint32_t cell = self->side->tells_flows ? cell_text(self, event) : 0;
	struct cf_diff_event *message;

	decision = ending ? &none : decision;
	cf_diff_tell(writer, decision->reason);
	cf_diff_tell(writer, decision->rule);
	cf_diff_tell(writer, decision->place);
	cf_diff_tell(writer, cell);
	message = cf_diff_put(writer, CF_DIFF_EVENT,
			      sizeof(*message) + (self->side->tells_flows ? sizeof(struct cf_diff_flow) : 0));
	message->ending = ending;
	message->decision = decision->decision;
	message->reason = decision->reason;
	message->rule = decision->rule;
	message->place = decision->place;
	message->has_flow = (uint32_t)self->side->tells_flows;
	if (self->side->tells_flows)
		put_flow(event, (struct cf_diff_flow *)(message + 1), cell);
}

static int feed(struct telling *self, struct cf_replay_files *files, struct cf_error *error)
{
	struct cf_frame frame;
	int rc;

	while ((rc = cf_replay_files_next(files, &frame, error)) > 0) {
		const struct cf_plan *plan;

		if (cf_replay_frame(self->replay, &frame, error) < 0)
			return -1;
		plan = cf_replay_plan(self->replay);
		cf_replay_watch_limit(plan ? plan->limits.stuck_s : 0);
	}
	return rc;
}

static void put_end(struct telling *self, const struct cf_replay_files *files, const struct cf_error *error)
{
	const struct cf_outcome *done = cf_outcome_current(cf_replay_shared(self->replay));
	struct cf_diff_end *end = cf_diff_put(&self->writer, CF_DIFF_END, sizeof(*end));

	end->refused = done->refused;
	end->events = done->consumed - done->refused;
	end->records = done->records;
	end->deduplicated = done->deduplicated;
	end->suppressed = done->suppressed;
	end->failed = done->failed;
	end->script_errors = done->script_errors;
	end->has_no_end = (uint64_t)files->has_no_end;
	end->error = *error;
	cf_diff_flush(&self->writer);
}

static void replay(struct telling *self)
{
	static struct cf_replay_files files;
	const struct cf_emit_tap tap = { .ended = ended, .context = self };
	struct cf_replay_options options = { .policy = self->side->policy, .opener = self->side->opener };
	struct cf_error error = { 0 }, last = { 0 };

	self->replay = cf_replay_new(&options);
	if (!self->replay)
		_exit(2);
	cf_emit_tap(&tap);
	cf_replay_watch(cf_replay_shared(self->replay), NULL, 0);
	/* Of captures, both sides have the same events: no policy's timeouts hold. */
	if (cf_replay_files_open_as(&files, self->side->paths, self->side->path_count, self->side->capture, &error) ==
		    0 &&
	    feed(self, &files, &error) >= 0 && cf_replay_end(self->replay, &last) < 0)
		error = last;
	cf_replay_watch_limit(0);
	put_end(self, &files, &error);
	cf_replay_files_close(&files);
	cf_replay_free(self->replay);
}

static void __attribute__((noreturn)) run(const struct cf_diff_side *side, int fd, pid_t parent)
{
	static struct telling self;

	self.side = side;
	self.writer.fd = fd;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(2);
	cf_log_set_level(side->log_level);
	replay(&self);
	_exit(0);
}

pid_t cf_diff_side_start(const struct cf_diff_side *side, int *fd, struct cf_error *error)
{
	pid_t parent = getpid(), pid;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "pipe: %s", strerror(errno));
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_LEN); /* fewer switches; what is refused costs time only */
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		run(side, ends[1], parent);
	}
	close(ends[1]);
	*fd = ends[0];
	if (pid < 0) {
		close(ends[0]);
		return cf_fail(error, CF_FAIL_INTERNAL, errno, "fork: %s", strerror(errno));
	}
	return pid;
}
