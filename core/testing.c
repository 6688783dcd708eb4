/* SPDX-License-Identifier: MIT
 * A policy under test in charge of this process: see testing.h. */
#include "clock.h"
#include "dedup.h"
#include "plan_check.h"
#include "record.h"
#include "testing.h"

static struct cf_error wrong;

const char *cf_testing_complete(struct cf_plan *plan)
{
	for (uint32_t i = 0; i < plan->cell_count; i++)
		cf_plan_cell_complete(&plan->cells[i]);
	return cf_plan_check(plan, &wrong) < 0 ? wrong.text : NULL;
}

size_t cf_testing_dedup_size(void)
{
	return cf_dedup_size(CF_DEDUP_CAPACITY);
}

const char *cf_testing_bind(const struct cf_plan *plan, void *dedup)
{
	cf_clock_set_offset(0);
	if (cf_record_bind(plan, &wrong) < 0)
		return wrong.text;
	if (cf_dedup_bind(dedup, dedup ? cf_testing_dedup_size() : 0) < 0)
		return "no random numbers for the table of keys";
	return NULL;
}

void cf_testing_release(void)
{
	cf_record_unbind();
	cf_dedup_bind(NULL, 0);
	cf_clock_follow();
}
