/* SPDX-License-Identifier: MIT
 * What a comparison found, for people and as one JSON object. Decides nothing. */
#ifndef CF_DIFF_REPORT_H
#define CF_DIFF_REPORT_H
#include <stdio.h>
#include "diff_join.h"

struct cf_diff_report {
	const char *names[CF_DIFF_SIDES]; /* of the policies */
	const struct cf_diff_end *ends; /* CF_DIFF_SIDES of them */
	const struct cf_diff_counts *counts;
	const struct cf_diff_group *groups;
	size_t group_count; /* of all */
	size_t shown; /* of them, the first */
};

/* 0; -1: `to` took not all of it. */
int cf_diff_report_text(const struct cf_diff_report *report, FILE *to);
int cf_diff_report_json(const struct cf_diff_report *report, FILE *to);
#endif
