/* SPDX-License-Identifier: MIT
 * Groups of records and how many records there were: a table for people, or one JSON object on one line. */
#ifndef CF_TALLY_REPORT_H
#define CF_TALLY_REPORT_H
#include <stdio.h>
#include "json.h"
#include "replay_told.h"
#include "tally.h"

struct cf_tally_report {
	const struct cf_told *told;
	struct cf_tally *const *tallies;
	int tally_count;
	size_t top; /* groups of each to be shown */
};

/* 0, or -1: not all of it could be written. */
int cf_tally_report_text(const struct cf_tally_report *report, FILE *to);
int cf_tally_report_json(const struct cf_tally_report *report, FILE *to);

/* What every report of a replay that was told begins with, for people: "N records (A allow, D deny) of M events, ..."
 */
void cf_told_text(const struct cf_told *told, FILE *to);
/* The same as members, with a comma in front. */
void cf_told_json(const struct cf_told *told, struct cf_json *json);
/* ,"NAME":VALUE */
void cf_json_member_u64(struct cf_json *json, const char *name, uint64_t value);
/* The members that a group's values are, with commas between them. */
void cf_tally_key_json(const struct cf_tally *tally, const struct cf_tally_group *group, struct cf_json *json);
/* A value as people read it; "-": absent. */
void cf_tally_word(const char *value, struct cf_json *out);
#endif
