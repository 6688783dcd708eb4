/* SPDX-License-Identifier: MIT
 * What is known of a group of events beside its numbers: the cells that they were in, and the first of them. */
#ifndef CF_COVERAGE_SEEN_H
#define CF_COVERAGE_SEEN_H
#include "record_member.h"

/* Of a group of events that no rule decided. */
struct cf_coverage_seen {
	char *cells; /* JSON texts, each with a newline before and behind it; NULL: none is known */
	uint32_t cell_count;
	uint32_t is_begun; /* 1: an event was added */
	uint32_t has_more_cells; /* 1: than are named */
	char *example; /* values of the first event as JSON, by enum cf_coverage_example, each with a NUL behind it */
};

enum cf_coverage_example {
	CF_EXAMPLE_ID,
	CF_EXAMPLE_CELL,
	CF_EXAMPLE_KIND,
	CF_EXAMPLE_DIRECTION,
	CF_EXAMPLE_SRC_ADDR,
	CF_EXAMPLE_SRC_PORT,
	CF_EXAMPLE_TIME,
	CF_EXAMPLE_COUNT,
};

/* Zeroed before. `members`: CF_MEMBER_COUNT of them. -1: no memory. */
int cf_coverage_seen_add(struct cf_coverage_seen *seen, const struct cf_member *members);
void cf_coverage_seen_free(struct cf_coverage_seen *seen);

/* The names of an example's values in records. */
const char *cf_coverage_example_name(uint32_t which);
/* "": absent, or no example is known. */
const char *cf_coverage_example(const struct cf_coverage_seen *seen, uint32_t which);
#endif
