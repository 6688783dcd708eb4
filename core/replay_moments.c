/* SPDX-License-Identifier: MIT
 * What a replay's policy is called for between batches: see replay_parts.h. */
#include "replay_parts.h"

enum {
	TICKS_MAX = 1000000, /* of a policy's timers between two frames: a recording's times may be anything */
};

int cf_replay_tell(struct cf_replay *replay, const struct cf_script_moment *moment, struct cf_error *error)
{
	if (cf_replay_prepare(replay, moment->now_ns, error) < 0)
		return -1;
	replay->is_used = 1;
	cf_turn_tell(replay->turn, moment);
	return 0;
}

int cf_replay_start(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error)
{
	const struct cf_script_moment moment = { .moment = CF_MOMENT_START, .now_ns = now_ns };

	if (replay->is_used && cf_replay_read_policy(replay, error) < 0)
		return -1;
	replay->is_started = 1;
	return cf_replay_tell(replay, &moment, error);
}

int cf_replay_stop(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error)
{
	const struct cf_script_moment moment = { .moment = CF_MOMENT_STOP, .now_ns = now_ns };

	if (!replay->is_started)
		return 0;
	replay->is_started = 0;
	return cf_replay_tell(replay, &moment, error);
}

int cf_replay_start_if_due(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error)
{
	uint64_t begin_ns = replay->recorded.begin_ns;

	if (replay->is_started && replay->turn->is_full && !replay->is_same)
		return cf_replay_start(replay, now_ns, error);
	if (replay->is_started)
		return 0;
	replay->recorded.begin_ns = 0; /* another time it begins later */
	return cf_replay_start(replay, begin_ns ? begin_ns : now_ns, error);
}

/* The runtime's times are seconds, in which one ns may be no step. */
int cf_replay_tick(struct cf_replay *replay, uint64_t now_ns, struct cf_error *error)
{
	struct cf_script_moment moment = { .moment = CF_MOMENT_TIMER };
	uint64_t ticks = 0, step = 0;

	while (replay->turn->timer_ns && replay->turn->timer_ns <= now_ns) {
		uint64_t due_ns = replay->turn->timer_ns;

		moment.now_ns = ++ticks > TICKS_MAX ? now_ns : due_ns + step;
		if (cf_replay_tell(replay, &moment, error) < 0)
			return -1;
		step = replay->turn->timer_ns > due_ns ? 0 : 2 * step + 1;
		if (ticks > TICKS_MAX)
			break;
	}
	return 0;
}
