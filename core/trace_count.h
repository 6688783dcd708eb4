/* SPDX-License-Identifier: MIT
 *
 * What LuaJIT's compiler did, counted where it outlives the worker. What Lua calls is in api.h, who shows it is
 * summary.h's. Workers only: a replay's summary is the same each time, and what gets compiled is not.
 */
#ifndef CF_TRACE_COUNT_H
#define CF_TRACE_COUNT_H
#include "outcome.h"

/* Where to count from now on; not owned. NULL: nowhere. */
void cf_traces_bind(struct cf_shared *shared);
#endif
