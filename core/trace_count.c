/* SPDX-License-Identifier: MIT
 * Counters of LuaJIT's compiler: see trace_count.h and api.h. */
#include "api.h"
#include "trace_count.h"

static struct cf_shared *counting;

void cf_traces_bind(struct cf_shared *shared)
{
	counting = shared;
}

/* Atomic: at a reload two workers are alive, and the supervisor reads at any time. */
void cf_trace_count(uint32_t event)
{
	if (counting && event < CF_TRACE_EVENTS)
		atomic_fetch_add_explicit(&counting->traces[event], 1, memory_order_relaxed);
}
