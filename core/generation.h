/* SPDX-License-Identifier: MIT
 *
 * A generation: one reading of the policy, its plan carried out, and the worker that decides by it. Start, reload and
 * recovery are the same steps: spawn a worker, take its plan, carry out the difference, hand over. This file is those
 * steps; when to take them (signals, deaths, ends) is supervisor.c's.
 */
#ifndef CF_GENERATION_H
#define CF_GENERATION_H
#include "cells.h"
#include "collecting.h"
#include "crew.h"
#include "outputs.h"
#include "feed.h"
#include "policy_watch.h"
#include "record_keeper.h"
#include "supervisor.h"

struct cf_generations {
	const struct cf_run_options *options;
	struct cf_worker_config config; /* config.policy.text is owned */
	struct cf_policy_watch watch; /* of the files that were read last, whether they loaded or not */
	struct cf_shared *shared;
	struct cf_cells cells;
	struct cf_collecting collecting;
	struct cf_record_keeper recorder;
	struct cf_outputs outputs;
	struct cf_feed feed; /* our own mappings, to count what is left in the rings */
	struct cf_member worker; /* pid 0: none runs */
	struct cf_includes *includes; /* of the policy in force */
	struct cf_plan *plan; /* in force; NULL before the first start */
	struct cf_cell *by_plan[CF_CELLS_MAX]; /* the plan's cells, by its index; NULL: gone before a recovery */
	struct cf_message_slot retired[CF_CELLS_MAX]; /* cells that the latest reload removed */
	uint32_t retired_count;
	uint32_t number; /* 1, 2, ... */
	int abort_fd; /* signalfd of what ends us: a reload or start in progress is given up when it has something */
};

int cf_generations_open(struct cf_generations *gen, const struct cf_run_options *options, int abort_fd,
			struct cf_error *error);
void cf_generations_close(struct cf_generations *gen);

/* Where the worker of the generation in force notes what it is doing. */
struct cf_progress *cf_generation_progress(const struct cf_generations *gen);

int cf_generation_start(struct cf_generations *gen, struct cf_error *error);
/* Read the policy and open the outputs again. On failure everything is as it was, the old policy in force. */
int cf_generation_reload(struct cf_generations *gen, struct cf_error *error);
/* A new worker for the plan in force, after the last one died. */
int cf_generation_recover(struct cf_generations *gen, struct cf_error *error);
#endif
