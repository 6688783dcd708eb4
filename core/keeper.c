/* SPDX-License-Identifier: MIT
 * Keeping a worker running: see keeper.h. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include "keeper.h"
#include "log.h"
#include "script.h"

enum {
	BACK_OFF_MAX_MS = 10000,
	HEALTHY_MS = 30000, /* a worker that lived this long has its predecessors' deaths forgotten */
	FINISH_GRACE_MS = 10000, /* beyond the flushing, to decide a full ring */
};

int64_t cf_keeper_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void cf_keeper_took_over(struct cf_keeper *keeper)
{
	keeper->since_ms = cf_keeper_now_ms();
	keeper->stuck = (struct cf_stuck){ 0 };
}

static void schedule(struct cf_keeper *keeper, bool at_once)
{
	int64_t now = cf_keeper_now_ms();
	int64_t delay = 0;

	if (now - keeper->since_ms > HEALTHY_MS)
		keeper->quick_deaths = 0;
	if (keeper->quick_deaths > 0 && !at_once) {
		delay = 100LL << (keeper->quick_deaths < 8 ? keeper->quick_deaths - 1 : 7);
		delay = delay < BACK_OFF_MAX_MS ? delay : BACK_OFF_MAX_MS;
	}
	keeper->quick_deaths++;
	keeper->respawn_at_ms = now + delay;
	if (delay)
		cf_warn("workers keep dying: the next one starts in %.1f s", (double)delay / 1000);
}

/* Before a line is logged: it may go into the very file whose length tells how far the dead worker's write got. */
static void recover_outputs(struct cf_keeper *keeper)
{
	cf_outputs_recover(&keeper->gen->outputs, keeper->gen->shared);
}

void cf_keeper_lost(struct cf_keeper *keeper)
{
	char death[64];
	int status;

	kill(keeper->gen->worker.pid, SIGKILL); /* dead already, or not the program any more that we forked */
	cf_member_reap(&keeper->gen->worker, &status);
	recover_outputs(keeper);
	/* It said why, and goes in order, in hope of a better successor: no matter for a pause. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == CF_SCRIPT_FULL) {
		if (keeper->gen->shared->full_is_told) /* else the worker said nothing either */
			cf_info("a new worker starts with fresh state");
		schedule(keeper, true);
		return;
	}
	cf_member_death(status, death, sizeof(death));
	cf_warn("worker %s, another one takes over", death);
	schedule(keeper, false);
}

static void respawn(struct cf_keeper *keeper)
{
	struct cf_error error = { 0 };

	keeper->restarts++;
	cf_keeper_took_over(keeper);
	if (cf_generation_recover(keeper->gen, &error) < 0) {
		cf_member_kill(&keeper->gen->worker);
		if (error.err != EINTR) /* else a signal came, and is looked at next */
			cf_warn("%s", error.text);
		schedule(keeper, error.err == EINTR);
	} else if (keeper->finishing) {
		cf_member_order_finish(&keeper->gen->worker, keeper->flush_ms);
	}
}

static void end_hanging(struct cf_keeper *keeper, uint32_t limit_s)
{
	char place[CF_PLACE_NAME_LEN];

	cf_member_kill(&keeper->gen->worker);
	recover_outputs(keeper);
	if (cf_stuck_switch_off(cf_generation_progress(keeper->gen), place) == 0)
		cf_error_log("%s did not come back for %u s: switched off until the policy is read again", place,
			     limit_s);
	else
		cf_error_log("worker did not come back for %u s", limit_s);
	schedule(keeper, true);
}

void cf_keeper_tick(struct cf_keeper *keeper)
{
	struct cf_generations *gen = keeper->gen;
	uint32_t limit_s = gen->plan->limits.stuck_s;
	int64_t now = cf_keeper_now_ms();

	if (keeper->finished)
		return;
	if (keeper->finishing && now >= keeper->finish_by_ms) {
		cf_warn("the worker was ended before it had finished");
		cf_keeper_abort(keeper);
	} else if (gen->worker.pid == 0) {
		if (now >= keeper->respawn_at_ms)
			respawn(keeper);
	} else if (cf_stuck_look(&keeper->stuck, gen->shared, cf_generation_progress(gen), gen->worker.pid, now,
				 limit_s * 1000LL)) {
		end_hanging(keeper, limit_s);
	}
}

int cf_keeper_wait_ms(const struct cf_keeper *keeper, int tick_ms)
{
	int64_t left = keeper->gen->worker.pid ? tick_ms : keeper->respawn_at_ms - cf_keeper_now_ms();

	return left < 0 ? 0 : left < tick_ms ? (int)left : tick_ms;
}

void cf_keeper_finish(struct cf_keeper *keeper, uint64_t flush_ms)
{
	keeper->finishing = true;
	keeper->flush_ms = flush_ms;
	keeper->finish_by_ms = cf_keeper_now_ms() + (int64_t)flush_ms + FINISH_GRACE_MS;
	if (keeper->gen->worker.pid)
		cf_member_order_finish(&keeper->gen->worker, flush_ms);
}

void cf_keeper_done(struct cf_keeper *keeper)
{
	int status;

	cf_member_reap(&keeper->gen->worker, &status);
	keeper->finished = true;
}

void cf_keeper_abort(struct cf_keeper *keeper)
{
	cf_member_kill(&keeper->gen->worker);
	keeper->finished = true;
}
