/* SPDX-License-Identifier: MIT
 *
 * What the Lua side of `cellflow test` needs of core besides api.h: to make a policy that was read in this process the
 * one in charge, as a worker's start does. Declared to Lua in lua/cellflow/testing_core.lua.
 */
#ifndef CF_TESTING_H
#define CF_TESTING_H
#include <stddef.h>
#include "plan.h"

/* Fill in what was not said of the cells and check the plan. NULL, or what is wrong (static, until the next call). */
const char *cf_testing_complete(struct cf_plan *plan);

/* Records are of this plan from now on, keys are remembered in `dedup` (of cf_testing_dedup_size() bytes, zeroed at
 * first; NULL: none), and event times are times of day. Both stay in use until the next call. NULL, or what is wrong.
 */
const char *cf_testing_bind(const struct cf_plan *plan, void *dedup);
size_t cf_testing_dedup_size(void);

/* Nothing is in charge any more, and the host's clock is again. */
void cf_testing_release(void);
#endif
