/* SPDX-License-Identifier: MIT
 *
 * The collector as its supervisor sees it: the memory that it works on, its process, what it has to be told of each
 * cell, and another one when it dies. What it does is collector.h's.
 */
#ifndef CF_COLLECTING_H
#define CF_COLLECTING_H
#include <stdbool.h>
#include "cells.h"
#include "collector.h"
#include "crew.h"

struct cf_collecting {
	struct cf_collector_config config;
	struct cf_host_ring ring;
	struct cf_member member; /* pid 0: none runs */
	const struct cf_cells *cells; /* whom a new one is told of */
	struct cf_plan_flows times;
	void *logged; /* memory of config.logged; NULL: none */
	size_t logged_size; /* its bytes */
	uint32_t restarts;
	int64_t respawn_at_ms; /* while none runs */
	bool flows_told;
	bool finishing;
	bool finished;
	int64_t finish_by_ms;
};

/* The memory; nothing runs yet. `cells` must outlive it. */
int cf_collecting_open(struct cf_collecting *collecting, struct cf_cells *cells, uid_t uid, gid_t gid,
		       struct cf_error *error);
void cf_collecting_close(struct cf_collecting *collecting); /* idempotent; kills the process */

/* Start the process, before there are cells. */
int cf_collecting_start(struct cf_collecting *collecting, struct cf_error *error);
/* The timeouts of the plan in force. */
void cf_collecting_times(struct cf_collecting *collecting, const struct cf_plan_flows *times);

/* Some times a second, and when the channel has something to say. */
void cf_collecting_tick(struct cf_collecting *collecting, int64_t now_ms);
/* The programs are detached: tell what is left within `ms`, close all flows, end. `finished` says when. */
void cf_collecting_finish(struct cf_collecting *collecting, uint64_t ms, int64_t now_ms);
/* What its channel has to say. */
void cf_collecting_hear(struct cf_collecting *collecting, int64_t now_ms);
#endif
