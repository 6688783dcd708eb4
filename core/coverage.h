/* SPDX-License-Identifier: MIT
 *
 * Which rules of a policy decided how many events, and which events none did: counted as a replay tells of them
 * (replay_told.h). Memory is bounded by the policy and by what tally.h says.
 */
#ifndef CF_COVERAGE_H
#define CF_COVERAGE_H
#include "coverage_seen.h"
#include "emit.h"
#include "tally.h"

struct cf_coverage_count {
	uint64_t decided; /* events */
	uint64_t records; /* of them; the others format suppressed */
};

struct cf_coverage_rule {
	uint32_t decision; /* enum cf_decision_code */
	char *name; /* "": the default */
	char *place;
	struct cf_coverage_count count;
};

/* The fields of the groups, in this order. */
enum { CF_UNCOVERED_ADDR, CF_UNCOVERED_PORT, CF_UNCOVERED_PROTOCOL, CF_UNCOVERED_NUMBER };

struct cf_coverage {
	struct cf_coverage_rule *rules; /* in their order; a default among them has no name */
	size_t count, room;
	uint32_t *slots; /* by name and place: rule + 1, or 0 */
	size_t slot_count; /* a power of two */
	char *verdict_place; /* NULL: it decided nothing */
	struct cf_coverage_count verdict; /* what the hook decided */
	struct cf_coverage_count mapping; /* what nothing in the policy decided */
	struct cf_tally *uncovered; /* decided by the default or the default mapping */
	struct cf_coverage_seen *seen; /* by group of it */
	size_t seen_room;
	int is_full; /* 1: no memory for all of it */
};

struct cf_coverage *cf_coverage_new(void); /* NULL: no memory */
void cf_coverage_free(struct cf_coverage *coverage); /* NULL is nothing */

/* The rules of the policy in hand, by cf_script_ask; those that are known already are counted on. -1:
 * CF_FAIL_INTERNAL. */
int cf_coverage_begun(void *coverage, struct cf_error *error);
/* For a cf_emit_tap. */
void cf_coverage_ended(void *coverage, const struct cf_event *event, const struct cf_decision *decision,
		       uint32_t ending);

/* Rules that decided something, of all that have a name. */
size_t cf_coverage_used(const struct cf_coverage *coverage, size_t *all);
#endif
