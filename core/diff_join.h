/* SPDX-License-Identifier: MIT
 *
 * Two policies' decisions of the same events, joined in the recording's order: how many changed and by what, and the
 * changes in groups. Memory is bounded by CF_DIFF_GROUPS_MAX, not by the recording; what is found depends on nothing
 * but the two streams.
 */
#ifndef CF_DIFF_JOIN_H
#define CF_DIFF_JOIN_H
#include "diff_stream.h"

enum {
	CF_DIFF_SIDES = 2,
	CF_DIFF_GROUPS_MAX = 65536, /* changes that would begin another are counted as not grouped */
};

struct cf_diff_shown { /* a text as it is shown, cut at CF_DIFF_SHOWN_MAX; NULL: absent */
	char *bytes;
	uint32_t len;
};

/* What a policy said of the events of a group; places are those of its first event. */
struct cf_diff_said {
	uint32_t ending; /* enum cf_ending; 0: a record, which the rest is of */
	uint32_t decision;
	struct cf_diff_shown reason, rule, place;
};

struct cf_diff_group {
	uint64_t count;
	uint64_t first; /* number of its first event, from 0 */
	struct cf_diff_said said[CF_DIFF_SIDES];
	struct cf_diff_shown cell; /* these two are the first event's */
	struct cf_diff_flow flow;
};

struct cf_diff_counts {
	uint64_t events;
	uint64_t changed; /* events; each once, whatever changed */
	uint64_t decision, reason, rule; /* of events with two records */
	uint64_t only[CF_DIFF_SIDES]; /* events with a record on this side only */
	uint64_t not_grouped;
};

struct cf_diff_join;

struct cf_diff_join *cf_diff_join_new(void); /* NULL: no memory */
void cf_diff_join_free(struct cf_diff_join *join);

/* Read both streams to their ends. 1: both told all they had, ends[] says what; 0: ends[i].head.type is 0 for a side
 * that died or was not read to its end. -1: CF_FAIL_INTERNAL. A side that ended first has its error in ends[]. */
int cf_diff_join_read(struct cf_diff_join *join, const int fds[CF_DIFF_SIDES], struct cf_diff_end ends[CF_DIFF_SIDES],
		      struct cf_error *error);

const struct cf_diff_counts *cf_diff_join_counts(const struct cf_diff_join *join);
/* The groups, the largest first, among equals the one that began first. Valid until the join is freed. */
const struct cf_diff_group *cf_diff_join_groups(struct cf_diff_join *join, size_t *count);
#endif
