/* SPDX-License-Identifier: MIT
 *
 * A policy's own counters: numbers in the outcome, so that they are exact however a worker ends. What Lua calls is in
 * api.h; this is for emit.c, which knows which outcome is under way.
 */
#ifndef CF_COUNTER_H
#define CF_COUNTER_H
#include "outcome.h"

/* Where names are kept and numbers are read while nothing is under way; not owned. NULL: nowhere. */
void cf_counters_bind(struct cf_shared *shared);
/* The outcome that counts from now on; NULL: none. */
void cf_counters_begin(struct cf_outcome *next);
#endif
