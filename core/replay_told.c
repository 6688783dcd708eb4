/* SPDX-License-Identifier: MIT
 * Recordings through a policy, for verbs that count: see replay_told.h. */
#include <stdlib.h>
#include "policy_file.h"
#include "replay.h"
#include "replay_files.h"
#include "replay_progress.h"
#include "replay_told.h"
#include "replay_watch.h"

struct telling {
	const struct cf_told_options *given;
	struct cf_replay *replay;
	struct cf_replay_files files;
	struct cf_replay_progress progress;
};

static int take(struct telling *self, const struct cf_frame *frame, struct cf_error *error)
{
	struct cf_error wrong = { 0 };

	if (cf_replay_frame(self->replay, frame, &wrong) < 0) {
		if (wrong.kind == CF_FAIL_RECORDING)
			return cf_fail(error, wrong.kind, 0, "%s: %s", self->files.reader.name, wrong.text);
		*error = wrong;
		return -1;
	}
	if (frame->type == CF_FRAME_META && self->given->begun)
		return self->given->begun(self->given->context, error);
	return 0;
}

static int feed(struct telling *self, struct cf_error *error)
{
	struct cf_frame frame;
	int rc;

	while ((rc = cf_replay_files_next(&self->files, &frame, error)) > 0) {
		if (take(self, &frame, error) < 0)
			return -1;
		cf_replay_files_times(&self->files, &frame, cf_replay_plan(self->replay));
		cf_replay_watch_limit(cf_replay_plan(self->replay)->limits.stuck_s);
		cf_replay_progress_show(&self->progress, cf_replay_files_part(&self->files),
					cf_replay_files_events(&self->files));
	}
	return rc;
}

static void gather(const struct telling *self, struct cf_told *told)
{
	const struct cf_outcome *done = cf_outcome_current(cf_replay_shared(self->replay));
	const struct cf_replay_numbers *numbers = cf_replay_numbers(self->replay);

	*told = (struct cf_told){ .recordings = numbers->recordings,
				  .events = done->consumed - done->refused,
				  .records = done->records,
				  .deduplicated = done->deduplicated,
				  .suppressed = done->suppressed,
				  .filtered = done->filtered,
				  .failed = done->failed,
				  .refused = done->refused,
				  .script_errors = done->script_errors,
				  .is_whole = self->files.at == self->files.count && !self->files.is_damaged &&
					      !self->files.has_no_end };
	for (int i = 0; i < 3; i++)
		told->decisions[i] = done->decisions[i];
	for (int i = 0; i < CF_LOSSES; i++)
		told->lost += numbers->losses[i];
}

static int replay(struct telling *self, struct cf_told *told, struct cf_error *error)
{
	struct cf_error last = { 0 };
	int rc;

	cf_emit_tap(&self->given->tap);
	cf_replay_watch(cf_replay_shared(self->replay), NULL, 0);
	cf_replay_progress_begin(&self->progress, 1);
	rc = feed(self, error);
	if (rc == 0 && cf_replay_numbers(self->replay)->recordings == 0)
		rc = cf_fail(error, CF_FAIL_RECORDING, 0, "%s: there is nothing in it", self->given->paths[0]);
	if ((rc == 0 || error->kind == CF_FAIL_RECORDING) && cf_replay_end(self->replay, &last) < 0) {
		*error = last;
		rc = -1;
	}
	cf_replay_watch_limit(0);
	cf_replay_progress_end(&self->progress);
	gather(self, told);
	return rc;
}

int cf_replay_told(const struct cf_told_options *given, struct cf_told *told, struct cf_error *error)
{
	static struct telling self;
	struct cf_policy policy = { .name = given->policy_path, .args = given->args };
	struct cf_replay_options options = { .opener = given->opener, .selection = given->selection };
	char *text = NULL;
	int rc = -1;

	self.given = given;
	*told = (struct cf_told){ 0 };
	if (given->policy_path && cf_policy_read(given->policy_path, NULL, 0, &text, &policy.len, error) < 0)
		return -1;
	policy.text = text;
	options.policy = policy;
	if (cf_replay_files_open_as(&self.files, given->paths, given->path_count, given->capture, error) == 0) {
		self.replay = cf_replay_new(&options);
		rc = self.replay ? replay(&self, told, error)
				 : cf_fail(error, CF_FAIL_INTERNAL, 0, "no memory for a replay");
		cf_replay_files_close(&self.files);
	}
	cf_replay_free(self.replay);
	free(text);
	return rc;
}
