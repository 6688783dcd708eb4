/* SPDX-License-Identifier: MIT
 * Recordings for policies under test: see testing_recording.h. */
#include <stdlib.h>
#include <string.h>
#include "replay_files.h"
#include "replay_recorded.h"
#include "testing_recording.h"

struct cf_testing_recording {
	struct cf_replay_files files;
	struct cf_capture_options options;
	struct cf_replay_recorded recorded;
	struct cf_meta meta; /* of the frame in hand */
	int is_begun;
};

static struct cf_error wrong;

const char *cf_testing_recording_wrong(void)
{
	return wrong.text;
}

static int take_word(struct cf_capture_options *options, const char *what, const char *value)
{
	if (strcmp(what, "net") == 0)
		return cf_capture_add_net(options, value, &wrong);
	if (strcmp(what, "mac") == 0)
		return cf_capture_add_mac(options, value, &wrong);
	if (strcmp(what, "name") == 0)
		return cf_capture_name_cell(options, value, &wrong);
	return cf_capture_events(options, value, &wrong);
}

struct cf_testing_recording *cf_testing_recording_open(const char *const *paths, uint32_t count,
						       const char *const *words)
{
	struct cf_testing_recording *recording = calloc(1, sizeof(*recording));
	int is_ok = recording != NULL, has_words = words[0] != NULL;

	if (!recording)
		cf_fail(&wrong, CF_FAIL_INTERNAL, 0, "no memory for a recording");
	for (; is_ok && words[0]; words += 2)
		is_ok = take_word(&recording->options, words[0], words[1]) == 0;
	if (is_ok && cf_replay_files_open_as(&recording->files, (char *const *)(uintptr_t)paths, (int)count,
					     has_words ? &recording->options : NULL, &wrong) == 0)
		return recording;
	free(recording);
	return NULL;
}

void cf_testing_recording_close(struct cf_testing_recording *recording)
{
	if (!recording)
		return;
	cf_replay_files_close(&recording->files);
	free(recording);
}

static int take_meta(struct cf_testing_recording *recording, const struct cf_frame *frame, struct cf_testing_step *step)
{
	int goes_on = 1;

	cf_frame_get_meta(frame, &recording->meta);
	if (frame->type == CF_FRAME_META)
		goes_on = cf_replay_goes_on(&recording->recorded, &recording->meta, &wrong);
	if (goes_on < 0)
		return -1;
	if (goes_on == 0 && recording->is_begun)
		return cf_fail(&wrong, CF_FAIL_RECORDING, 0,
			       "another recording begins (give its files to a replay of their own)");
	recording->is_begun = 1;
	cf_replay_take_meta(&recording->recorded, frame->type, &recording->meta);
	step->what = goes_on ? CF_TESTING_PLAN : CF_TESTING_BEGIN;
	step->now_ns = recording->meta.now_ns;
	return 0;
}

static int without_begin(void)
{
	return cf_fail(&wrong, CF_FAIL_RECORDING, 0, "a recording that does not begin with what it is of");
}

static int take(struct cf_testing_recording *recording, const struct cf_frame *frame, struct cf_testing_step *step,
		struct cf_batch *batch)
{
	uint64_t now_ns;

	*step = (struct cf_testing_step){ .what = CF_TESTING_TIME };
	if (frame->type == CF_FRAME_META || frame->type == CF_FRAME_GENERATION)
		return take_meta(recording, frame, step);
	if (!recording->is_begun)
		return without_begin();
	step->now_ns = cf_frame_time(frame);
	switch (frame->type) {
	case CF_FRAME_CELL:
		cf_replay_take_cell(&recording->recorded, (const struct cf_frame_cell *)frame->bytes);
		step->what = CF_TESTING_PLAN;
		break;
	case CF_FRAME_CLOCK:
		step->what = CF_TESTING_CLOCK;
		step->offset_ns = ((const struct cf_frame_clock *)frame->bytes)->offset_ns;
		break;
	case CF_FRAME_BATCH:
		step->what = CF_TESTING_BATCH;
		cf_frame_get_batch(frame, &now_ns, batch);
		step->refused = cf_replay_refuse(&recording->recorded, batch);
		break;
	case CF_FRAME_MOMENT:
		step->what = CF_TESTING_MOMENT;
		break;
	case CF_FRAME_LOSS:
		step->what = CF_TESTING_LOST;
		step->lost = cf_replay_lost((const struct cf_frame_loss *)frame->bytes);
		break;
	default:
		break;
	}
	return 0;
}

int cf_testing_recording_next(struct cf_testing_recording *recording, struct cf_testing_step *step,
			      struct cf_batch *batch)
{
	struct cf_frame frame;
	int rc = cf_replay_files_next(&recording->files, &frame, &wrong);

	if (rc == 0 && !recording->is_begun)
		return without_begin();
	if (rc <= 0)
		return rc;
	return take(recording, &frame, step, batch) < 0 ? -1 : 1;
}

const char *const *cf_testing_recording_args(const struct cf_testing_recording *recording)
{
	return recording->meta.args;
}

void cf_testing_recording_times(struct cf_testing_recording *recording, const struct cf_plan *plan)
{
	const struct cf_frame frame = { .type = CF_FRAME_META };

	cf_replay_files_times(&recording->files, &frame, plan);
}

void cf_testing_recording_plan(const struct cf_testing_recording *recording, const struct cf_plan_metadata *declared,
			       struct cf_plan *plan)
{
	cf_replay_plan_fill(plan, &recording->recorded, declared, NULL);
	plan->generation = 1; /* never the recorded policy's: its timers tick by themselves */
}

int cf_testing_recording_is_whole(const struct cf_testing_recording *recording)
{
	const struct cf_replay_files *files = &recording->files;

	return files->at == files->count && !files->is_damaged && !files->has_no_end;
}
