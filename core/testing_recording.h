/* SPDX-License-Identifier: MIT
 *
 * Recordings and captures for policies under test: what is in them, step by step, for lua/cellflow/testing_replay.lua,
 * which has the runtime in its own hands and declares these to ffi itself. Files are read as replay_files.h reads them.
 */
#ifndef CF_TESTING_RECORDING_H
#define CF_TESTING_RECORDING_H
#include "api.h"

enum cf_testing_what {
	CF_TESTING_BEGIN = 1, /* the policy is to be read */
	CF_TESTING_PLAN = 2, /* cells changed: cf_testing_recording_plan again, before the policy is asked anything */
	CF_TESTING_CLOCK = 3,
	CF_TESTING_BATCH = 4,
	CF_TESTING_LOST = 5, /* events that the kernel lost */
	CF_TESTING_MOMENT = 6,
	CF_TESTING_TIME = 7, /* only that it is now_ns */
};

struct cf_testing_step {
	uint32_t what;
	uint32_t refused; /* events of a batch that are of no known cell, and not in it */
	uint64_t now_ns; /* 0: none is known */
	uint64_t lost;
	int64_t offset_ns; /* of CLOCK: time of day minus now_ns */
};

struct cf_testing_recording;

/* `words`: "net", VALUE, "mac", VALUE, "name", VALUE, "events", VALUE, ..., NULL: how captures are to be read. NULL
 * with cf_testing_recording_wrong. The paths stay the caller's, until it is closed. */
struct cf_testing_recording *cf_testing_recording_open(const char *const *paths, uint32_t count,
						       const char *const *words);
void cf_testing_recording_close(struct cf_testing_recording *recording);
/* 1; 0: the end; -1: cf_testing_recording_wrong. `batch` is filled for BATCH. */
int cf_testing_recording_next(struct cf_testing_recording *recording, struct cf_testing_step *step,
			      struct cf_batch *batch);
/* Behind BEGIN, until the next step: name, value, ..., NULL. */
const char *const *cf_testing_recording_args(const struct cf_testing_recording *recording);
/* Behind BEGIN: the policy's timeouts, which hold for captures. */
void cf_testing_recording_times(struct cf_testing_recording *recording, const struct cf_plan *plan);
/* Cells and metadata as a replay has them; `declared` is what the policy says. */
void cf_testing_recording_plan(const struct cf_testing_recording *recording, const struct cf_plan_metadata *declared,
			       struct cf_plan *plan);
/* 0: it has no end, or was not read to it. */
int cf_testing_recording_is_whole(const struct cf_testing_recording *recording);
const char *cf_testing_recording_wrong(void);
#endif
