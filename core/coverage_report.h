/* SPDX-License-Identifier: MIT
 * What `cellflow coverage` says: text for people, or one JSON object on one line. */
#ifndef CF_COVERAGE_REPORT_H
#define CF_COVERAGE_REPORT_H
#include <stdio.h>
#include "coverage.h"
#include "replay_told.h"

struct cf_coverage_told {
	const char *policy;
	const struct cf_told *told;
	const struct cf_coverage *coverage;
	size_t top; /* groups to be shown */
};

/* 0, or -1: not all of it could be written. */
int cf_coverage_report_text(const struct cf_coverage_told *report, FILE *to);
int cf_coverage_report_json(const struct cf_coverage_told *report, FILE *to);
#endif
