/* SPDX-License-Identifier: MIT
 *
 * What the parts of a replay share: its state, the reading of the policy (replay.c) and the calls into it between
 * batches (replay_moments.c). For replay_frames.c and these, and no one else.
 */
#ifndef CF_REPLAY_PARTS_H
#define CF_REPLAY_PARTS_H
#include "kept_files.h"
#include "replay.h"
#include "replay_recorded.h"
#include "turn.h"

struct cf_replay {
	const struct cf_replay_options *options;
	struct cf_kept_files includes;
	struct cf_shared *shared;
	struct cf_turn *turn;
	struct cf_connections *connections;
	struct cf_plan *plan; /* of the policy; its cells and metadata are the recording's */
	struct cf_plan_metadata declared; /* as the policy says it */
	void *dedup;
	char *args_bytes; /* GENERATION or META frame in which `args` point */
	const char *args[2 * CF_META_ARGS_MAX + 1];
	int is_same; /* the policy is the one that was in force */
	int is_used; /* something ran in the Lua state since the policy was read */
	int is_started; /* and it was told so */
	int is_bound; /* the plan is what the recording says */
	struct cf_replay_numbers numbers;
	struct cf_replay_recorded recorded;
};

/* A Lua state in which nothing has run yet. -1: CF_FAIL_POLICY. */
int cf_replay_read_policy(struct cf_replay *replay, struct cf_error *error);
/* Before anything of the policy runs: the time, room for what it writes, and names. */
int cf_replay_prepare(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error);

int cf_replay_tell(struct cf_replay *replay, const struct cf_script_moment *moment, struct cf_error *error);
/* In a state of its own: what ran in the one in hand is forgotten. */
int cf_replay_start(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error);
int cf_replay_stop(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error);
/* Of a policy that began nowhere: with its recording. Of one that holds too much: now, as another worker would. */
int cf_replay_start_if_due(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error);
/* What is due at `now_ns`, at its own time. */
int cf_replay_tick(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error);
#endif
