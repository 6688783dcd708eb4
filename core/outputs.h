/* SPDX-License-Identifier: MIT
 *
 * The supervisor's set of outputs: opened by a plan, exchanged by the next plan between two workers, recovered after
 * one died. How bytes get out is sink.h's.
 */
#ifndef CF_OUTPUTS_H
#define CF_OUTPUTS_H
#include "outcome.h"
#include "plan.h"
#include "sink.h"

struct cf_outputs {
	struct cf_sink sinks[CF_OUTPUTS_MAX];
	struct cf_plan_output plans[CF_OUTPUTS_MAX];
	uint32_t count;
	uint64_t lost; /* records that an output closed by cf_outputs_install had accepted and not written */
};

struct cf_targets {
	int fds[CF_OUTPUTS_MAX];
	uint32_t count;
};

/* Open every output of a plan; all or none. What is in use stays as it is. */
int cf_targets_open(struct cf_targets *targets, const struct cf_plan *plan, struct cf_error *error);
void cf_targets_close(struct cf_targets *targets);

/* 1: the plan has all of the outputs in use, at their places. */
int cf_outputs_stay(const struct cf_outputs *outputs, const struct cf_plan *plan);

/* Make them the outputs in use; takes the descriptors. No worker may run. An output that stays (same kind and path)
 * keeps what it has not written yet. */
int cf_outputs_install(struct cf_outputs *outputs, struct cf_targets *targets, const struct cf_plan *plan,
		       struct cf_shared *shared, struct cf_error *error);
void cf_outputs_recover(struct cf_outputs *outputs, struct cf_shared *shared);
/* Append one line to every output and give each up to `wait_ms` to take all it has. No worker may run. `len` may be 0:
 * only flush. */
void cf_outputs_finish(struct cf_outputs *outputs, struct cf_shared *shared, const char *line, size_t len, int wait_ms);
void cf_outputs_close(struct cf_outputs *outputs);
#endif
