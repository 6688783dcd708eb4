/* SPDX-License-Identifier: MIT
 *
 * Replay: the frames of a recording through a policy, in the recording's time. This is the worker's half of a run in
 * one process and without privileges: the same reading of the policy, the same transactions, the same records; frames
 * stand in for rings and orders. Where frames come from is the caller's (replay_files.h, or a capture), as is where the
 * records go. One replay a process at a time: the runtime, the batch and the bound plan are the process's.
 */
#ifndef CF_REPLAY_H
#define CF_REPLAY_H
#include "connections.h"
#include "frame.h"
#include "outcome.h"
#include "script.h"
#include "select.h"
#include "sink.h"

/* A row of frames. next() as cf_reader_next: 1; 0: the end; -1 with an error. A frame is valid until the next call. */
struct cf_frames {
	int (*next)(void *context, struct cf_frame *frame, struct cf_error *error);
	void *context;
};

struct cf_replay_options {
	struct cf_policy policy; /* text NULL: the default mapping; args NULL: those that were recorded */
	const struct cf_opener *opener; /* what the policy includes is read once, however often the policy is */
	const struct cf_plan_metadata *metadata; /* fields that are given go over all others */
	const struct cf_selection *selection; /* NULL: everything is written as the policy says */
	struct cf_sink *sinks; /* opened, and with their progress in the shared memory that cf_replay_shared gives */
	uint32_t sink_count;
	/* Before each transaction: make room in the sinks, or wait. -1 ends the replay. NULL: none is made. */
	int (*room)(void *context, struct cf_error *error);
	void *context; /* of room */
};

/* What went through, besides cf_outcome_current(cf_replay_shared()). Times are of the boot clock; 0: none. */
struct cf_replay_numbers {
	uint64_t recordings; /* runs: parts of one count once */
	uint64_t batches;
	uint64_t events;
	uint64_t first_ns; /* of the recording in hand */
	uint64_t now_ns;
	uint64_t span_ns; /* of all recordings before it */
	uint64_t losses[CF_LOSSES];
};

struct cf_replay;

/* Options are not copied, except for pointers. NULL: no memory. */
struct cf_replay *cf_replay_new(const struct cf_replay_options *options);
void cf_replay_free(struct cf_replay *replay);

struct cf_shared *cf_replay_shared(struct cf_replay *replay);
const struct cf_plan *cf_replay_plan(const struct cf_replay *replay); /* NULL: no policy was read yet */
const struct cf_connections *cf_replay_connections(const struct cf_replay *replay);
const struct cf_replay_numbers *cf_replay_numbers(const struct cf_replay *replay);
/* 1: the policy in hand is the one that was in force when the latest frames were recorded. */
int cf_replay_is_same(const struct cf_replay *replay);
/* 1: the selection's limit is reached; what still comes can but be counted. */
int cf_replay_is_full(const struct cf_replay *replay);

/* Take one frame, which passed cf_frame_check. The first one is META, and with it the policy is read. -1:
 * CF_FAIL_POLICY, CF_FAIL_RECORDING for frames that cannot stand where they do, or what room() said. */
int cf_replay_frame(struct cf_replay *replay, const struct cf_frame *frame, struct cf_error *error);
/* Nothing more comes: the policy's last words. Also after an error; idempotent. */
int cf_replay_end(struct cf_replay *replay, struct cf_error *error);
#endif
